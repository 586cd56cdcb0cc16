"""The environment alone."""

import gymnasium
import pytest
from gymnasium.envs.classic_control.pendulum import PendulumEnv

from sb3_tinyrl.bench.raw_env import RawEnvironment
from sb3_tinyrl.bench.settings import Settings


class Counting(PendulumEnv):
    """Counts what is done with it, for all that are made."""

    n_steps = 0
    n_resets = 0

    def step(self, action):
        assert self.action_space.contains(action)
        Counting.n_steps += 1
        return super().step(action)

    def reset(self, **arguments):
        Counting.n_resets += 1
        return super().reset(**arguments)


gymnasium.register("RawCounting-v0", Counting, max_episode_steps=7)


def test_episodes_end_at_the_time_limit_whose_wrapper_is_gone() -> None:
    env = RawEnvironment(Settings("RawCounting-v0"))
    env.set_up()
    Counting.n_steps, Counting.n_resets = 0, 0
    seconds = env.step_seconds()
    assert Counting.n_resets == Counting.n_steps // 7
    # What it says times what it did is how long it did it: a fifth of a second, and what the last ten steps took.
    assert 0.2 <= seconds * Counting.n_steps < 0.4


def test_a_native_environment_steps_in_cpp() -> None:
    seconds = {}
    for name in ("sb3_tinyrl:rl_tools/Pendulum-v0", "Pendulum-v1"):
        env = RawEnvironment(Settings(name))
        env.set_up()
        seconds[name] = env.step_seconds()
    native, python = seconds.values()
    assert 0 < native < python / 10


def test_what_does_not_fit_is_an_error() -> None:
    with pytest.raises(gymnasium.error.NameNotFound):
        RawEnvironment(Settings("NoSuch-v0")).set_up()
