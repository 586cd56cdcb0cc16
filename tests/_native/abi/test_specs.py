import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_tinyrl._native.abi.specs import Activation, KernelSpec
from sb3_tinyrl._native.jit.compiler import find_compiler
from sb3_tinyrl._native.jit.headers import find_headers

CPP_TYPES = {
    "float32": "float",
    "float64": "double",
    "int8": "signed char",
    "int16": "short",
    "int32": "int",
    "int64": "std::int64_t",
    "uint8": "unsigned char",
    "uint16": "unsigned short",
    "uint32": "unsigned int",
    "uint64": "std::uint64_t",
}
SIZES = st.integers(1, 2**20)
LAYERS = st.lists(SIZES, max_size=5).map(tuple)
CONSTANTS = st.floats(allow_nan=False, allow_infinity=False)
ACTIVATIONS = st.builds(
    Activation,
    st.sampled_from(["Relu", "Tanh", "Elu"]),
    st.lists(st.tuples(st.sampled_from(["ALPHA", "BETA"]), CONSTANTS), max_size=2, unique_by=lambda c: c[0]).map(tuple),
)
SPECS = st.builds(
    KernelSpec,
    observation_dim=SIZES,
    action_dim=SIZES,
    actor_layers=LAYERS,
    critic_layers=LAYERS,
    n_critics=SIZES,
    batch_size=SIZES,
    activation=ACTIVATIONS,
    observation_type=st.sampled_from(list(CPP_TYPES)),
    scalar_type=st.sampled_from(["float32", "float64"]),
)
NOT_A_SIZE = st.one_of(st.integers(max_value=0), st.booleans(), st.floats(), st.text(), st.none())


@given(SPECS, SPECS)
def test_headers_are_equal_exactly_if_the_specs_are(one: KernelSpec, other: KernelSpec) -> None:
    assert (one.header() == other.header()) == (one == other)


@pytest.mark.parametrize("field", ["observation_dim", "action_dim", "n_critics", "batch_size"])
@given(value=NOT_A_SIZE)
def test_a_size_that_is_none_is_refused_by_name(field: str, value: object) -> None:
    arguments = {
        "observation_dim": 3,
        "action_dim": 1,
        "actor_layers": (4,),
        "critic_layers": (4,),
        field: value,
    }
    with pytest.raises((TypeError, ValueError), match=f"^{field} is .*expected .*; pass "):
        KernelSpec(**arguments)


@pytest.mark.parametrize("field", ["actor_layers", "critic_layers"])
@pytest.mark.parametrize(("value", "problem"), [([4], ""), (4, ""), ("4", ""), ((4, 0), r"\[1\]"), ((True,), r"\[0\]")])
def test_layers_that_are_none_are_refused_by_name(field: str, value: object, problem: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{field}{problem} is .*expected .*; pass "):
        KernelSpec(3, 1, **{"actor_layers": (), "critic_layers": (), field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [("observation_type", "float16"), ("observation_type", "bool"), ("scalar_type", "int32")],
)
def test_an_unknown_type_is_refused_with_the_known_ones(field: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"^{field} is '{value}', expected one of: float32, float64"):
        KernelSpec(3, 1, (), (), **{field: value})


@pytest.mark.parametrize(
    ("struct", "constants", "expected"),
    [
        ("Elu; int x", (), "struct is 'Elu; int x', expected an identifier"),
        ("Elü", (), "struct is 'Elü', expected an identifier"),
        ("Elu", (("2", 1.0),), "constants is '2', expected an identifier"),
        ("Elu", (("ALPHA", float("nan")),), "ALPHA is nan, expected a finite number"),
        ("Elu", (("ALPHA", "1"),), "ALPHA is '1', expected a finite number"),
        ("Softplus", (("BETA", 1.0), ("THRESHOLD", float("inf"))), "THRESHOLD is inf, expected a finite number"),
    ],
)
def test_an_activation_that_is_no_cpp_is_refused(struct: str, constants: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=f"^{expected}"):
        Activation(struct, constants)


def test_numpy_integers_are_sizes() -> None:
    assert KernelSpec(np.prod((2, 3)), 1, (np.int64(4),), ()).header() == KernelSpec(6, 1, (4,), ()).header()


def test_cpp_sees_what_was_specified(tmp_path: Path) -> None:
    code = ["#include <type_traits>"]
    for name, cpp_type in CPP_TYPES.items():
        header = KernelSpec(3, 1, (64, 32), (), n_critics=3, batch_size=7, observation_type=name).header()
        code += [header.replace("kernel_spec", name)]
        code += [f"static_assert(std::is_same_v<rl_tools::{name}::OBSERVATION, {cpp_type}>);"]
    activation = Activation("Softplus", (("BETA", 0.1), ("THRESHOLD", 20)))
    code += [KernelSpec(3, 1, (64, 32), (), 3, 7, activation, scalar_type="float64").header()]
    code += [
        f"static_assert({condition});"
        for condition in (
            "std::is_same_v<rl_tools::kernel_spec::T, double>",
            "std::is_same_v<rl_tools::float32::T, float>",
            "rl_tools::kernel_spec::OBSERVATION_DIM == 3",
            "rl_tools::kernel_spec::ACTION_DIM == 1",
            "rl_tools::kernel_spec::N_CRITICS == 3",
            "rl_tools::kernel_spec::BATCH_SIZE == 7",
            "std::is_same_v<rl_tools::kernel_spec::ACTOR_LAYERS, std::index_sequence<64, 32>>",
            "std::is_same_v<rl_tools::kernel_spec::ACTIVATION, "
            "rl_tools::nn::torch_activation::Softplus<rl_tools::kernel_spec::ACTIVATION_CONSTANTS>>",
            "std::is_same_v<rl_tools::float32::ACTIVATION, rl_tools::nn::torch_activation::Relu>",
            "rl_tools::kernel_spec::ACTIVATION_CONSTANTS::BETA == 0.1",
            "rl_tools::kernel_spec::ACTIVATION_CONSTANTS::THRESHOLD == 20",
            "std::is_same_v<rl_tools::kernel_spec::CRITIC_LAYERS, std::index_sequence<>>",
        )
    ]
    source = tmp_path / "specs.cpp"
    source.write_text("\n".join(code).replace("#pragma once", ""))
    headers = find_headers()
    includes = [f"-I{headers.include_root}", f"-I{headers.rltools}"]
    subprocess.run([*find_compiler().command, "-std=c++17", *includes, "-fsyntax-only", source], check=True)


@pytest.mark.parametrize("field", ["batch_size", "n_critics"])
def test_a_size_that_nothing_can_count_names_the_limit(field):
    KernelSpec(**{"observation_dim": 3, "action_dim": 1, "actor_layers": (), "critic_layers": (), field: 2**30})
    with pytest.raises(ValueError, match=rf"^{field} is \d+, expected at most 1073741824 \(2\*\*30\)"):
        KernelSpec(**{"observation_dim": 3, "action_dim": 1, "actor_layers": (), "critic_layers": (), field: 2**30 + 1})


@pytest.mark.parametrize(
    ("options", "summary"),
    [
        ({}, "a kernel (observation 3, action 1, layers 256-256, batch 256)"),
        ({"actor_layers": ()}, "a kernel (observation 3, action 1, layers none and 256-256, batch 256)"),
        (
            {
                "n_critics": 5,
                "activation": Activation("Tanh"),
                "use_sde": True,
                "scalar_type": "float64",
                "use_blas": True,
            },
            "a kernel (observation 3, action 1, layers 256-256, batch 256, 5 critics, Tanh, gSDE, float64, BLAS)",
        ),
    ],
)
def test_a_summary_tells_what_is_not_as_usual(options, summary):
    sizes = {"actor_layers": (256, 256), "critic_layers": (256, 256)} | options
    assert KernelSpec(3, 1, **sizes).summary() == summary
