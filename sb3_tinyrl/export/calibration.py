"""Observations that a policy is quantised by, and what quantising changes on them and on others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import ReplayBuffer

from sb3_tinyrl.export.check import differences, has_bounds, predicted, predicted_samples
from sb3_tinyrl.export.description import (
    Float32Array,
    Float64Array,
    PolicyDescription,
    observation_parts,
    require,
)

#: As ``predict`` takes them: of shape ``(n, *observation_shape)``, or a dictionary of such.
Observations = npt.ArrayLike | Mapping[str, npt.ArrayLike]

_FEWEST, _MOST = 100, 5000
_HELD_OUT = 0.2

_REMEDY = (
    f"pass calibration= (or --calibration to the command), an array of at least {_FEWEST} observations as the "
    "environment gives them, of episodes that are like those to come"
)


@dataclass(frozen=True)
class Calibration:
    """Observations of shape ``(n, observation_dim)``, not normalised, in random order, and in words where from."""

    observations: Float32Array
    held_out: Float32Array
    source: str


@dataclass(frozen=True)
class Errors:
    """Differences from ``predict(deterministic=True)`` as fractions of the action's range."""

    n_observations: int
    largest: float
    mean: float

    def __str__(self) -> str:
        return f"{self.largest:.2%} at most and {self.mean:.2%} on average, on {self.n_observations} observations"


@dataclass(frozen=True)
class QuantizationErrors:
    """What quantising has changed: on the observations that it was calibrated by, and on others of the same source."""

    calibration: Errors
    held_out: Errors
    source: str


def choose(model: SAC, description: PolicyDescription, given: Observations | None) -> Calibration:
    """Take the observations that are given; else of the replay buffer, VecNormalize's statistics, or a bounded space.

    One in five is held out. Of many, 5000 are drawn, the same ones each time.

    :raises ExportError: when there are none, or too few, or some that are not finite or have another shape
    """
    rng = np.random.default_rng(0)
    if given is not None:
        flat, source = _flat(description, given), "the observations given"
        flat = rng.permutation(flat)[:_MOST]
    elif (buffer := _replay_buffer(model)) is not None:
        flat, source = _drawn(description, buffer, rng), "the replay buffer"
    else:
        has_statistics = description.normalization is not None
        require(
            has_statistics or all(map(has_bounds, observation_parts(model).values())),
            "nothing tells how large observations are: the replay buffer has fewer than "
            f"{_FEWEST}, the observation space has no bounds, and there is no VecNormalize",
            _REMEDY,
        )
        flat = predicted_samples(model, description).observations
        source = "the statistics of VecNormalize" if has_statistics else "the observation space"
    require(len(flat) >= _FEWEST, f"there are {len(flat)} observations to calibrate by", _REMEDY)
    require(bool(np.isfinite(flat).all()), "the observations to calibrate by hold NaN or infinite values", _REMEDY)
    n_held_out = int(_HELD_OUT * len(flat))
    return Calibration(flat[n_held_out:], flat[:n_held_out], source)


def measure(
    model: SAC, description: PolicyDescription, calibration: Calibration, act: Callable[[Float32Array], Float64Array]
) -> QuantizationErrors:
    """Compare a quantised policy with ``predict``.

    :param act: from observations to actions, as of :func:`sb3_tinyrl.export.check.evaluate`
    """

    def errors(observations: Float32Array) -> Errors:
        samples = predicted(model, description, observations)
        fractions = differences(description, samples, act(observations))
        return Errors(len(observations), float(fractions.max()), float(fractions.mean()))

    return QuantizationErrors(errors(calibration.observations), errors(calibration.held_out), calibration.source)


def _flat(description: PolicyDescription, observations: Observations) -> Float32Array:
    if not isinstance(observations, Mapping):
        return _rows(observations, description.observation_shape, "calibration")
    require(
        observations.keys() == description.entries.keys(),
        f"calibration has the entries {sorted(observations)}, the observations of the policy "
        f"{sorted(description.entries)}",
        _REMEDY,
    )
    parts = [_rows(observations[name], shape, f"calibration[{name!r}]") for name, shape in description.entries.items()]
    lengths = {len(part) for part in parts}
    require(len(lengths) == 1, f"the entries of calibration have different lengths: {sorted(lengths)}", _REMEDY)
    return np.concatenate(parts, axis=1)


def _rows(values: npt.ArrayLike, shape: tuple[int, ...], what: str) -> Float32Array:
    array = np.asarray(values)
    require(
        array.dtype.kind in "biuf" and array.ndim > len(shape) and array.shape[array.ndim - len(shape) :] == shape,
        f"{what} is an array of shape {array.shape} and type {array.dtype}, expected numbers of shape "
        f"({', '.join(['n', *map(str, shape)])})",
        _REMEDY,
    )
    return array.reshape(-1, int(np.prod(shape))).astype(np.float32)


def _replay_buffer(model: SAC) -> ReplayBuffer | None:
    buffer = getattr(model, "replay_buffer", None)
    enough = isinstance(buffer, ReplayBuffer) and buffer.size() * buffer.n_envs >= _FEWEST
    return buffer if enough else None


def _drawn(description: PolicyDescription, buffer: ReplayBuffer, rng: np.random.Generator) -> Float32Array:
    n = buffer.size() * buffer.n_envs
    steps, envs = np.divmod(rng.choice(n, min(n, _MOST), replace=False), buffer.n_envs)
    observations: Any = buffer.observations
    drawn = (
        {name: array[steps, envs] for name, array in observations.items()}
        if isinstance(observations, dict)
        else observations[steps, envs]
    )
    return _flat(description, drawn)
