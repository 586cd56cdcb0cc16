"""Which observations a policy is quantised by."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from models import Scripted, make
from policies import PolicyKind
from stable_baselines3 import SAC
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_tinyrl.export import ExportError, export_cpp_int8
from sb3_tinyrl.export.calibration import Calibration, Observations, choose
from sb3_tinyrl.export.description import describe

UNBOUNDED = spaces.Box(-np.inf, np.inf, (2, 2), np.float32)


class Dictionary(gym.Env):
    """Two entries with bounds."""

    observation_space = spaces.Dict(velocity=spaces.Box(-1, 1, (2,)), gear=spaces.Box(0, 5, (1, 2)))
    action_space = spaces.Box(-1, 1, (1,))

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        return self.observation_space.sample(), 0.0, False, False, {}


def chosen(model: SAC, given: Observations | None = None) -> Calibration:
    return choose(model, describe(model), given)


def rows(calibration: Calibration) -> set[tuple[float, ...]]:
    """All observations, each once."""
    return {*map(tuple, np.concatenate([calibration.observations, calibration.held_out]))}


def given(n: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, *shape)).astype(np.float32)


@pytest.mark.parametrize("n_envs", [1, 2])
def test_those_of_the_replay_buffer_are_the_first_choice(n_envs) -> None:
    env = VecNormalize(DummyVecEnv([lambda: Scripted(observation_space=UNBOUNDED)] * n_envs))
    model = make(SAC, env, learning_starts=1000).learn(300)
    calibration = chosen(model)
    assert calibration.source == "the replay buffer"
    assert (len(calibration.observations), len(calibration.held_out)) == (240, 60)
    stored = model.replay_buffer.observations[: 300 // n_envs].reshape(300, 4)
    assert rows(calibration) == {*map(tuple, stored)}
    assert stored.max() > 20  # as the environment gives them


def test_of_many_some_are_drawn_the_same_each_time() -> None:
    model = PolicyKind((3,)).model()
    observations = given(7000, 3)
    one, again = chosen(model, observations), chosen(model, observations)
    assert (len(one.observations), len(one.held_out)) == (4000, 1000)
    assert np.array_equal(one.observations, again.observations)
    assert len(rows(one)) == 5000
    assert rows(one) < {*map(tuple, observations)}


def test_a_buffer_with_few_leaves_it_to_the_statistics_of_vec_normalize() -> None:
    model = PolicyKind((3,), clip_obs=10.0).model()
    calibration = chosen(model)
    assert calibration.source == "the statistics of VecNormalize"
    statistics = model.get_vec_normalize_env().obs_rms
    assert np.allclose(calibration.observations.mean(axis=0), statistics.mean, atol=0.2 * statistics.var.max())


@pytest.mark.parametrize("env", ["Pendulum-v1", Dictionary()], ids=["box", "dictionary"])
def test_without_either_they_come_from_a_space_with_bounds(env, tmp_path: Path) -> None:
    model = make(SAC, env, policy="MlpPolicy" if env == "Pendulum-v1" else "MultiInputPolicy")
    calibration = chosen(model)
    assert calibration.source == "the observation space"
    assert (len(calibration.observations), len(calibration.held_out)) == (800, 200)
    errors = export_cpp_int8(model, tmp_path / "policy.h")
    assert errors.source == calibration.source
    assert 0 < errors.held_out.mean < errors.held_out.largest < 0.02


def test_without_anything_the_remedy_is_named(tmp_path: Path) -> None:
    model = make(SAC, Scripted(observation_space=UNBOUNDED), learning_starts=1000).learn(99)
    with pytest.raises(ExportError, match=r"nothing tells how large .* To export: pass calibration= .* at least 100"):
        export_cpp_int8(model, tmp_path / "policy.h")
    assert not [*tmp_path.iterdir()]
    model.learn(1, reset_num_timesteps=False)
    export_cpp_int8(model, tmp_path / "policy.h")


@pytest.mark.parametrize("shape", [(200, 2, 2), (100, 2, 2, 2)], ids=["of a policy", "of a replay buffer"])
def test_observations_may_have_other_axes_in_front(shape) -> None:
    model = make(SAC, Scripted(observation_space=UNBOUNDED))
    observations = given(*shape)
    assert rows(chosen(model, observations.tolist())) == {*map(tuple, observations.reshape(200, 4))}


def test_dictionaries_are_joined_as_the_policy_joins_them() -> None:
    model = make(SAC, Dictionary(), policy="MultiInputPolicy")
    observations = {"velocity": given(100, 2), "gear": 10 + given(100, 1, 2)}
    assert rows(chosen(model, observations)) == {
        (*velocity, *gear.ravel())
        for gear, velocity in zip(observations["gear"], observations["velocity"], strict=True)
    }


@pytest.mark.parametrize(
    ("observations", "reason"),
    [
        (given(99, 2, 2), "there are 99 observations"),
        (given(100, 4), r"shape \(100, 4\) and type float32, expected numbers of shape \(n, 2, 2\)"),
        (given(2, 2), r"shape \(2, 2\)"),
        (given(100, 2, 2).astype(str), "type <U"),
        (np.where(given(100, 2, 2) > 2, np.nan, 0), "NaN or infinite"),
        ({"velocity": given(100, 2)}, "has the entries"),
    ],
)
def test_what_does_not_fit_is_an_error(observations, reason, tmp_path: Path) -> None:
    model = make(SAC, Scripted(observation_space=UNBOUNDED))
    with pytest.raises(ExportError, match=rf"{reason}.*To export: pass calibration="):
        export_cpp_int8(model, tmp_path / "policy.h", calibration=observations)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("observations", "reason"),
    [
        ({"velocity": given(100, 2)}, r"has the entries \['velocity'\], the observations of the policy \['gear', 've"),
        ({"velocity": given(100, 2), "gear": given(101, 1, 2)}, r"different lengths: \[100, 101\]"),
        ({"velocity": given(100, 2), "gear": given(100, 2)}, r"calibration\['gear'\] is an array of shape \(100, 2\)"),
    ],
)
def test_dictionaries_that_do_not_fit_are_errors(observations, reason) -> None:
    with pytest.raises(ExportError, match=reason):
        chosen(make(SAC, Dictionary(), policy="MultiInputPolicy"), observations)
