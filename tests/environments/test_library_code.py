"""Environments in whose steps no code of the user's can run are told from all others."""

import functools
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.envs.classic_control.pendulum import PendulumEnv
from gymnasium.wrappers import RescaleAction, TransformReward
from stable_baselines3 import SAC
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

from sb3_tinyrl.environments.library_code import runs_library_code

ENVS = ["Pendulum-v1", "MountainCarContinuous-v0", "LunarLanderContinuous-v3", "HalfCheetah-v5"]


def pendulum() -> gym.Env[Any, Any]:
    return gym.make("Pendulum-v1")


@pytest.mark.parametrize("env", ENVS)
def test_environments_of_gymnasium_as_sb3_wraps_them(env: str) -> None:
    model = SAC("MlpPolicy", env, buffer_size=1)
    assert runs_library_code(model.env)


def test_several_environments() -> None:
    assert runs_library_code(DummyVecEnv([pendulum, lambda: Monitor(pendulum())]))
    assert not runs_library_code(DummyVecEnv([pendulum, lambda: TransformReward(pendulum(), abs)]))


class OwnPendulum(PendulumEnv):
    pass


class OwnMonitor(Monitor):
    pass


class OwnVecEnv(DummyVecEnv):
    pass


@pytest.mark.parametrize(
    "make_env",
    [
        lambda: DummyVecEnv([lambda: TransformReward(pendulum(), lambda reward: reward)]),
        lambda: DummyVecEnv([lambda: Monitor(TransformReward(pendulum(), lambda reward: reward))]),
        lambda: DummyVecEnv([OwnPendulum]),
        lambda: DummyVecEnv([lambda: OwnMonitor(pendulum())]),
        lambda: OwnVecEnv([pendulum]),
        lambda: VecNormalize(DummyVecEnv([pendulum])),
        lambda: DummyVecEnv([lambda: RescaleAction(pendulum(), -1, 1)]),  # not known to be free of functions
    ],
)
def test_classes_that_may_run_something_else(make_env: Callable[[], VecEnv]) -> None:
    assert not runs_library_code(make_env())


@pytest.mark.parametrize("layer", [lambda env: env, lambda env: env.envs[0], lambda env: env.envs[0].unwrapped])
def test_a_method_replaced_on_the_object(layer: Callable[[VecEnv], Any]) -> None:
    env = DummyVecEnv([pendulum])
    assert runs_library_code(env)
    item = layer(env)
    item.step = lambda *arguments: type(item).step(item, *arguments)
    assert not runs_library_code(env)


class Step:
    def __call__(self, *arguments: Any) -> Any:
        raise AssertionError


@functools.wraps(PendulumEnv.step)
def timed(*arguments: Any) -> Any:
    raise AssertionError


@pytest.mark.parametrize("replacement", [lambda *arguments: None, Step(), timed])
@pytest.mark.parametrize(
    ("cls", "name"), [(PendulumEnv, "step"), (PendulumEnv, "_get_obs"), (Monitor, "reset"), (DummyVecEnv, "step_wait")]
)
def test_a_method_replaced_on_the_class(
    cls: type, name: str, replacement: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    env = DummyVecEnv([lambda: Monitor(pendulum())])
    assert runs_library_code(env)
    monkeypatch.setattr(cls, name, replacement)
    assert not runs_library_code(env)
