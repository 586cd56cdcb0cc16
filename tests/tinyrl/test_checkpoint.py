"""Checkpoints: ours and RLtools', side by side, and what is none."""

import logging
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from models import Scripted, make, run_python
from stable_baselines3 import SAC
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from torch import nn

from sb3_tinyrl._native.errors import CompilerNotFoundError, KernelBuildError
from sb3_tinyrl.export import ExportError, export_policy
from sb3_tinyrl.export.rltools import stochastic_policy
from sb3_tinyrl.tinyrl import load_checkpoint, load_checkpoint_from_path


def policy(seed=0, observation_dim=3, action_dim=1, net_arch=(8,), activation=nn.ReLU, wrap=None, **arguments):
    """A policy with parameters at random, large enough that tanh bends."""
    low = np.full(observation_dim, -3, np.float32)
    env = DummyVecEnv([lambda: Scripted(observation_space=spaces.Box(low, -low), action_shape=(action_dim,))])
    policy_kwargs = {"net_arch": {"pi": [*net_arch], "qf": [1]}, "activation_fn": activation}
    model = make(SAC, wrap(env) if wrap else env, policy_kwargs=policy_kwargs, **arguments)
    generator = th.Generator().manual_seed(seed)
    with th.no_grad():
        for parameter in model.actor.parameters():
            parameter.copy_(th.randn(parameter.shape, generator=generator) / np.sqrt(parameter.shape[-1]))
    return model


def mean_and_std(model, observations):
    """As SB3's actor computes them."""
    with th.no_grad():
        mean, log_std, _ = model.actor.get_action_dist_params(th.from_numpy(observations))
    return np.concatenate([mean.numpy(), log_std.exp().numpy()], axis=1)


def draw(model, n=200):
    return np.random.default_rng(1).normal(size=(n, *model.observation_space.shape)).astype(np.float32)


def evaluate(checkpoint, observations):
    return np.array([checkpoint.evaluate(observation) for observation in observations])


@settings(max_examples=3, phases=[Phase.explicit, Phase.generate])
@given(
    observation_dim=st.integers(1, 30),
    action_dim=st.integers(1, 8),
    net_arch=st.lists(st.integers(1, 30), max_size=3),
    activation=st.sampled_from([nn.ReLU, nn.Tanh, nn.Sigmoid, nn.Identity]),
    seed=st.integers(0, 2**32 - 1),
)
def test_mean_and_standard_deviation(observation_dim, action_dim, net_arch, activation, seed):
    model = policy(seed, observation_dim, action_dim, net_arch, activation)
    observations = draw(model)
    outputs = evaluate(load_checkpoint(stochastic_policy(model)), observations)
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs, mean_and_std(model, observations), rtol=1e-3, atol=1e-4)


def test_with_normalised_observations():
    def wrap(env):
        normalized = VecNormalize(env, clip_obs=0.5)
        normalized.obs_rms.mean, normalized.obs_rms.var = np.array([1.0, 0.0, -1.0]), np.array([1.0, 0.1, 4.0])
        return normalized

    model = policy(wrap=wrap)
    observations = draw(model)
    seen = model.get_vec_normalize_env().normalize_obs(observations).astype(np.float32)
    outputs = evaluate(load_checkpoint(stochastic_policy(model)), observations)
    np.testing.assert_allclose(outputs, mean_and_std(model, seen), rtol=1e-4, atol=1e-5)


def test_a_deterministic_checkpoint_gives_actions(tmp_path):
    model = policy(action_dim=2)
    export_policy(model, tmp_path / "policy.h")
    observations = draw(model)
    expected = model.policy.scale_action(model.predict(observations, deterministic=True)[0])
    for path in (tmp_path / "policy.h", str(tmp_path / "policy.h")):
        np.testing.assert_allclose(evaluate(load_checkpoint_from_path(path), observations), expected, atol=2e-5)


# A text that is no checkpoint to the parser, and one to a compiler.
BESIDE = "\nnamespace beside { constexpr int answer = 42; }\n"


@pytest.mark.slow
@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.Sigmoid, nn.Identity])
def test_a_compiler_reads_what_is_read_here(activation, deterministic, tmp_path):
    model = policy(1, 4, 3, (9, 6), activation, lambda env: VecNormalize(env, clip_obs=0.5))
    text = stochastic_policy(model)
    if deterministic:
        export_policy(model, tmp_path / "policy.h")
        text = (tmp_path / "policy.h").read_text()
    observations = draw(model)
    read, compiled = load_checkpoint(text), load_checkpoint(text + BESIDE, trust=True)
    np.testing.assert_allclose(evaluate(read, observations), evaluate(compiled, observations), rtol=2e-6, atol=2e-6)


@pytest.mark.slow
def test_two_that_are_compiled_stay_two_and_the_same_is_compiled_once(tmp_path, monkeypatch, caplog):
    """In TinyRL the second is the first."""
    monkeypatch.setenv("SB3_TINYRL_CACHE_DIR", str(tmp_path))
    caplog.set_level(logging.INFO, "sb3_tinyrl")
    models = [policy(seed) for seed in (1, 2)]
    observations = draw(models[0])
    arguments = {"interface_name": "the_same", "force_recompile": True, "verbose": True, "trust": True}
    checkpoints = [load_checkpoint(stochastic_policy(model) + BESIDE, **arguments) for model in models * 2]
    for checkpoint, model in zip(checkpoints, models * 2, strict=True):
        np.testing.assert_allclose(
            evaluate(checkpoint, observations), mean_and_std(model, observations), rtol=1e-4, atol=1e-5
        )
    assert len([*tmp_path.glob("*.so")]) == 2
    assert sum("compiled it in" in message for message in caplog.messages) == 2
    assert not [message for message in caplog.messages if "memory[]" in message]  # not the whole checkpoint


def test_none_is_needed_to_read_one(monkeypatch):
    """A compiler."""
    model = policy()
    text = stochastic_policy(model)
    monkeypatch.setenv("CXX", "no compiler")
    observations = draw(model)
    np.testing.assert_allclose(
        evaluate(load_checkpoint(text), observations), mean_and_std(model, observations), rtol=1e-4, atol=1e-5
    )
    with pytest.raises(CompilerNotFoundError):
        load_checkpoint(text + BESIDE, trust=True)


def test_what_only_a_compiler_can_read_needs_trust():
    with pytest.raises(
        ValueError, match=r"it has the namespace 'beside'\. Expected .* pass trust=True: then it is compiled"
    ):
        load_checkpoint(stochastic_policy(policy()) + BESIDE)


@pytest.fixture(scope="module")
def checkpoint():
    return load_checkpoint(stochastic_policy(policy()))


@given(shape=st.lists(st.integers(0, 4), max_size=3).map(tuple).filter(lambda shape: shape != (3,)))
def test_observations_of_another_shape(checkpoint, shape):
    with pytest.raises(ValueError, match=r"an observation of shape .*, expected \(3,\), .*one observation at a time"):
        checkpoint.evaluate(np.zeros(shape))


@pytest.mark.parametrize("convert", [list, np.float64, lambda x: np.stack([x, x], axis=1)[:, 0]])
def test_observations_of_another_kind(checkpoint, convert):
    """TinyRL refuses all but contiguous arrays of float32."""
    observation = np.array([0.25, -0.5, 2], np.float32)
    assert (checkpoint.evaluate(convert(observation)) == checkpoint.evaluate(observation)).all()


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (Path("policy.h"), TypeError, "the checkpoint is a .*Path, expected the text .* use load_checkpoint_from_path"),
        (b"namespace policy", TypeError, "the checkpoint is a bytes, expected the text"),
        ("policy.h", ValueError, r"the text 'policy\.h' is no checkpoint .*load_checkpoint_from_path takes its path"),
        ("", ValueError, "the text '' is no checkpoint of RLtools"),
        (
            "namespace policy { constexpr int model = 0; }",
            ValueError,
            "has no `module`, expected the format of RLtools 2",
        ),
        ("namespace policy { constexpr int module = ; }", ValueError, "can't read the checkpoint: its model has"),
    ],
)
def test_what_is_no_checkpoint(text, error, message):
    with pytest.raises(error, match=message):
        load_checkpoint(text)


def test_trust_does_not_help_what_does_not_compile():
    with pytest.raises(KernelBuildError, match=r"compiler failed: .*kernel_spec\.h:1"):
        load_checkpoint("namespace policy { constexpr int module = ; }", trust=True)


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "policy.h").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"policy\.h is no text .*expected a C\+\+ header"):
        load_checkpoint_from_path(tmp_path / "policy.h")


def test_a_text_that_is_too_long(tmp_path):
    text = "namespace policy { module" + " " * 2**26
    (tmp_path / "policy.h").write_text(text)
    for load, argument in ((load_checkpoint, text), (load_checkpoint_from_path, tmp_path / "policy.h")):
        with pytest.raises(ValueError, match="is longer than 67108864 characters, expected at most four million"):
            load(argument)


def test_a_file_that_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"policy\.h"):
        load_checkpoint_from_path(tmp_path / "policy.h")


def test_gsde_has_no_such_distribution():
    with pytest.raises(ExportError, match=r"the standard deviation of gSDE .* use export_policy"):
        stochastic_policy(policy(use_sde=True))


RLTOOLS = """
import sys
import gymnasium as gym
import numpy as np
from rltools import SAC, load_checkpoint

seed = 0
def env_factory():
    env = gym.wrappers.RescaleAction(gym.make("Pendulum-v1"), -1, 1)
    env.reset(seed=seed)
    return env

sizes = {"ACTOR_HIDDEN_DIM": 8, "CRITIC_HIDDEN_DIM": 8, "ACTOR_BATCH_SIZE": 32, "CRITIC_BATCH_SIZE": 32}
sac = SAC(env_factory, enable_evaluation=False, STEP_LIMIT=300, **sizes)
state = sac.State(seed)
while not state.step():
    pass
observations = np.load("observations.npy")
with open("theirs.h", "w") as file:
    file.write(state.export_policy())
np.save("theirs.npy", [state.action(observation) for observation in observations])

with open("ours.h") as file:
    policy = load_checkpoint(file.read())
np.save("ours.npy", [policy.evaluate(observation) for observation in observations])
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not Path(sysconfig.get_paths()["include"], "Python.h").exists(),
    reason="RLtools' Python interface compiles a Python module, which needs Python.h (Debian's python3-dev)",
)
def test_rltools_own_python_interface(tmp_path, monkeypatch):
    """What it trains and exports is read here, and what is written here is read there."""
    model = policy()
    observations = draw(model, 50)
    np.save(tmp_path / "observations.npy", observations)
    (tmp_path / "ours.h").write_text(stochastic_policy(model))
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # its cache is known by name only, and shared otherwise
    run_python(f"import os; os.chdir({str(tmp_path)!r})\n{RLTOOLS}")

    outputs = evaluate(load_checkpoint_from_path(tmp_path / "theirs.h"), observations)
    assert outputs.shape == (50, 2)
    np.testing.assert_allclose(np.tanh(outputs[:, :1]), np.load(tmp_path / "theirs.npy"), atol=1e-5)

    # Its loader draws the action, with noise that is the same in each call.
    mean, std = mean_and_std(model, observations).T
    noise = (np.arctanh(np.load(tmp_path / "ours.npy")[:, 0].astype(np.float64)) - mean) / std
    assert abs(noise[0]) > 0.1
    np.testing.assert_allclose(noise, noise[0], atol=1e-3)
