"""The environment with observations of any size, as Gymnasium and Stable-Baselines3 see it."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3

from sb3_tinyrl.bench.scaling.environment import ENV_ID


@pytest.mark.parametrize("size", [1, 376])
def test_it_is_a_proper_environment(size: int) -> None:
    env = gym.make(ENV_ID, size=size)
    check_env(env.unwrapped, skip_render_check=True)
    check_env_for_sb3(env.unwrapped)


@given(size=st.integers(1, 1000), seed=st.integers(0, 2**31))
def test_observations_have_the_size_and_follow_the_seed(size: int, seed: int) -> None:
    first, second = gym.make(ENV_ID, size=size), gym.make(ENV_ID, size=size)
    for observation, other in (
        (first.reset(seed=seed)[0], second.reset(seed=seed)[0]),
        (first.step(first.action_space.low)[0], second.step(second.action_space.high)[0]),
    ):
        assert observation.shape == (size,)
        np.testing.assert_array_equal(observation, other)


def test_only_the_time_limit_ends_an_episode() -> None:
    env = gym.make(ENV_ID, size=2)
    env.reset(seed=0)
    steps = [env.step(np.float32([0.5])) for _ in range(200)]
    assert {reward for _, reward, *_ in steps} == {-0.25}
    assert [terminated or truncated for *_, terminated, truncated, _ in steps] == [False] * 199 + [True]
