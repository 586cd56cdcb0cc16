"""The same seed gives the same bits, on any number of threads."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from backends import EACH_LIBRARY
from models import Scripted, differences, make, scripted, state
from stable_baselines3 import SAC

from sb3_tinyrl import TinySAC


def trained(n_steps: int = 150, **arguments: Any) -> dict[str, th.Tensor]:
    return state(make(**arguments).learn(n_steps))


@pytest.mark.parametrize("arguments", [{}, {"gradient_steps": 20, "train_freq": 10}, {"ent_coef": 0.1}], ids=str)
def test_the_same_seed_gives_the_same_bits(arguments: dict[str, Any]) -> None:
    assert not differences(trained(**arguments), trained(**arguments))


@pytest.mark.parametrize("n_threads", [2, 3, 16])
def test_the_number_of_threads_does_not_matter(n_threads: int) -> None:
    assert not differences(trained(n_threads=1), trained(n_threads=n_threads))


@EACH_LIBRARY
@pytest.mark.parametrize("n_threads", [2, 16])
def test_the_number_of_threads_does_not_matter_to_a_blas(library: str, n_threads: int) -> None:
    """Batches of four panels."""
    arguments = {"backend": library, "batch_size": 200}
    assert not differences(trained(n_threads=1, **arguments), trained(n_threads=n_threads, **arguments))


def test_the_number_of_threads_may_change_on_the_way() -> None:
    model = make(n_threads=1).learn(75)
    model.n_threads = 2
    model.learn(75, reset_num_timesteps=False)
    reference = make(n_threads=1).learn(75).learn(75, reset_num_timesteps=False)
    assert not differences(state(model), state(reference))


def test_hopper_on_one_and_two_threads() -> None:
    """float64 observations, several actions and real physics."""
    one, two = (make(env=gym.make("Hopper-v5"), n_threads=n).learn(200) for n in (1, 2))
    assert not differences(state(one), state(two))
    np.testing.assert_array_equal(one.replay_buffer.observations, two.replay_buffer.observations)


def test_other_seeds_draw_other_batches_and_actions() -> None:
    def run(seed: int) -> TinySAC:
        model = make(env=Scripted(), gradient_steps=0)  # the same weights
        model.learn(20)
        model.set_random_seed(seed)
        model.learn(20, reset_num_timesteps=False)
        return model

    models = [run(seed) for seed in (1, 2, 1)]
    actions = [model.replay_buffer.actions[20:40] for model in models]
    assert np.array_equal(actions[0], actions[2])
    assert not np.any(actions[0] == actions[1])
    models[1].replay_buffer = models[2].replay_buffer = models[0].replay_buffer
    for model in models:
        model.train(5, 32)
    assert not differences(state(models[0]), state(models[2]))
    assert len(differences(state(models[0]), state(models[1]))) > 50


def test_other_seeds_start_with_other_weights() -> None:
    assert len(differences(trained(), trained(seed=1))) > 50


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32 - 1])
def test_every_seed_that_sb3_takes_is_taken(seed: int) -> None:
    assert not differences(trained(40, seed=seed), trained(40, seed=seed))
    SAC("MlpPolicy", Scripted(), seed=seed, device="cpu")


def test_setting_the_seed_starts_the_random_numbers_anew() -> None:
    model = make(env=scripted(), learning_starts=0, gradient_steps=0)
    model.learn(30)
    model.set_random_seed(0)
    model.set_random_seed(None)  # changes nothing, as in SB3
    model.env.envs[0].n_episodes = model.env.envs[0].n_steps = 0
    model.learn(30)
    buffer = model.replay_buffer
    assert len(np.unique(buffer.actions[:30])) == 30
    assert np.array_equal(buffer.actions[:30], buffer.actions[30:60])


def test_without_a_seed_torchs_decides() -> None:
    def run(seed: int) -> dict[str, th.Tensor]:
        th.manual_seed(seed)
        model = make(env=Scripted(), seed=None, learning_starts=20)
        model.action_space.seed(0)  # SB3 seeds it only together with everything else
        return state(model.learn(100))

    first = run(0)
    assert not differences(first, run(0))
    assert differences(first, run(1))


def test_two_models_without_a_seed_differ() -> None:
    models = [make(env=Scripted(), seed=None, learning_starts=0, gradient_steps=0).learn(20) for _ in range(2)]
    assert models[0]._kernel_key != models[1]._kernel_key
