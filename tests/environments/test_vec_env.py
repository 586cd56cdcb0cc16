"""The native VecEnv is a DummyVecEnv over Monitor, but for the speed; any algorithm trains on it."""

import pickle

import numpy as np
import pytest
from gymnasium.wrappers import RescaleAction
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize

from sb3_tinyrl import NativeVecEnv, TinySAC, register_environment

PENDULUM = "sb3_tinyrl:rl_tools/Pendulum-v0"
N = 4
LIMIT = 6


@pytest.fixture(scope="module")
def walk_id(walk) -> str:
    register_environment("test/ShortWalk-v0", walk, max_episode_steps=LIMIT)
    return "test/ShortWalk-v0"


def assert_same_infos(infos: list[dict], expected: list[dict]) -> None:
    for one, other in zip(infos, expected, strict=True):
        assert one.keys() == other.keys()
        assert one["TimeLimit.truncated"] == other["TimeLimit.truncated"]
        if "episode" in one:
            np.testing.assert_array_equal(one["terminal_observation"], other["terminal_observation"])
            assert one["episode"]["r"] == pytest.approx(other["episode"]["r"], abs=2e-6)
            assert one["episode"]["l"] == other["episode"]["l"]
            assert one["episode"]["t"] >= 0


def test_equals_stable_baselines3s(walk_id):
    ours = NativeVecEnv(walk_id, N, seed=3)
    theirs = make_vec_env(walk_id, N, seed=3)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    np.testing.assert_array_equal(ours.reset(), theirs.reset())
    rng = np.random.default_rng(0)
    terminated = truncated = 0
    for _ in range(6 * LIMIT):
        actions = rng.uniform(-1, 1, (N, 2)).astype(np.float32)
        *arrays, infos = ours.step(actions)
        *expected, expected_infos = theirs.step(actions)
        for one, other in zip(arrays, expected, strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
        assert_same_infos(infos, expected_infos)
        truncated += sum(info["TimeLimit.truncated"] for info in infos)
        terminated += arrays[2].sum() - sum(info["TimeLimit.truncated"] for info in infos)
    assert terminated
    assert truncated


def test_seeds_and_options_hold_for_one_reset():
    env = NativeVecEnv(PENDULUM, 2, seed=5)
    first, second = env.reset(), env.reset()
    env.seed(5)
    assert env.reset().tolist() == first.tolist() != second.tolist()
    env.set_options([{"nominal": True}, {}])
    nominal = env.reset()
    np.testing.assert_allclose(nominal[0], [-1, 0, 0], atol=1e-6)
    assert abs(nominal[1, 2]) > 0
    assert abs(env.reset()[0, 2]) > 0


def test_attributes_and_methods_of_each_environment():
    env = NativeVecEnv(PENDULUM, 3, render_mode="rgb_array")
    env.reset()
    assert env.get_attr("spec")[0].id == "rl_tools/Pendulum-v0"
    assert env.get_attr("render_mode", [0, 2]) == ["rgb_array"] * 2
    env.set_attr("difficulty", 2, indices=1)
    assert env.get_attr("difficulty", 1) == [2]
    assert not env.has_attr("difficulty")
    with pytest.raises(AttributeError):
        env.get_attr("difficulty")
    assert [image.shape for image in env.env_method("render", indices=[0, 1])] == [(500, 500, 3)] * 2
    with pytest.raises(AttributeError, match="compute_reward"):
        env.env_method("compute_reward")
    assert env.env_is_wrapped(Monitor, indices=[0, 2]) == [True] * 2  # which it does itself
    assert env.env_is_wrapped(RescaleAction) == [False] * 3
    assert env.render().shape == (1000, 1000, 3)


def test_a_limit_of_ones_own():
    env = NativeVecEnv(PENDULUM, 2, max_episode_steps=2)
    env.reset()
    dones = [env.step(np.zeros((2, 1), np.float32))[2].tolist() for _ in range(4)]
    assert dones == [[False] * 2, [True] * 2] * 2


def test_pickled():
    env = NativeVecEnv(PENDULUM, 2, seed=0)
    env.reset()
    other = pickle.loads(pickle.dumps(env))
    actions = np.ones((2, 1), np.float32)
    np.testing.assert_array_equal(env.step(actions)[0], other.step(actions)[0])


def test_another_kind_of_environment_is_refused():
    with pytest.raises(ValueError, match=r"Pendulum-v1 is no native environment; .*rl_tools/Pendulum-v0"):
        NativeVecEnv("Pendulum-v1")


def test_ppo_and_wrappers():
    env = VecNormalize(VecFrameStack(NativeVecEnv(PENDULUM, 4, seed=0), 2))
    model = PPO("MlpPolicy", env, n_steps=256, policy_kwargs={"net_arch": [16]}, seed=0, device="cpu")
    model.learn(1024)
    assert model.num_timesteps == 1024
    assert [info["l"] for info in model.ep_info_buffer] == [200] * 4


def test_tiny_sac():
    model = TinySAC(
        "MlpPolicy",
        NativeVecEnv(PENDULUM, 2, seed=0, max_episode_steps=20),
        policy_kwargs={"net_arch": [32, 32]},
        batch_size=32,
        learning_starts=20,
        seed=0,
        kernel="native",
    )
    model.learn(100)
    buffer = model.replay_buffer
    assert buffer.timeouts[:50].sum() == buffer.dones[:50].sum() == 4
    assert [info["l"] for info in model.ep_info_buffer] == [20] * 4
