"""Does the description say what ``predict`` does? Asked before anything is written."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3 import SAC

from sb3_tinyrl.export.description import (
    Float32Array,
    Float64Array,
    PolicyDescription,
    observation_parts,
    require,
)

#: Fraction of the action range to which an exported policy follows ``predict``.
TOLERANCE = 1e-5

_LARGEST_ROUNDING = 1e-3  # with inputs of 10^5 it comes to 10^-4
#: So many of the samples go into a header, for its self test.
N_EXAMPLES = 8

_N_OBSERVATIONS = 1000
_UNBOUNDED = 1e6  # the bounds of some spaces are the largest numbers of their type, and mean nothing


@dataclass(frozen=True)
class Samples:
    """Random observations, and what ``predict`` does with them.

    ``observations`` has the shape ``(n, observation_dim)`` and is not normalised; ``actions`` has the shape
    ``(n, action_dim)`` and the environment's units.
    """

    observations: Float32Array
    actions: Float64Array


def predicted_samples(model: SAC, description: PolicyDescription) -> Samples:
    """Draw observations and let the model predict, the same ones each time.

    Observations come from the observation space, or from a normal distribution with the statistics of VecNormalize.
    """
    if (statistics := description.normalization) is not None:
        noise = np.random.default_rng(0).normal(size=(_N_OBSERVATIONS, description.observation_dim))
        flat = (statistics.mean + statistics.std * noise).astype(np.float32)
    else:
        flat = np.concatenate([_from_space(part) for part in observation_parts(model).values()], axis=1)
    return predicted(model, description, flat)


def predicted(model: SAC, description: PolicyDescription, flat: Float32Array) -> Samples:
    """Let the model predict.

    :param flat: observations, shape ``(n, observation_dim)``, not normalised
    """
    observations = description.split(flat)
    if description.normalization is not None:
        vec_normalize = model.get_vec_normalize_env()
        assert vec_normalize is not None
        observations = vec_normalize.normalize_obs(observations)
    actions, _ = model.predict(observations, deterministic=True)
    return Samples(flat, actions.reshape(len(flat), -1).astype(np.float64))


def _from_space(space: spaces.Box) -> Float32Array:
    low, high = _bounds(space)
    flat = spaces.Box(low, high, dtype=np.float32, seed=0)  # not the model's space, whose generator is the user's
    return np.stack([flat.sample() for _ in range(_N_OBSERVATIONS)])


def _bounds(space: spaces.Box) -> tuple[Float32Array, Float32Array]:
    low, high = space.low.ravel().astype(np.float32), space.high.ravel().astype(np.float32)
    return np.where(low < -_UNBOUNDED, -np.inf, low), np.where(high > _UNBOUNDED, np.inf, high)


def has_bounds(space: spaces.Box) -> bool:
    """Whether the bounds of all entries mean something."""
    return bool(np.isfinite(_bounds(space)).all())


def evaluate(description: PolicyDescription, observations: Float32Array) -> Float64Array:
    """Compute the actions of a description in double precision.

    :param observations: shape ``(n, observation_dim)``, not normalised
    :return: shape ``(n, action_dim)``, in the environment's units
    """
    x = th.from_numpy(observations.astype(np.float64))
    if (statistics := description.normalization) is not None:
        x = (x - th.from_numpy(statistics.mean)) / th.from_numpy(statistics.std)
        x = _clip(x, statistics.bound)
    for layer in description.layers:
        x = x @ th.from_numpy(layer.weight).double().T + th.from_numpy(layer.bias)
        x = layer.activation.module()(x)
    x = _clip(x, description.mean_bound)
    low, high = description.action_low.astype(np.float64), description.action_high.astype(np.float64)
    scaled: Float64Array = th.tanh(x).numpy()
    return low + 0.5 * (scaled + 1.0) * (high - low)


def _clip(x: th.Tensor, bound: float | None) -> th.Tensor:
    return x if bound is None else x.clamp(-bound, bound)


def largest_difference(description: PolicyDescription, samples: Samples, actions: Float64Array) -> float:
    """Compare actions with what ``predict`` returned, and warn where they differ by more than ``TOLERANCE``.

    :param actions: shape ``(n, action_dim)``, for the observations of the samples
    :return: the largest difference, as a fraction of the action's range
    :raises ExportError: when rounding can't explain it
    """
    difference = float(differences(description, samples, actions).max())
    message = f"the exported policy differs from predict(deterministic=True) by {difference:.1e} of the action range"
    require(
        difference <= _LARGEST_ROUNDING,
        f"{message}, so something other than its weights takes part in the prediction",
        "remove hooks and overridden methods from the policy",
    )
    if difference > TOLERANCE:
        warnings.warn(
            f"{message}, expected at most {TOLERANCE:.0e}: with inputs as large as these, float32 does not resolve the "
            "action any better. Normalise observations, for example with VecNormalize.",
            UserWarning,
            stacklevel=3,
        )
    return difference


def differences(description: PolicyDescription, samples: Samples, actions: Float64Array) -> Float64Array:
    """Return how far actions are from what ``predict`` returned, as fractions of the action's range.

    :param actions: shape ``(n, action_dim)``, for the observations of the samples; the result has it, too
    """
    action_range = description.action_high.astype(np.float64) - description.action_low
    fractions: Float64Array = np.abs(actions - samples.actions) / np.where(action_range > 0, action_range, 1)
    return fractions
