"""From floats to integers: ranges, units, and what happens at their ends."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policies import ALL_ACTIVATIONS, PolicyKind, observations_and_actions, policy_kinds

from sb3_tinyrl.export import check
from sb3_tinyrl.export.description import Normalization, PolicyDescription, describe
from sb3_tinyrl.export.quantization import (
    INT8_MAX,
    INT16_MAX,
    INT32_MAX,
    IntegerPolicy,
    _multiplier_and_shift,
    evaluate,
    quantize,
)


def flat_observations(kind: PolicyKind) -> tuple[PolicyDescription, np.ndarray]:
    model = kind.model()
    return describe(model), observations_and_actions(model)[0].reshape(1000, -1)


def error(description: PolicyDescription, policy: IntegerPolicy, observations: np.ndarray) -> float:
    """The largest difference from the description in floats, as a fraction of the action's range."""
    actions = policy.action_values(evaluate(policy, policy.fixed_point(observations)))
    action_range = description.action_high - description.action_low
    return float((np.abs(actions - check.evaluate(description, observations)) / action_range).max())


@settings(max_examples=15)
@given(kind=policy_kinds(ALL_ACTIVATIONS), scale=st.floats(-12, 12), weight_scale=st.sampled_from([0.0, 1e-30, 1, 1e6]))
def test_integers_are_in_range_whatever_the_policy_is(kind, scale, weight_scale):
    """Magnitudes of weights and observations are of no kind that makes sense."""
    description, observations = flat_observations(kind)
    observations = (observations * 10**scale).astype(np.float32)
    layers = tuple(replace(layer, weight=layer.weight * np.float32(weight_scale)) for layer in description.layers)
    policy = quantize(replace(description, layers=layers), observations)
    for layer in policy.layers:
        assert np.abs(layer.weight).max() <= INT8_MAX
        assert np.all((layer.shift >= 0) & (layer.shift <= 47))
        assert np.all((layer.multiplier >= 0) & (layer.multiplier <= INT16_MAX))
        assert -INT16_MAX - 1 <= layer.low <= layer.high <= INT16_MAX
        assert layer.largest_accumulator <= INT32_MAX
    for following, layer in zip(policy.layers[1:], policy.layers[:-1], strict=True):
        largest = max(layer.high, -layer.low) if layer.table is None else np.abs(layer.table).max()
        assert largest <= following.input_bound
    low, high, offset = policy.observation_low, policy.observation_high, policy.observation_offset
    assert np.all((low <= high) & (np.abs([low, high]).max(axis=0) <= 2**30 + INT16_MAX))
    assert np.abs([low - offset, high - offset]).max() <= policy.layers[0].input_bound
    assert np.all(policy.action_low <= policy.action_high)
    assert np.all(np.abs([policy.action_low, policy.action_high]) <= 2**24)
    assert INT16_MAX * policy.action_half_range.max() <= INT32_MAX
    assert max(np.abs(policy.observation_fraction_bits).max(), np.abs(policy.action_fraction_bits).max()) <= INT8_MAX


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1e4, 1e9])
def test_units_of_observations_do_not_matter(scale):
    description, observations = flat_observations(PolicyKind((6,), (2,), seed=1))
    first, *others = description.layers
    scales = np.float32(scale) ** np.float32([1, 1, 0, 0, -0.5, 0.5])
    scaled = replace(description, layers=(replace(first, weight=first.weight / scales), *others))
    observations = observations * scales
    assert error(scaled, quantize(scaled, observations), observations) < 0.02


def test_observations_may_be_far_from_zero():
    description, observations = flat_observations(PolicyKind((6,), (2,), seed=1))
    first, *others = description.layers
    offset = np.float32([0, 100, -1000, 5000, 10, 0])
    bias = (first.bias - first.weight.astype(float) @ offset).astype(np.float32)
    moved = replace(description, layers=(replace(first, bias=bias), *others))
    observations = observations + offset
    assert error(moved, quantize(moved, observations), observations) < 0.02


def test_observations_beyond_those_seen_are_clipped_at_twice_their_range():
    description, observations = flat_observations(PolicyKind((4,), (1,), seed=3))
    policy = quantize(description, observations)
    low, high = observations.min(axis=0), observations.max(axis=0)
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    inside, edge = middle + 1.9 * half, middle + 2 * half
    assert error(description, policy, inside[None].astype(np.float32)) < 0.1
    actions = [evaluate(policy, policy.fixed_point(np.float32([middle + factor * half]))) for factor in (2.01, 9, 1e30)]
    assert np.array_equal(actions[0], actions[1])
    assert np.array_equal(actions[0], actions[2])
    assert np.allclose(policy.observation_high * np.exp2(-policy.observation_fraction_bits), edge, rtol=1e-3)


def test_observations_are_clipped_where_vec_normalize_clips_them():
    description, observations = flat_observations(PolicyKind((4,), (1,), clip_obs=0.5, seed=3))
    statistics = description.normalization
    assert isinstance(statistics, Normalization)
    policy = quantize(description, observations)
    for bound, sign in ((policy.observation_low, -1), (policy.observation_high, 1)):
        values = bound * np.exp2(-policy.observation_fraction_bits)
        assert np.allclose(values, statistics.mean + sign * 0.5 * statistics.std, atol=1e-3 * statistics.std.max())


def test_an_entry_that_never_changes_is_held():
    description, observations = flat_observations(PolicyKind((4,), (1,), seed=3))
    observations[:, 1], observations[:, 2] = 0, 7.25
    policy = quantize(description, observations)
    assert error(description, policy, observations) < 0.03
    held = evaluate(policy, policy.fixed_point(observations))
    observations[:, 1:3] += np.float32([-3, 1e6])
    assert np.array_equal(evaluate(policy, policy.fixed_point(observations)), held)


def test_a_policy_without_weights_gives_its_bias():
    description, observations = flat_observations(PolicyKind((4,), (2,), (8, 8), seed=3))
    layers = tuple(replace(layer, weight=0 * layer.weight, bias=0 * layer.bias) for layer in description.layers[:-1])
    last = replace(description.layers[-1], weight=0 * description.layers[-1].weight, bias=np.float32([0, 0.5]))
    dead = replace(description, layers=(*layers, last))
    assert error(dead, quantize(dead, observations), observations) < 1e-3


def test_actions_without_range_are_what_they_are():
    description, observations = flat_observations(PolicyKind((4,), (2,), seed=3))
    low, high = np.float32([0.1, -1]), np.float32([0.1, 1])
    fixed = replace(description, action_low=low, action_high=high)
    policy = quantize(fixed, observations)
    actions = policy.action_values(evaluate(policy, policy.fixed_point(observations)))
    assert np.all(actions[:, 0] == low[0])
    assert actions[:, 1].std() > 0.1


@given(st.floats(2.0**-31, 2.0**14))
def test_multipliers_and_shifts_approximate_ratios(ratio):
    [multiplier], [shift] = _multiplier_and_shift(np.array([ratio]))
    assert multiplier / 2.0**shift == pytest.approx(ratio, rel=2**-14)
