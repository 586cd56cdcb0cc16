"""The dependency-free header, compiled and run."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from models import TIMEOUT
from policies import (
    ALL_ACTIVATIONS,
    N_OBSERVATIONS,
    PolicyKind,
    compile_program,
    compiles,
    largest_difference,
    policy_kinds,
    run_program,
    several,
    write_policies_header,
)
from stable_baselines3 import SAC

from sb3_tinyrl._native.jit.compiler import find_compiler
from sb3_tinyrl.export import export_cpp
from sb3_tinyrl.export.description import describe

EVERYTHING = [PolicyKind((5,), (2,), (8,), activation, sde=True, clip_obs=1.0) for activation in ALL_ACTIVATIONS]
EMBEDDED = ("-Os", "-fno-exceptions", "-fno-rtti")


def export(models: Sequence[SAC], folder: Path) -> None:
    names = [f"policy_{i}" for i in range(len(models))]
    for model, name in zip(models, names, strict=True):
        assert export_cpp(model, folder / f"{name}.h", namespace=name) <= 1e-5
    write_policies_header(names, folder)


def assert_same_actions(command: Sequence[str | Path], models: Sequence[SAC]) -> None:
    for model, (actions, expected) in zip(models, run_program(command, models), strict=True):
        assert largest_difference(model, actions, expected) <= 1e-5


@compiles(3)
@given(kinds=several(policy_kinds(ALL_ACTIVATIONS), 6))
def test_header_computes_what_predict_does(kinds, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cpp")
    models = [kind.model() for kind in kinds]
    export(models, folder)
    assert_same_actions([compile_program("cpp_test.cpp", folder, *EMBEDDED)], models)


@pytest.mark.skipif(find_compiler().kind != "gcc", reason="other compilers take other flags")
def test_a_header_with_an_unusual_name_compiles_beside_those_of_c(tmp_path: Path) -> None:
    export_cpp(PolicyKind().model(), tmp_path / "policy.h", namespace="I_am_2")
    standard = ("assert", "errno", "float", "limits", "math", "stddef", "stdint", "stdio", "stdlib", "string", "time")
    includes = "".join(f"#include <{name}.h>\n" for name in standard)
    program = f'{includes}#include "policy.h"\nint main() {{ return I_am_2::self_test() ? 0 : 1; }}\n'
    (tmp_path / "program.cpp").write_text(program)
    command = [*find_compiler().command, "-std=gnu++17", str(tmp_path / "program.cpp"), "-o", str(tmp_path / "program")]
    subprocess.run(command, check=True, timeout=TIMEOUT)
    subprocess.run([tmp_path / "program"], check=True, timeout=TIMEOUT)


def test_self_test_fails_when_the_code_computes_something_else(tmp_path: Path) -> None:
    model = PolicyKind(seed=2).model()
    export([model], tmp_path)
    header = tmp_path / "policy_0.h"
    observations = np.zeros((N_OBSERVATIONS, 3), np.float32).tobytes()
    right = compile_program("cpp_test.cpp", tmp_path, "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    assert subprocess.run([right], input=observations, stdout=subprocess.DEVNULL).returncode == 0
    header.write_text(header.read_text().replace("0.5f * (tanhf(", "0.4999f * (tanhf("))
    wrong = compile_program("cpp_test.cpp", tmp_path, "-O1")
    assert subprocess.run([wrong], input=observations, stdout=subprocess.DEVNULL).returncode == 1


def test_broken_sensors_do_not_give_valid_actions(tmp_path: Path) -> None:
    """NaN goes through all activation functions and clips, in a program of two translation units."""
    export([kind.model() for kind in EVERYTHING], tmp_path)
    (tmp_path / "other.cpp").write_text('#include "policies.h"\n')
    program = compile_program("cpp_test.cpp", tmp_path, *EMBEDDED, str(tmp_path / "other.cpp"))
    observations = np.full((len(EVERYTHING), N_OBSERVATIONS, 5), np.nan, np.float32)
    finished = subprocess.run([program], input=observations.tobytes(), capture_output=True, check=True)
    actions = np.frombuffer(finished.stdout, np.float32)
    assert len(actions) == len(EVERYTHING) * N_OBSERVATIONS * 2
    assert np.isnan(actions).all()


def test_header_fits_the_flash_of_a_microcontroller(tmp_path: Path) -> None:
    """[64, 64] on a Cortex-M4, compiled by Zig, which carries the headers of a C library for ARM."""
    models = [PolicyKind(net_arch=(64, 64)).model(), *(kind.model() for kind in EVERYTHING)]
    export(models, tmp_path)
    sizes = []
    for i in range(len(models)):
        source, code = tmp_path / f"policy_{i}.cpp", tmp_path / f"policy_{i}.o"
        source.write_text(
            f'#include "policy_{i}.h"\n'
            f"void act(const float* observation, float* action) {{ policy_{i}::evaluate(observation, action); }}\n"
        )
        command = [sys.executable, "-m", "ziglang", "c++", "-target", "arm-linux-musleabihf", "-mcpu=cortex_m4"]
        command += ["-std=c++17", *EMBEDDED, "-Wall", "-Wextra", "-Werror", "-c", str(source), "-o", str(code)]
        compiled = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
        assert compiled.returncode == 0, compiled.stderr
        sizes.append(code.stat().st_size)
    n_parameters = sum(layer.weight.size + layer.bias.size for layer in describe(models[0]).layers)
    assert 4 * n_parameters < sizes[0] < 4 * n_parameters + 4096


@pytest.mark.skipif(
    not (shutil.which("arm-linux-gnueabihf-g++") and shutil.which("qemu-arm")),
    reason="needs Debian's packages g++-arm-linux-gnueabihf and qemu-user",
)
def test_header_computes_what_predict_does_on_arm(tmp_path: Path) -> None:
    models = [PolicyKind(net_arch=(64, 64)).model(), *(kind.model() for kind in EVERYTHING)]
    export(models, tmp_path)
    program = compile_program(
        "cpp_test.cpp", tmp_path, *EMBEDDED, "-static", compiler=[shutil.which("arm-linux-gnueabihf-g++")]
    )
    assert_same_actions(["qemu-arm", program], models)
