"""A step is that of SB3's ``DummyVecEnv``, and what it returns is as independent of the environments."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_tinyrl.environments.dummy_vec_env import step

N_STEPS = 50


class Chatty(gym.Env):
    """Tells in ``info`` what it is asked to, and ends at random."""

    observation_space = spaces.Box(-1, 1, (2,), np.float64)
    action_space = spaces.Box(-1, 1, (1,))

    def __init__(self, is_nested: bool) -> None:
        self.is_nested = is_nested

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        return self.np_random.normal(size=2), {"started": True}

    def step(self, action: np.ndarray) -> Any:
        draw = float(self.np_random.random())
        info: dict[str, Any] = {"draw": draw, "is_success": draw > 0.5, "name": None}
        if self.is_nested:
            self.kept = info["terms"] = {"cost": [draw]}
        return self.np_random.normal(size=2), float(action[0]) + draw, draw < 0.1, False, info


class Subclass(DummyVecEnv):
    def step_wait(self) -> Any:
        observations, rewards, dones, infos = super().step_wait()
        return observations, rewards + 1, dones, infos


def make(cls: type[DummyVecEnv], is_nested: bool, n_envs: int) -> DummyVecEnv:
    env = cls([lambda: Monitor(TimeLimit(Chatty(is_nested), 9))] * n_envs)
    env.seed(3)
    env.reset()
    return env


def without_times(infos: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for info in infos:
        info.get("episode", {}).pop("t", None)
        info["terminal_observation"] = tuple(info.get("terminal_observation", ()))
    return infos


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("is_nested", [False, True])
@pytest.mark.parametrize("cls", [DummyVecEnv, Subclass])
def test_steps_are_those_of_sb3(cls: type[DummyVecEnv], is_nested: bool, n_envs: int) -> None:
    ours, reference = make(cls, is_nested, n_envs), make(cls, is_nested, n_envs)
    actions = np.random.default_rng(0).uniform(-1, 1, (N_STEPS, n_envs, 1)).astype(np.float32)
    n_ended = 0
    for action in actions:
        (*arrays, infos), (*expected, expected_infos) = step(ours, action), reference.step(action)
        for array, other in zip(arrays, expected, strict=True):
            np.testing.assert_array_equal(array, other)
            assert array.dtype == other.dtype
        assert without_times(infos) == without_times(expected_infos)
        assert [info.keys() for info in ours.reset_infos] == [info.keys() for info in reference.reset_infos]
        n_ended += int(arrays[2].sum())
    assert n_ended > n_envs


@pytest.mark.parametrize("is_nested", [False, True])
def test_what_is_returned_belongs_to_the_caller(is_nested: bool) -> None:
    env = make(DummyVecEnv, is_nested, 1)
    observations, rewards, dones, infos = step(env, np.zeros((1, 1)))
    kept = [array.copy() for array in (observations, rewards, dones)], dict(infos[0])
    infos[0]["mine"] = 1
    if is_nested:
        infos[0]["terms"]["cost"].append(2.0)
        assert len(env.envs[0].unwrapped.kept["cost"]) == 1  # type: ignore[attr-defined]
    assert "mine" not in env.buf_infos[0]
    step(env, np.ones((1, 1)))
    for array, expected in zip((observations, rewards, dones), kept[0], strict=True):
        np.testing.assert_array_equal(array, expected)
    assert kept[1].items() <= infos[0].items()


def test_methods_of_the_user_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    env = make(DummyVecEnv, False, 1)
    env.step_wait = lambda: "mine"  # type: ignore[method-assign, assignment, return-value]
    assert step(env, np.zeros((1, 1))) == "mine"
    monkeypatch.setattr(DummyVecEnv, "_obs_from_buf", lambda self: "of the class")
    assert step(make(DummyVecEnv, False, 1), np.zeros((1, 1)))[0] == "of the class"
