"""Each row of the table of activation functions computes in the kernel what its module computes in PyTorch."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from activation_cases import CASES
from fast_loop import slow_but
from torch import nn

from sb3_tinyrl import activations
from sb3_tinyrl._native.abi.specs import KernelSpec
from sb3_tinyrl._native.jit.compiler import compile_flags, find_compiler
from sb3_tinyrl._native.jit.headers import find_headers

SOURCE = Path(__file__).parent / "rl_tools" / "activation_test.cpp"


def test_each_row_has_a_test_row() -> None:
    assert [activations.read(module()).function for module in CASES.values()] == list(activations.FUNCTIONS)
    assert list(CASES) == [function.name for function in activations.FUNCTIONS]


@pytest.mark.parametrize("name", slow_but(["tanh", "softplus"], CASES))
def test_value_and_gradient_equal_torchs(name: str, tmp_path: Path) -> None:
    """The program checks the rest: finite differences, float, vectors, NaN."""
    module = CASES[name]()
    activation = activations.read(module)
    (tmp_path / "kernel_spec.h").write_text(KernelSpec(1, 1, (), (), activation=activation.for_kernel()).header())
    headers = find_headers()
    command = [
        *find_compiler().command,
        *(flag for flag in compile_flags() if flag not in ("-shared", "-fPIC")),
        *("-Werror", f"-I{tmp_path}", f"-I{headers.include_root}", "-isystem", str(headers.rltools)),
        *(str(SOURCE), "-o", str(tmp_path / "program")),
    ]
    compiled = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert compiled.returncode == 0, compiled.stderr
    finished = subprocess.run([tmp_path / "program"], capture_output=True, text=True, timeout=60)
    assert finished.returncode == 0, "".join(line for line in finished.stdout.splitlines(True) if "failed" in line)
    rows = [[float.fromhex(number) for number in line.split()] for line in finished.stdout.splitlines()]
    x, value, gradient = np.array(rows).T

    argument = th.tensor(x, requires_grad=True)
    expected = module(argument)
    expected.sum().backward()
    np.testing.assert_allclose(value, expected.detach().numpy(), rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(gradient, argument.grad.numpy(), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("name", CASES)
def test_constants_are_read_and_given_back(name: str) -> None:
    activation = activations.read(CASES[name]())
    assert activation.is_valid
    assert activations.read(activation.module()) == activation


@pytest.mark.parametrize(
    "module",
    [nn.Softplus(beta=-1.0), nn.Softplus(beta=0.0), nn.ELU(alpha=float("nan")), nn.ELU(alpha=th.tensor(1.0))],
    ids=repr,
)
def test_constants_without_meaning_are_not_valid(module: Any) -> None:
    assert not activations.read(module).is_valid


def test_what_the_exported_expression_does_not_name_has_to_be_pytorchs_default() -> None:
    assert activations.read(nn.Softplus()).is_exportable
    assert not activations.read(nn.Softplus(threshold=19.0)).is_exportable
    assert activations.read(nn.ELU(alpha=-3.0)).is_exportable
