"""What every environment must keep to, and what this one does."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from sb3_tinyrl import register_environment
from sb3_tinyrl.environments.checking import check_environment

FOLDER = Path(__file__).parent
ENV_ID = "$env_id"
register_environment(ENV_ID, FOLDER)


@pytest.fixture
def env() -> gym.Env:
    """The environment that ``environment.h`` describes."""
    return gym.make(ENV_ID)


def test_it_keeps_to_the_interface_of_gymnasium(env: gym.Env) -> None:
    """Spaces, types, and that all randomness follows the seed."""
    check_env(env.unwrapped)


def test_sanitizers_find_nothing() -> None:
    """Neither exceptions nor memory out of bounds, undefined arithmetic, or numbers that are not finite."""
    check_environment(FOLDER, n_steps=1000)


# --- of the mass on a rail; replace these by your own ---


def test_a_force_moves_the_mass(env: gym.Env) -> None:
    """By Newton's second law, for the mass that the reset asks for."""
    env.reset(seed=0, options={"parameters": {"mass": 0.5}, "state": {"position": 0.0, "velocity": 0.0}})
    observation, *_ = env.step(np.array([1.0], np.float32))
    assert observation[1] == pytest.approx(1.0 / 0.5 * 0.05)


def test_an_episode_ends_at_the_end_of_the_rail(env: gym.Env) -> None:
    """As ``terminated``: what comes after is worth nothing."""
    env.reset(seed=0, options={"state": {"position": 0.99, "velocity": 1.0}})
    *_, terminated, truncated, _ = env.step(np.array([0.0], np.float32))
    assert terminated
    assert not truncated
