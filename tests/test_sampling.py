"""The kernel's random numbers: uniform over all stored transitions, standard normal noise, and independent streams."""

import numpy as np
import pytest
import torch as th
from draw import draw as draw_step
from models import kernel_of
from parity import make_pair
from scipy import stats

from sb3_tinyrl._native.abi.structs import Engine, ReplayBufferView

# Fixed seeds: each test either always passes or always fails. A correct generator fails one in 10,000 seeds.
SIGNIFICANCE = 1e-4
N_ENVS = 3


@pytest.fixture(scope="module")
def kernel():
    pair = make_pair(5, 2, policy_kwargs=dict(net_arch=[32]), batch_size=32, n_envs=N_ENVS)
    return kernel_of(pair.ours)


def draw(kernel, n_rows: int, n_envs: int, key: int, counter: int) -> tuple[np.ndarray, ...]:
    """Rows, environments, noise and next noise of a gradient step on a replay buffer that holds ``n_rows``."""
    buffer = ReplayBufferView(n_environments=n_envs, capacity=n_rows, n_rows=n_rows)
    rows, environments, (noise, next_noise) = draw_step(kernel.spec, buffer, key, counter)
    return rows, environments, noise, next_noise


@pytest.fixture(scope="module")
def draws(kernel):
    """What 4,000 gradient steps draw from 50 rows."""
    steps = [draw(kernel, 50, N_ENVS, key=5, counter=counter) for counter in range(4000)]
    rows, environments, noise, next_noise = (np.concatenate(parts) for parts in zip(*steps, strict=True))
    return rows, environments, noise, next_noise


def test_transitions_are_uniform_over_rows_and_environments(draws):
    rows, environments, _, _ = draws
    assert rows.min() == 0
    assert rows.max() == 49
    counts = np.bincount(rows * N_ENVS + environments, minlength=50 * N_ENVS)
    assert stats.chisquare(counts).pvalue > SIGNIFICANCE


@pytest.mark.parametrize("n_rows", [1, 2, 7, 1000, 10_000_000])
def test_transitions_stay_within_the_filled_rows(kernel, n_rows):
    rows = np.concatenate([draw(kernel, n_rows, 1, key=1, counter=counter)[0] for counter in range(1000)])
    assert rows.min() >= 0
    assert rows.max() < n_rows
    # The mean of a uniform variate over 0 ... n - 1, within five standard errors.
    error = n_rows / np.sqrt(12 * len(rows))
    assert abs(rows.mean() - (n_rows - 1) / 2) <= 5 * error


@pytest.mark.parametrize("which", [2, 3])
@pytest.mark.parametrize("dimension", [0, 1])
def test_noise_is_standard_normal(draws, which, dimension):
    noise = draws[which][:, dimension].astype(np.float64)
    n = len(noise)
    assert stats.kstest(noise, "norm").pvalue > SIGNIFICANCE
    # First four moments, within five standard errors (1, 2, 15 - 0 and 96 are the variances of x, x^2, x^3, x^4).
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((noise**power).mean() - moment) < 5 * np.sqrt(variance / n)


def test_rows_go_on_at_the_beginning_of_a_ring(kernel):
    buffer = ReplayBufferView(n_environments=1, capacity=10, first_row=8, n_rows=5)
    rows = np.concatenate([draw_step(kernel.spec, buffer, 1, counter)[0] for counter in range(20)])
    assert set(rows) == {8, 9, 0, 1, 2}


def test_noise_of_dimensions_and_streams_is_uncorrelated(draws):
    _, _, noise, next_noise = draws
    samples = np.concatenate([noise, next_noise], axis=1)
    # And with that of the step before.
    samples = np.concatenate([samples[32:], samples[:-32]], axis=1)
    correlations = np.corrcoef(samples, rowvar=False) - np.eye(samples.shape[1])
    assert np.abs(correlations).max() < 5 / np.sqrt(len(samples))


def test_draws_depend_on_key_and_counter_only(kernel):
    first, again = draw(kernel, 50, N_ENVS, 1, 2), draw(kernel, 50, N_ENVS, 1, 2)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    for other in (
        draw(kernel, 50, N_ENVS, 1, 3),
        draw(kernel, 50, N_ENVS, 2, 2),
        draw(kernel, 50, N_ENVS, 2**40 + 1, 2),
    ):
        assert not np.array_equal(first[2], other[2])


def test_philox_equals_the_published_generator(kernel):
    """A known answer: the words that Salmon et al. publish with Random123 (kat_vectors, philox4x32 10).

    For counter and key zero they are 6627e8d5 e169c58d bc57ac4c 9b00dbd8. Stream 0, sample 0, counter 0 and key 0
    ask for exactly that block, and the row comes from its first two words.
    """
    n_rows = 2**32 - 1
    row = draw(kernel, n_rows, 1, key=0, counter=0)[0][0]
    assert row == (0x6627E8D5E169C58D * n_rows) >> 64


def test_exploration_is_the_policys_gaussian():
    pair = make_pair(5, 2, policy_kwargs=dict(net_arch=[32]), batch_size=32)
    kernel = kernel_of(pair.ours)
    observations = np.tile(np.linspace(-1, 1, 5, dtype=np.float32), (20_000, 1))
    actions = kernel.act(observations, Engine(key=3, counter=0))[0].astype(np.float64)
    with th.no_grad():
        mean, log_std, _ = pair.ours.actor.get_action_dist_params(th.tensor(observations[:1]))
    noise = (np.arctanh(actions) - mean.numpy()) / log_std.exp().numpy()
    for dimension in range(2):
        assert stats.kstest(noise[:, dimension], "norm").pvalue > SIGNIFICANCE
    assert abs(np.corrcoef(noise, rowvar=False)[0, 1]) < 5 / np.sqrt(len(noise))


def test_deterministic_actions_equal_sb3():
    pair = make_pair(5, 2, policy_kwargs=dict(net_arch=[32]), batch_size=32)
    kernel = kernel_of(pair.ours)
    observations = np.random.default_rng(0).normal(size=(37, 5)).astype(np.float32)
    actions = kernel.act(observations)[0]
    expected, _ = pair.reference.predict(observations, deterministic=True)
    np.testing.assert_allclose(actions, pair.reference.policy.scale_action(expected), atol=1e-6)
