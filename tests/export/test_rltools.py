"""RLtools' checkpoint format, included by RLtools' own headers."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from policies import (
    N_OBSERVATIONS,
    RLTOOLS_ACTIVATIONS,
    PolicyKind,
    compile_program,
    compiles,
    policy_kinds,
    run_program,
    several,
)
from stable_baselines3 import SAC

from sb3_tinyrl._native.headers import find_headers
from sb3_tinyrl.export import ExportError, export_policy


def export(models: Sequence[SAC], folder: Path) -> None:
    lines = []
    for i, model in enumerate(models):
        assert export_policy(model, folder / f"policy_{i}.h") <= 1e-5
        lines.append(f'namespace policy_{i} {{\n#include "policy_{i}.h"\n}}\n')
    uses = " ".join(f"F(policy_{i})" for i in range(len(models)))
    (folder / "policies.h").write_text(
        f"{''.join(lines)}#define N_OBSERVATIONS {N_OBSERVATIONS}\n#define FOR_EACH_POLICY(F) {uses}\n"
    )


@compiles(3)
@given(kinds=several(policy_kinds(RLTOOLS_ACTIVATIONS), 4))
def test_rltools_computes_what_predict_does(kinds, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rltools")
    models = [kind.model() for kind in kinds]
    export(models, folder)
    program = compile_program("rltools_test.cpp", folder, "-O1", "-isystem", str(find_headers().rltools))
    for model, (actions, expected) in zip(models, run_program([program], models), strict=True):
        assert abs(actions - model.policy.scale_action(expected)).max() <= 2e-5
