"""Several environments in one call: the same numbers as one alone, in every way to step them."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from written_environments import ZOO, write_walk

from sb3_tinyrl._native.abi.env_batch import Autoreset, Environments
from sb3_tinyrl._native.errors import EpisodeEndedError

N_STEPS = 12
LIMIT = 5

SEEDS = st.integers(0, 2**64 - 1)


def actions_of(environments: Environments, n_steps: int = N_STEPS) -> np.ndarray:
    """A random action for each step, not all of them within the bounds."""
    return np.random.default_rng(0).normal(size=(n_steps, environments.n, environments.action_dim)).astype(np.float32)


def alone(folder: Path, seed: int, actions: np.ndarray, mode: Autoreset) -> list[tuple]:
    """What one environment goes through, reset by hand as Gymnasium describes the mode."""
    environment = Environments(folder)
    environment.seed(0, seed)
    environment.reset()
    trace, ended, total, length = [], False, 0.0, 0
    for action in actions:
        final = None
        if ended and mode == Autoreset.NEXT_STEP:
            environment.reset()
            reward, terminated, truncated, total, length = 0.0, False, False, 0.0, 0
        else:
            environment.step(action[np.newaxis], LIMIT, Autoreset.DISABLED)
            reward, terminated, truncated = (
                array.item() for array in (environment.rewards, environment.terminated, environment.truncated)
            )
            total, length = total + reward, length + 1
        ended = terminated or truncated
        episode = (total, length) if ended else None
        if ended and mode == Autoreset.SAME_STEP:
            final = environment.observations[0].tolist()
            environment.reset()
            total, length = 0.0, 0
        trace.append((environment.observations[0].tolist(), reward, terminated, truncated, final, episode))
    return trace


@settings(max_examples=20)
@given(seeds=st.lists(SEEDS, min_size=1, max_size=5), mode=st.sampled_from([Autoreset.NEXT_STEP, Autoreset.SAME_STEP]))
def test_a_batch_equals_its_members_alone(walk: Path, seeds: list[int], mode: Autoreset) -> None:
    batch = Environments(walk, len(seeds))
    for i, seed in enumerate(seeds):
        batch.seed(i, seed)
    batch.reset()
    actions = actions_of(batch)
    expected = [alone(walk, seed, actions[:, i], mode) for i, seed in enumerate(seeds)]
    n_ended = 0
    for step in range(N_STEPS):
        batch.step(actions[step], LIMIT, mode)
        for i in range(len(seeds)):
            observation, reward, terminated, truncated, final, episode = expected[i][step]
            assert batch.observations[i].tolist() == observation
            assert batch.rewards[i] == reward
            assert (batch.terminated[i], batch.truncated[i]) == (terminated, truncated)
            if final is not None:
                assert batch.final_observations[i].tolist() == final
            if episode is not None:
                n_ended += 1
                assert (batch.episode_returns[i], batch.episode_lengths[i]) == pytest.approx(episode, rel=1e-6)
    assert n_ended >= len(seeds)


def test_different_seeds_differ(walk: Path) -> None:
    n = 100
    environments = Environments(walk, n)
    for i in range(n):
        environments.seed(i, i)
    environments.reset()
    assert len(np.unique(environments.observations)) == environments.observations.size


def test_unseeded_environments_differ(walk: Path) -> None:
    one, other = Environments(walk, 2), Environments(walk, 2)
    one.reset()
    other.reset()
    assert len({tuple(row) for row in (*one.observations, *other.observations)}) == 4


def test_states_are_drawn_uniformly() -> None:
    pendulum = Environments(ZOO / "pendulum", 3000)
    for i in range(pendulum.n):
        pendulum.seed(i, i)
    pendulum.reset()
    cosine, sine, velocity = pendulum.observations.T
    assert stats.kstest(np.arctan2(sine, cosine), "uniform", (-np.pi, 2 * np.pi)).pvalue > 0.01
    assert stats.kstest(velocity, "uniform", (-1, 2)).pvalue > 0.01


def test_reset_goes_on_with_the_random_numbers(walk: Path) -> None:
    environment = Environments(walk)
    seen = []
    for _ in range(2):
        environment.seed(0, 7)
        for _ in range(3):
            environment.reset()
            seen.append(environment.observations.tolist())
    assert seen[:3] == seen[3:]
    assert seen[0] != seen[1] != seen[2]


def test_only_masked_environments_are_reset(walk: Path) -> None:
    environments = Environments(walk, 3)
    environments.reset()
    before = environments.observations.copy()
    environments.reset(np.array([False, True, False]))
    assert (environments.observations != before).any(axis=1).tolist() == [False, True, False]


def test_copies_and_pickles_go_on_alike(walk: Path) -> None:
    original = Environments(walk, 3)
    original.reset()
    actions = actions_of(original)
    original.step(actions[0], LIMIT, Autoreset.SAME_STEP)
    copies = [copy.deepcopy(original), pickle.loads(pickle.dumps(original))]
    for action in actions[1:]:
        for environments in (original, *copies):
            environments.step(action, LIMIT, Autoreset.SAME_STEP)
        for environments in copies:
            np.testing.assert_array_equal(environments.observations, original.observations)
            np.testing.assert_array_equal(environments.rewards, original.rewards)


def test_a_pickle_of_other_sources_is_refused(tmp_path: Path) -> None:
    folder = write_walk(tmp_path / "walk")
    pickled = pickle.dumps(Environments(folder))
    write_walk(folder, observations=4)
    with pytest.raises(ValueError, match="has changed since this was pickled"):
        pickle.loads(pickled)


def test_episodes_of_another_number_of_environments_are_refused(walk: Path) -> None:
    with pytest.raises(ValueError, match=r"are no 2 episodes of the environment in .*expected \d+ for each"):
        Environments(walk, 2).episodes = Environments(walk, 3).episodes


def test_actions_are_clipped_to_their_bounds() -> None:
    environments = Environments(ZOO / "pendulum", 2)
    for i in range(2):
        environments.seed(i, 0)
    environments.reset()
    environments.step([[2.0], [1e30]], 0, Autoreset.DISABLED)
    assert environments.observations[0].tolist() == environments.observations[1].tolist()
    assert environments.rewards[0] == environments.rewards[1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_actions_that_are_not_finite_are_refused_before_any_step(walk: Path, value: float) -> None:
    environments = Environments(walk, 3)
    environments.reset()
    before = environments.episodes
    actions = np.zeros((3, 2), np.float32)
    actions[1, 1] = value
    with pytest.raises(ValueError, match=r"for environment 1 is not finite, expected .*No environment took a step"):
        environments.step(actions, 0, Autoreset.SAME_STEP)
    assert environments.episodes == before


@settings(max_examples=20)
@given(shape=st.lists(st.integers(0, 4), max_size=3).map(tuple).filter(lambda shape: shape != (3, 2)))
def test_actions_of_another_shape_are_refused(walk: Path, shape: tuple[int, ...]) -> None:
    environments = Environments(walk, 3)
    environments.reset()
    with pytest.raises(ValueError, match=r"actions of shape .*expected \(3, 2\)"):
        environments.step(np.zeros(shape), 0, Autoreset.SAME_STEP)


def test_steps_outside_of_an_episode_are_refused(walk: Path) -> None:
    environments = Environments(walk, 2)
    actions = np.zeros((2, 2), np.float32)
    environments.reset(np.array([True, False]))
    with pytest.raises(EpisodeEndedError, match="no episode has begun"):
        environments.step(actions, 1, Autoreset.DISABLED)
    environments.reset()
    environments.step(actions, 1, Autoreset.DISABLED)
    with pytest.raises(EpisodeEndedError, match="environment 0 has ended; call reset"):
        environments.step(actions, 1, Autoreset.DISABLED)
    environments.reset()
    environments.step(actions, 1, Autoreset.DISABLED)


@pytest.mark.parametrize(("observations", "actions"), [(1, 1), (17, 6)])
def test_any_sizes(tmp_path: Path, observations: int, actions: int) -> None:
    environments = Environments(write_walk(tmp_path / "walk", observations, actions), 4)
    environments.reset()
    assert (environments.observation_dim, environments.action_dim) == (observations, actions)
    assert environments.episode_step_limit == 0
    environments.step(np.zeros((4, actions)), 0, Autoreset.SAME_STEP)
    assert np.isfinite(environments.observations).all()


def test_a_number_of_environments_below_one(walk: Path) -> None:
    with pytest.raises(ValueError, match="0 environments, expected at least 1"):
        Environments(walk, 0)
