"""The dependency-free header, compiled and run."""

import shutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
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
)
from stable_baselines3 import SAC

from sb3_tinyrl.export import ExportError, export_cpp

EMBEDDED = ("-Os", "-fno-exceptions", "-fno-rtti")


def export(models: Sequence[SAC], folder: Path) -> None:
    names = [f"policy_{i}" for i in range(len(models))]
    for model, name in zip(models, names, strict=True):
        assert export_cpp(model, folder / f"{name}.h", namespace=name) <= 1e-5
    includes = "".join(f'#include "{name}.h"\n' for name in names)
    uses = " ".join(f"F({name})" for name in names)
    (folder / "policies.h").write_text(
        f"{includes}#define N_OBSERVATIONS {N_OBSERVATIONS}\n#define FOR_EACH_POLICY(F) {uses}\n"
    )


def assert_same_actions(command: Sequence[str | Path], models: Sequence[SAC]) -> None:
    for model, (actions, expected) in zip(models, run_program(command, models), strict=True):
        assert largest_difference(model, actions, expected) <= 1e-5


@compiles(4)
@given(kinds=several(policy_kinds(ALL_ACTIVATIONS), 6))
def test_header_computes_what_predict_does(kinds, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cpp")
    models = [kind.model() for kind in kinds]
    export(models, folder)
    assert_same_actions([compile_program("cpp_test.cpp", folder, *EMBEDDED)], models)
