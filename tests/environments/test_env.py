"""One environment in Gymnasium, and in what is built on it."""

import copy
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import SubprocVecEnv
from written_environments import EXAMPLE

from sb3_tinyrl import register_environment
from sb3_tinyrl.environments import NativeEnv

SHIPPED = ("Pendulum-v0", "Acrobot-v0", "AcrobotSwingup-v0", "Car-v0", "CarTrack-v0", "L2F-v0")
DRAWN = SHIPPED[:-1]
N_STEPS = 30


def make(name: str = "Pendulum-v0", **arguments) -> gym.Env:
    return gym.make(f"sb3_tinyrl:rl_tools/{name}", **arguments)


@pytest.fixture(scope="module")
def custom() -> str:
    register_environment("test/Custom-v0", EXAMPLE)
    return "test/Custom-v0"


def trajectory(env: gym.Env, n_steps: int = N_STEPS) -> list[tuple]:
    env.action_space.seed(0)
    return [
        (observation.tolist(), *rest)
        for observation, *rest in (env.step(env.action_space.sample()) for _ in range(n_steps))
    ]


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.filterwarnings("ignore:.*(normalized|infinity).*")  # remarks on bounds, which are RLtools' own
def test_checkers_of_gymnasium_and_stable_baselines3_pass(name):
    env = make(name, render_mode="rgb_array" if name in DRAWN else None)
    check_env(env.unwrapped)
    check_env_for_sb3(env)


@pytest.mark.parametrize("name", SHIPPED)
def test_episodes_stay_in_the_observation_space(name):
    env = make(name)
    env.action_space.seed(0)
    limit = env.spec.max_episode_steps
    assert env.unwrapped.environments.episode_step_limit == limit
    for seed in range(3):
        observation, _ = env.reset(seed=seed)
        for step in range(1, limit + 1):
            assert observation in env.observation_space
            observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            assert np.isfinite(reward)
            assert truncated == (step == limit)
            if terminated or truncated:
                break
        assert terminated or truncated


def test_pendulum_has_gymnasiums_spaces():
    ours, theirs = make(), gym.make("Pendulum-v1")
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space


@pytest.mark.parametrize("make_ours", [make, lambda: NativeEnv(EXAMPLE)], ids=["RLtools'", "the example"])
def test_pendulum_steps_as_gymnasiums(make_ours: Callable[[], gym.Env]):
    ours, theirs = make_ours(), gym.make("Pendulum-v1").unwrapped
    theirs.reset()
    actions = np.random.default_rng(0).uniform(-3, 3, size=(150, 1)).astype(np.float32)  # some beyond the bounds
    observation, _ = ours.reset(seed=0)
    for action in actions:
        # From the same state at each step, as float32 and float64 drift apart.
        theirs.state = np.array([np.arctan2(observation[1], observation[0]), observation[2]], np.float64)
        observation, reward, *ends, _ = ours.step(action)
        expected, expected_reward, *expected_ends, _ = theirs.step(action)
        np.testing.assert_allclose(observation, expected, atol=5e-6)
        assert reward == pytest.approx(expected_reward, abs=2e-5)
        assert ends == expected_ends


def test_acrobot_steps_as_gymnasiums():
    ours, theirs = make("Acrobot-v0").unwrapped, gym.make("Acrobot-v1").unwrapped
    theirs.reset()
    rng = np.random.default_rng(0)
    observation, _ = ours.reset(seed=0)
    for _ in range(100):
        torque = rng.integers(3)
        theirs.state = np.array(
            [
                np.arctan2(observation[1], observation[0]),
                np.arctan2(observation[3], observation[2]),
                *observation[4:],
            ],
            np.float64,
        )
        observation, reward, terminated, _, _ = ours.step(np.array([torque - 1], np.float32))
        expected, _, expected_terminated, _, _ = theirs.step(torque)
        np.testing.assert_allclose(observation, expected, atol=1e-4)
        assert terminated == expected_terminated
        assert reward == -1
        if terminated:
            observation, _ = ours.reset()


def test_the_example_is_rltools_pendulum(custom):
    ours, theirs = gym.make(custom), make()
    np.testing.assert_array_equal(ours.reset(seed=5)[0], theirs.reset(seed=5)[0])
    for one, other in zip(trajectory(ours), trajectory(theirs), strict=True):
        np.testing.assert_allclose(one[0], other[0], atol=1e-4)
        assert one[1] == pytest.approx(other[1], abs=1e-3)


def test_an_environment_written_as_rltools_writes_them(changed_example, custom):
    """Functions in namespace rl_tools, for a struct elsewhere, with a type of the observation; as for TinyRL."""
    folder = changed_example(
        ("    // The functions below", "}\nnamespace rl_tools {\n    using my::Pendulum;\n    // The functions below"),
        ("static constexpr TI OBSERVATION_DIM = 3;", "struct Observation { static constexpr TI DIM = 3; };"),
        ("[OBSERVATION_DIM]", "[3]"),
        ("const TYPE&", "const typename Pendulum<T, TI>::Observation&"),
        ("typename TYPE, ", ""),
    )
    ours, theirs = NativeEnv(folder), gym.make(custom)
    np.testing.assert_array_equal(ours.reset(seed=5)[0], theirs.reset(seed=5)[0])
    assert trajectory(ours) == trajectory(theirs)


def test_nominal_initial_state(custom):
    env = gym.make(custom)
    for _ in range(2):
        observation, _ = env.reset(options={"nominal": True})
        np.testing.assert_allclose(observation, [-1, 0, 0], atol=1e-6)
    assert env.reset(options={"nominal": False})[0].tolist() != observation.tolist()
    with pytest.raises(ValueError, match=r"unknown reset options \['x_init'\]; native environments know 'nominal'"):
        env.reset(options={"x_init": 1})


def test_without_an_initial_state_one_is_drawn(changed_example):
    env = NativeEnv(changed_example((" initial_state(", " another_name(")))
    starts = [env.reset(seed=seed, options={"nominal": True})[0].tolist() for seed in (0, 0, 1)]
    assert starts[0] == starts[1] != starts[2]


def test_the_time_limit_is_gymnasiums():
    for arguments, limit in (({}, 200), ({"max_episode_steps": 3}, 3), ({"max_episode_steps": 300}, 300)):
        env = make(**arguments)
        env.reset(seed=0)
        truncated = [step[3] for step in trajectory(env, limit)]
        assert truncated == [False] * (limit - 1) + [True]
    env = make(max_episode_steps=-1)
    env.reset()
    assert not any(step[3] for step in trajectory(env, 300))


def test_the_time_limit_of_a_custom_environment(custom):
    env = gym.make(custom)
    assert env.spec.max_episode_steps == 200
    env.reset()
    assert [step[3] for step in trajectory(env, 200)].index(True) == 199
    register_environment("test/Short-v0", EXAMPLE, max_episode_steps=7)
    assert gym.make("test/Short-v0").spec.max_episode_steps == 7


def test_an_ended_episode_needs_a_reset():
    env = make("Acrobot-v0").unwrapped
    with pytest.raises(gym.error.ResetNeeded, match="no episode has begun"):
        env.step(np.zeros(1, np.float32))
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    while not env.step(rng.choice([-5, 5], 1).astype(np.float32))[2]:
        pass
    with pytest.raises(gym.error.ResetNeeded, match="has ended; call reset"):
        env.step(np.zeros(1, np.float32))


def test_the_reference_stays_as_it_was():
    """Earlier observations are not overwritten."""
    env = make()
    first, _ = env.reset(seed=0)
    kept = first.tolist()
    second = env.step(np.ones(1, np.float32))[0]
    assert first.tolist() == kept != second.tolist()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies_go_on_alike(duplicate):
    env = make("CarTrack-v0")
    env.reset(seed=0)
    trajectory(env, 5)
    assert trajectory(duplicate(env), 3) == trajectory(env, 3)


def test_subprocesses_give_the_same_numbers():
    subprocesses = make_vec_env(
        "sb3_tinyrl:rl_tools/Pendulum-v0",
        n_envs=2,
        seed=0,
        vec_env_cls=SubprocVecEnv,
        vec_env_kwargs={"start_method": "fork" if hasattr(os, "fork") else "spawn"},
    )
    here = make_vec_env("sb3_tinyrl:rl_tools/Pendulum-v0", n_envs=2, seed=0)
    try:
        np.testing.assert_array_equal(subprocesses.reset(), here.reset())
        for _ in range(5):
            action = np.ones((2, 1), np.float32)
            for one, other in zip(subprocesses.step(action)[:3], here.step(action)[:3], strict=True):
                np.testing.assert_array_equal(one, other)
    finally:
        subprocesses.close()


def test_render_modes(custom):
    env = make()
    env.reset()
    with pytest.warns(UserWarning, match="pass render_mode='rgb_array'"):
        assert env.unwrapped.render() is None
    with pytest.raises(TypeError, match="this environment has no renderer; leave render_mode out"):
        gym.make(custom, render_mode="rgb_array")
    with pytest.raises(ValueError, match="expected 'rgb_array' or None"):
        NativeEnv(EXAMPLE, render_mode="ansi")
    assert make_vec_env(custom).render_mode is None


def test_a_custom_environment_draws_itself(tmp_path: Path):
    def draw(observation: np.ndarray) -> np.ndarray:
        return np.full((4, 5, 3), 100 * (observation[2] > 0), np.uint8)

    register_environment("test/Drawn-v0", EXAMPLE, renderer=draw)
    env = gym.make("test/Drawn-v0", render_mode="rgb_array")
    seen = {(env.reset(seed=seed)[0][2] > 0, env.render()[0, 0, 0]) for seed in range(10)}
    assert seen == {(True, 100), (False, 0)}
