"""RLtools' checkpoint format, included by RLtools' own headers."""

import sysconfig
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from models import run_python
from policies import (
    N_OBSERVATIONS,
    OTHER_ACTIVATIONS,
    RLTOOLS_ACTIVATIONS,
    PolicyKind,
    compile_program,
    compiles,
    largest_difference,
    observations_and_actions,
    policy_kinds,
    run_program,
    several,
)
from stable_baselines3 import SAC
from torch import nn

from sb3_tinyrl._native.jit.headers import find_headers
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


@compiles(2)
@given(kinds=several(policy_kinds(RLTOOLS_ACTIVATIONS), 4))
def test_rltools_computes_what_predict_does(kinds, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rltools")
    models = [kind.model() for kind in kinds]
    export(models, folder)
    program = compile_program("rltools_test.cpp", folder, "-O1", "-isystem", str(find_headers().rltools))
    for model, (actions, expected) in zip(models, run_program([program], models), strict=True):
        assert largest_difference(model, actions, expected) <= 1e-5


TINYRL = """
import sys
import numpy as np
from rltools import load_checkpoint_from_path

policy = load_checkpoint_from_path(sys.argv[1])
observations = np.load(sys.argv[2])
np.save(sys.argv[3], [policy.evaluate(observation) for observation in observations])
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not Path(sysconfig.get_paths()["include"], "Python.h").exists(),
    reason="TinyRL's load_checkpoint compiles a Python module, which needs Python.h (Debian's python3-dev)",
)
def test_tinyrl_loads_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although it evaluates in the mode in which RLtools' own policies add noise."""
    model = PolicyKind((5,), (2,), (8,), sde=True, clip_obs=1.0).model()
    export_policy(model, tmp_path / "policy.h")
    observations, actions = observations_and_actions(model)
    np.save(tmp_path / "observations.npy", observations)
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # its cache is known by name only, and shared otherwise
    run_python(TINYRL, tmp_path / "policy.h", tmp_path / "observations.npy", tmp_path / "actions.npy")
    assert abs(np.load(tmp_path / "actions.npy") - model.policy.scale_action(actions)).max() <= 2e-5


@pytest.mark.parametrize("activation", OTHER_ACTIVATIONS)
def test_activations_that_rltools_lacks_are_refused(activation, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"no activation function that computes .*use export_cpp or export_onnx"):
        export_policy(PolicyKind(activation=activation).model(), tmp_path / "policy.h")
    assert not [*tmp_path.iterdir()]


def test_activations_do_not_matter_without_hidden_layers(tmp_path: Path) -> None:
    assert export_policy(PolicyKind(net_arch=(), activation=nn.SiLU).model(), tmp_path / "policy.h") <= 1e-5
