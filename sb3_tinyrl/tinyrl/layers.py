"""The layers of RLtools' policies, evaluated with numpy as RLtools evaluates them when nothing is to be drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class PolicyLayer(Protocol):
    """A function of a vector."""

    @property
    def input_dim(self) -> int | None:
        """The number of values that go in; ``None`` for any."""

    def output_dim(self, input_dim: int) -> int:
        """The number of values that come out."""

    def __call__(self, x: Array) -> Array:
        """Evaluate the layer.

        :param x: shape ``(input_dim,)``
        """


def _sigmoid(x: Array) -> Array:
    y: Array = 1 / (1 + np.exp(-x))
    return y


def _fast_tanh(x: Array) -> Array:
    """RLtools' rational approximation of tanh."""
    x = np.clip(x, -3, 3)
    square = x * x
    y: Array = x * (27 + square) / (27 + 9 * square)
    return y


#: By their names in RLtools. RLtools' writer has no name for its GELU.
ACTIVATION_FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "IDENTITY": lambda x: x,
    "RELU": lambda x: np.maximum(x, 0),
    "TANH": np.tanh,
    "FAST_TANH": _fast_tanh,
    "SIGMOID": _sigmoid,
}


@dataclass(frozen=True)
class Dense:
    """``activation(weight @ x + bias)``, with a weight of shape ``(outputs, inputs)``."""

    weight: Array
    bias: Array
    activation: str

    @property
    def input_dim(self) -> int:
        """The number of values that go in."""
        return int(self.weight.shape[1])

    def output_dim(self, input_dim: int) -> int:
        """The number of values that come out."""
        return len(self.weight)

    def __call__(self, x: Array) -> Array:
        """Evaluate the layer."""
        return ACTIVATION_FUNCTIONS[self.activation](self.weight @ x + self.bias)


@dataclass(frozen=True)
class Standardize:
    """``(x - mean) * precision``; a precision of zero counts as one, as in RLtools."""

    mean: Array
    precision: Array

    @property
    def input_dim(self) -> int:
        """The number of values that go in."""
        return len(self.mean)

    def output_dim(self, input_dim: int) -> int:
        """As many come out."""
        return input_dim

    def __call__(self, x: Array) -> Array:
        """Evaluate the layer."""
        y: Array = (x - self.mean) * np.where(self.precision == 0, self.precision.dtype.type(1), self.precision)
        return y


@dataclass(frozen=True)
class Clip:
    """RLtools' ``td3_sampling`` without its noise: a clip to [-1, 1]."""

    input_dim = None

    def output_dim(self, input_dim: int) -> int:
        """As many come out."""
        return input_dim

    def __call__(self, x: Array) -> Array:
        """Evaluate the layer."""
        return np.clip(x, -1, 1)


@dataclass(frozen=True)
class Distribution:
    """RLtools' ``sample_and_squash`` before it draws: mean and standard deviation of the action before tanh.

    What goes in is the mean and the logarithm of the standard deviation, concatenated.
    """

    log_std_low: float
    log_std_high: float

    input_dim = None

    def output_dim(self, input_dim: int) -> int:
        """As many come out."""
        return input_dim

    def __call__(self, x: Array) -> Array:
        """Evaluate the layer."""
        mean, log_std = np.split(x, 2)
        return np.concatenate([mean, np.exp(np.clip(log_std, self.log_std_low, self.log_std_high))])


class Policy:
    """Layers one after the other, in the precision of their parameters.

    :param observation_dim: what the first layer takes
    :param dtype: of all computations, float32 or float64
    """

    def __init__(self, observation_dim: int, layers: Sequence[PolicyLayer], dtype: npt.DTypeLike) -> None:
        self.observation_dim = observation_dim
        self.layers = tuple(layers)
        self._dtype = np.dtype(dtype)

    def evaluate(self, observation: Array) -> Array:
        """Evaluate the policy.

        :param observation: shape ``(observation_dim,)``
        :return: the last layer's output
        """
        x = np.asarray(observation, self._dtype)
        with np.errstate(all="ignore"):  # infinite and NaN go through, as they do in C++
            for layer in self.layers:
                x = layer(x)
        return x.astype(self._dtype, copy=False)
