"""TinyRL's hyperparameters: all of them, with its defaults, honoured or refused."""

import ast
import importlib.util
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import ROOT, pendulum

from sb3_tinyrl._native.jit.headers import find_headers
from sb3_tinyrl.tinyrl import SAC
from sb3_tinyrl.tinyrl.hyperparameters import RLTOOLS_EPSILON_SQRT, HyperParameters, read_hyper_parameters

FIXED = {
    "ACTION_LOG_STD_LOWER_BOUND": -20,
    "ACTION_LOG_STD_UPPER_BOUND": 2,
    "CRITIC_TARGET_UPDATE_INTERVAL": 1,
    "LOG_PROBABILITY_EPSILON": 1e-6,
    "LOG_STD_LOWER_BOUND": -20,
    "LOG_STD_UPPER_BOUND": 2,
    "OPTIMIZER_EPSILON_SQRT": 0,
    "SHARED_BATCH": True,
}
#: What only TinyRL had, before it became RLtools' Python interface.
TINYRL_ONLY = {"ACTION_LOG_STD_LOWER_BOUND", "ACTION_LOG_STD_UPPER_BOUND"}


def defaults_of_rltools(file: str, function: str) -> dict:
    """Read the defaults of a function of RLtools' Python interface off its source: importing it takes pybind11."""
    source = Path(find_headers().rltools).parents[2] / "src" / file
    (definition,) = (
        node
        for node in ast.parse(source.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name == function
    )
    values = [eval(ast.unparse(default), {}) for default in definition.args.defaults]
    return dict(zip([argument.arg for argument in definition.args.args][-len(values) :], values, strict=True))


def test_all_of_rltools_python_interface_with_its_defaults():
    theirs = {name: value for name, value in defaults_of_rltools("sac.py", "SAC").items() if name.isupper()}
    ours = {field.name: field.default for field in fields(HyperParameters) if field.name not in TINYRL_ONLY}
    assert theirs.pop("OPTIMIZER_EPSILON_SQRT") == RLTOOLS_EPSILON_SQRT  # PyTorch's Adam has none
    assert ours.pop("OPTIMIZER_EPSILON_SQRT") == 0
    assert ours == theirs


def test_a_call_with_all_of_rltools_defaults():
    """Those of ``SAC``, and those which it passes on to what compiles the training (there, no evaluation)."""
    compiling = defaults_of_rltools("training.py", "compile_training")
    assert compiling["evaluation_interval"] is None
    arguments = compiling | defaults_of_rltools("sac.py", "SAC")
    with pytest.warns(UserWarning, match="OPTIMIZER_EPSILON_SQRT=1e-07, RLtools' default, has no effect: ") as warned:
        sac = SAC(pendulum, **arguments)
    assert [warning.filename for warning in warned] == [__file__]
    assert sac.hyper_parameters.arguments() == HyperParameters().arguments()
    assert (sac.evaluation_interval, sac.num_evaluation_episodes, sac.backend) == (1000, 10, None)
    assert SAC(pendulum, **compiling).evaluation_interval is None


def test_the_documentation_has_the_table():
    spec = importlib.util.spec_from_file_location("table", ROOT / "docs" / "tinyrl_hyperparameters.py")
    table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(table)
    assert table.PATH.read_text() == table.render(), "run: python docs/tinyrl_hyperparameters.py"


def test_what_they_are_in_stable_baselines3():
    arguments = read_hyper_parameters({"TARGET_ENTROPY": -3, "ADAPTIVE_ALPHA": False, "N_ENVIRONMENTS": 4}).arguments()
    assert arguments["target_entropy"] == -3
    assert arguments["ent_coef"] == 0.5
    assert arguments["buffer_size"] == 4 * 10_000
    assert arguments["learning_starts"] == 4 * 100
    arguments = read_hyper_parameters(
        {
            "REPLAY_BUFFER_CAP": 77,
            "N_WARMUP_STEPS": 0,
            "ACTOR_NUM_LAYERS": 2,
            "CRITIC_NUM_LAYERS": 5,
            "CRITIC_HIDDEN_DIM": 8,
            "ACTOR_ACTIVATION_FUNCTION": "TANH",
            "CRITIC_ACTIVATION_FUNCTION": "TANH",
            "EPISODE_STATS_BUFFER_SIZE": 3,
        }
    ).arguments()
    assert arguments["buffer_size"] == 77
    assert arguments["learning_starts"] == 0
    assert arguments["stats_window_size"] == 3
    assert arguments["policy_kwargs"]["net_arch"] == {"pi": [64], "qf": [8] * 4}
    assert arguments["policy_kwargs"]["activation_fn"].__name__ == "Tanh"


@pytest.mark.parametrize(
    ("name", "hint"), [("BATCH_SIZE", " .did you mean"), ("gamma", " .did you mean GAMMA"), ("X", "")]
)
def test_unknown_names(name, hint):
    with pytest.raises(TypeError, match=f"unknown hyperparameter {name}{hint}.*; TinyRL's SAC knows GAMMA, ALPHA, "):
        SAC(pendulum, **{name: 1})


@given(data=st.data(), field=st.sampled_from(fields(HyperParameters)))
def test_values_that_mean_nothing(data, field):
    value = data.draw(st.sampled_from([float("nan"), float("inf"), -7, "many", [], "2"]))
    if field.name == "TARGET_ENTROPY" and value == -7:
        value = "auto"
    with pytest.raises(ValueError, match=f"^{field.name}="):
        read_hyper_parameters({field.name: value})


@pytest.mark.parametrize("name", FIXED)
def test_values_that_can_not_be_honoured(name):
    assert read_hyper_parameters({name: FIXED[name]})
    with pytest.raises(ValueError, match=rf"{name}=0\.25, but this SAC has no other than {FIXED[name]}; \w+"):
        read_hyper_parameters({name: 0.25})


@pytest.mark.parametrize(
    "values",
    [
        {"ACTOR_BATCH_SIZE": 32},
        {"CRITIC_TRAINING_INTERVAL": 2},
        {"CRITIC_ACTIVATION_FUNCTION": "TANH"},
        {"N_WARMUP_STEPS_ACTOR": 7},
        {"N_WARMUP_STEPS": 7, "N_WARMUP_STEPS_CRITIC": 100},
    ],
)
def test_pairs_that_differ(values):
    with pytest.raises(ValueError, match=r"=.* and .*=.*: pass the same for both, as "):
        read_hyper_parameters(values)


def test_an_entropy_coefficient_of_zero():
    assert read_hyper_parameters({"ALPHA": 0, "ADAPTIVE_ALPHA": False}).arguments()["ent_coef"] == 0
    with pytest.raises(ValueError, match="ALPHA=0 can't be learned from"):
        read_hyper_parameters({"ALPHA": 0})


def test_warm_ups_that_agree():
    assert read_hyper_parameters({"N_WARMUP_STEPS_ACTOR": 100, "N_WARMUP_STEPS_CRITIC": 100}).n_warmup_steps == 100


def test_an_activation_function_that_is_another_in_pytorch():
    with pytest.raises(ValueError, match="ACTOR_ACTIVATION_FUNCTION='GELU', expected one of IDENTITY, RELU, TANH"):
        read_hyper_parameters({"ACTOR_ACTIVATION_FUNCTION": "GELU", "CRITIC_ACTIVATION_FUNCTION": "GELU"})
