"""The native vector environment is SyncVectorEnv, but for the speed."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from sb3_tinyrl import register_environment
from sb3_tinyrl.environments import NativeVectorEnv

N = 4
LIMIT = 6


@pytest.fixture(scope="module")
def walk_id(walk) -> str:
    register_environment("test/Walk-v0", walk, max_episode_steps=LIMIT)
    return "test/Walk-v0"


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("seed", [3, [8, 7, 6, 5]], ids=["one seed", "seeds"])
def test_equals_gymnasiums(walk_id, mode, seed):
    ours = gym.make_vec(walk_id, num_envs=N, autoreset_mode=mode)
    theirs = SyncVectorEnv([lambda: gym.make(walk_id)] * N, autoreset_mode=mode)
    assert isinstance(ours, NativeVectorEnv)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert ours.metadata["autoreset_mode"] == theirs.metadata["autoreset_mode"]
    np.testing.assert_array_equal(ours.reset(seed=seed)[0], theirs.reset(seed=seed)[0])
    ours.action_space.seed(0)
    n_ended = 0
    for _ in range(4 * LIMIT):
        actions = ours.action_space.sample()
        *arrays, infos = ours.step(actions)
        *expected, expected_infos = theirs.step(actions)
        for one, other in zip(arrays, expected, strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
        assert infos.keys() == expected_infos.keys()
        for i in np.flatnonzero(infos.get("_final_obs", [])):
            np.testing.assert_array_equal(infos["final_obs"][i], expected_infos["final_obs"][i])
        ended = arrays[2] | arrays[3]
        n_ended += ended.sum()
        if mode == AutoresetMode.DISABLED and ended.any():
            with pytest.raises(gym.error.ResetNeeded):
                ours.step(actions)
            np.testing.assert_array_equal(
                *(env.reset(options={"reset_mask": ended.copy()})[0] for env in (ours, theirs))
            )
    assert n_ended > N


@pytest.mark.parametrize(("arguments", "limit"), [({}, 200), ({"max_episode_steps": 3}, 3)])
def test_the_time_limit(arguments, limit):
    env = gym.make_vec("sb3_tinyrl:rl_tools/Pendulum-v0", num_envs=2, **arguments)
    env.reset(seed=0)
    truncated = [env.step(env.action_space.sample())[3].tolist() for _ in range(limit)]
    assert truncated == [[False] * 2] * (limit - 1) + [[True] * 2]


def test_no_time_limit():
    env = gym.make_vec("sb3_tinyrl:rl_tools/Pendulum-v0", num_envs=1, max_episode_steps=-1)
    env.reset(seed=0)
    assert not any(env.step(env.action_space.sample())[3].any() for _ in range(300))
    with pytest.raises(ValueError, match=r"max_episode_steps=0, expected at least 1, or -1"):
        gym.make_vec("sb3_tinyrl:rl_tools/Pendulum-v0", max_episode_steps=0)


def test_bad_arguments_of_reset(walk_id):
    env = gym.make_vec(walk_id, num_envs=N)
    with pytest.raises(ValueError, match="3 seeds, expected one for each of the 4 environments"):
        env.reset(seed=[1, 2, 3])
    for mask in ([True] * N, np.ones(N), np.ones(N + 1, np.bool_)):
        with pytest.raises(ValueError, match=r"reset_mask=.*expected a numpy array of 4 bools"):
            env.reset(options={"reset_mask": mask})


def test_each_environment_is_drawn():
    env = gym.make_vec("sb3_tinyrl:rl_tools/Pendulum-v0", num_envs=3, render_mode="rgb_array")
    env.reset(seed=0)
    images = env.render()
    assert len({image.tobytes() for image in images}) == 3
