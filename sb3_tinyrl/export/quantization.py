"""From a description in float32 to one in integers: int8 weights, int16 activations, int32 accumulators.

Values are integers times a real *unit*. Weights are symmetric with a unit for each row, observations and actions have
power-of-two units (fixed point), and a rounded multiplication by ``multiplier / 2**shift`` takes accumulators from one
unit to another, as in B. Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018. :func:`evaluate` computes what the C++ of ``cpp_int8`` computes, bit by
bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch as th
from torch import nn

from sb3_tinyrl.activations import Activation
from sb3_tinyrl.export.description import Float32Array, Float64Array, PolicyDescription

IntArray = npt.NDArray[np.int64]

INT8_MAX, INT16_MAX, INT32_MAX = 2**7 - 1, 2**15 - 1, 2**31 - 1
#: Observations lie within this bound, so that their difference from an offset fits into an int32.
OBSERVATION_BOUND = 2**30
#: Up to it each integer is a float32, so that an action in float is within the bounds, too.
ACTION_BOUND = 2**24
#: A table has so many intervals over the range of an int16, each of 256 integers.
N_INTERVALS = 256

# What is seen in calibration may be exceeded so many times before it is clipped. It costs one of the 16 bits.
_HEADROOM = 2.0
_BIAS_BOUND = 2**30
_UNIT_FACTORS = np.linspace(1, 1.5, 101)
_LARGEST_FRACTION_BITS = 120  # both 2**120 and its inverse are float32
_GRID = np.linspace(-1, 1, N_INTERVALS + 1)
_LARGEST_SHIFT = 47  # a product of accumulator and multiplier, below 2**46 in magnitude, is rounded to zero by it


@dataclass(frozen=True)
class IntegerLayer:
    """``table(clip(round((weight @ x + bias) * multiplier / 2**shift), low, high))``, without a table as it is.

    ``weight`` has the shape ``(outputs, inputs)`` and the range of an int8; ``bias`` (int32), ``multiplier`` (int16)
    and ``shift`` (0 to 47) have the shape ``(outputs,)``. No input is larger than ``input_bound`` in magnitude, by
    which no accumulator leaves int32. ``table`` has ``N_INTERVALS + 1`` values (int16) over the range of an int16, with
    straight lines between them.
    """

    weight: IntArray
    bias: IntArray
    multiplier: IntArray
    shift: IntArray
    low: int
    high: int
    table: IntArray | None
    input_bound: int

    @property
    def largest_accumulator(self) -> int:
        """What no partial sum exceeds in magnitude, whatever the inputs are."""
        return int((np.abs(self.weight).sum(axis=1) * self.input_bound + np.abs(self.bias)).max())


@dataclass(frozen=True)
class IntegerPolicy:
    """A policy that takes and gives fixed-point numbers: integers of ``value * 2**fraction_bits``, each with its own.

    Observations are clipped to ``[observation_low, observation_high]``, and ``observation_offset`` is subtracted. The
    last layer gives tanh of the mean in units of 1 / 32767, and half the action's range is given in units that make up
    for 32768 in its place. Arrays of observations have the shape ``(observation_dim,)``, those of actions
    ``(action_dim,)``.
    """

    observation_fraction_bits: IntArray
    observation_low: IntArray
    observation_high: IntArray
    observation_offset: IntArray
    layers: tuple[IntegerLayer, ...]
    action_fraction_bits: IntArray
    action_low: IntArray
    action_high: IntArray
    action_middle: IntArray
    action_half_range: IntArray

    def fixed_point(self, observations: Float32Array) -> IntArray:
        """Convert observations of shape ``(n, observation_dim)`` as the C++ function for floats does."""
        with np.errstate(over="ignore"):
            scaled = observations * np.ldexp(np.float32(1), self.observation_fraction_bits)
        scaled = scaled.clip(-OBSERVATION_BOUND, OBSERVATION_BOUND)
        integers: IntArray = np.trunc(scaled + np.copysign(np.float32(0.5), scaled)).astype(np.int64)
        return integers

    def action_values(self, actions: IntArray) -> Float64Array:
        """Convert actions of shape ``(n, action_dim)`` to the environment's units."""
        values: Float64Array = np.ldexp(actions.astype(np.float64), -self.action_fraction_bits)
        return values


def evaluate(policy: IntegerPolicy, observations: IntArray) -> IntArray:
    """Compute actions of shape ``(n, action_dim)`` from observations of shape ``(n, observation_dim)``, fixed point."""
    x = observations.clip(policy.observation_low, policy.observation_high) - policy.observation_offset
    for layer in policy.layers:
        x = _rounded_shift((x @ layer.weight.T + layer.bias) * layer.multiplier, layer.shift)
        x = x.clip(layer.low, layer.high)
        if layer.table is not None:
            position = x + INT16_MAX + 1
            below, above = layer.table[position >> 8], layer.table[(position >> 8) + 1]
            x = below + (((above - below) * (position & 255) + 128) >> 8)
    actions: IntArray = policy.action_middle + _rounded_shift(x * policy.action_half_range, np.int64(15))
    return actions.clip(policy.action_low, policy.action_high)


def _rounded_shift(values: IntArray, shift: IntArray | np.int64) -> IntArray:
    rounded: IntArray = (values + ((np.int64(1) << shift) >> 1)) >> shift
    return rounded


def quantize(description: PolicyDescription, observations: Float32Array) -> IntegerPolicy:
    """Choose units by what the policy does on observations.

    :param observations: shape ``(n, observation_dim)``, finite, not normalised; an entry that is the same in all of
        them is held at that value
    """
    low, high = _observation_range(description, observations)
    middle = 0.5 * (low + high)
    values = observations.astype(np.float64).clip(low, high) - middle
    parameters = _parameters(description, middle)
    rows = first = _rows(*parameters[0], values, lambda bound: _observation_units(low, high, bound))
    layers = []
    for layer, (weight, bias), following in zip(description.layers, parameters, [*parameters[1:], None], strict=True):
        values = values @ weight.T + bias
        if following is None:
            layers.append(_integer_layer(rows, _squashed_mean(description), INT16_MAX))
        else:
            output = _output(layer.activation, values)
            values = output.function(values)
            next_rows = _rows(*following, values, output.units)
            layers.append(_integer_layer(rows, output, next_rows.input_bound))
            rows = next_rows
    fraction_bits = _fraction_bits(low, high, first.input_bound, OBSERVATION_BOUND)
    offset = _fixed_point(middle, fraction_bits)
    return IntegerPolicy(
        fraction_bits,
        np.maximum(_fixed_point(low, fraction_bits), offset - first.input_bound),
        np.minimum(_fixed_point(high, fraction_bits), offset + first.input_bound),
        offset,
        tuple(layers),
        *_action_constants(description),
    )


def _observation_range(description: PolicyDescription, observations: Float32Array) -> tuple[Float64Array, Float64Array]:
    """What observations are clipped to: the range that was seen and some more, and within the clip of VecNormalize."""
    least, most = observations.min(axis=0).astype(np.float64), observations.max(axis=0).astype(np.float64)
    margin = 0.5 * (_HEADROOM - 1) * (most - least)
    low, high = least - margin, most + margin
    if (statistics := description.normalization) is not None and statistics.bound is not None:
        distance = statistics.bound * statistics.std
        low, high = (bound.clip(statistics.mean - distance, statistics.mean + distance) for bound in (low, high))
    return low, high


def _fraction_bits(low: Float64Array, high: Float64Array, bound: int, largest: int) -> IntArray:
    """The most by which half the range stays within one bound, and the values themselves within another."""
    with np.errstate(divide="ignore"):
        bits = np.minimum(
            np.log2(bound / (0.5 * (high - low))), np.log2(largest / np.maximum(np.abs(low), np.abs(high)))
        )
    whole: IntArray = np.floor(bits.clip(-_LARGEST_FRACTION_BITS, _LARGEST_FRACTION_BITS)).astype(np.int64)
    return whole


def _observation_units(low: Float64Array, high: Float64Array, bound: int) -> Float64Array:
    bits = _fraction_bits(low, high, bound, OBSERVATION_BOUND)
    return np.where(high > low, np.ldexp(1.0, -bits), 0)


def _fixed_point(values: Float64Array, fraction_bits: IntArray) -> IntArray:
    integers: IntArray = np.rint(np.ldexp(values, fraction_bits)).astype(np.int64)
    return integers


def _parameters(description: PolicyDescription, middle: Float64Array) -> list[tuple[Float64Array, Float64Array]]:
    """Weights and biases of the layers, the first of which takes differences of observations from the middle."""
    (weight, bias), *others = [
        (layer.weight.astype(np.float64), layer.bias.astype(np.float64)) for layer in description.layers
    ]
    if (statistics := description.normalization) is not None:
        weight = weight / statistics.std
        middle = middle - statistics.mean
    return [(weight, bias + weight @ middle), *others]


@dataclass(frozen=True)
class _Rows:
    weight: IntArray
    bias: IntArray
    unit: Float64Array  # of the accumulators, shape (outputs,)
    input_bound: int


def _rows(
    weight: Float64Array, bias: Float64Array, inputs: Float64Array, units: Callable[[int], Float64Array]
) -> _Rows:
    """Quantise a layer for the largest inputs with which no accumulator leaves int32, whatever they are.

    :param inputs: shape ``(n, inputs)``; the unit of a row is the one with the least mean square error on them
    :param units: of the inputs, if integers up to a bound in magnitude are to cover their range, shape ``(inputs,)``;
        zero for an input that is always zero
    """
    factors = _unit_factors(weight * units(INT16_MAX), bias, inputs, units(INT16_MAX))
    for bits in range(15, 0, -1):
        bound = 2**bits - 1
        scaled = weight * units(bound)
        unit = factors * _smallest_units(scaled, bias)
        integers = np.rint(scaled / unit[:, None]).astype(np.int64)
        rows = _Rows(integers, np.rint(bias / unit).astype(np.int64), unit, bound)
        if (np.abs(rows.weight).sum(axis=1) * bound + np.abs(rows.bias)).max() <= INT32_MAX:
            break
    return rows


def _smallest_units(weight: Float64Array, bias: Float64Array) -> Float64Array:
    """The units of rows, shape ``(outputs,)``, with which weights are just in range, and biases are in theirs."""
    smallest = np.maximum(np.abs(weight).max(axis=1) / INT8_MAX, np.abs(bias) / _BIAS_BOUND)
    return np.where(smallest > 0, smallest, 1.0)


def _unit_factors(
    weight: Float64Array, bias: Float64Array, inputs: Float64Array, unit_of_inputs: Float64Array
) -> Float64Array:
    """By what the smallest units are multiplied for the least error, shape ``(outputs,)``."""
    integers = np.divide(inputs, unit_of_inputs, out=np.zeros_like(inputs), where=unit_of_inputs > 0)
    moments = th.from_numpy(integers.T @ integers)
    smallest = _smallest_units(weight, bias)
    best, least_error = np.ones(len(weight)), np.full(len(weight), np.inf)
    for factor in _UNIT_FACTORS:
        unit = factor * smallest[:, None]
        change = np.rint(weight / unit) * unit - weight
        # By torch, which has as many threads as it is told to: numpy's wait for each other on a busy machine.
        error = ((th.from_numpy(change) @ moments).numpy() * change).sum(axis=1)
        best = np.where(error < least_error, factor, best)
        least_error = np.minimum(error, least_error)
    return best


@dataclass(frozen=True)
class _Output:
    """What follows on the rows of a layer.

    :param function: of shape ``(n, outputs)``, which it keeps
    :param largest: of the function's values that are not clipped, in magnitude
    :param domain: of the function's table, which ends there on both sides; without one, there is no table
    """

    function: Callable[[Float64Array], Float64Array]
    n_values: int
    largest: float
    domain: float | None = None
    is_positive: bool = False

    def units(self, bound: int) -> Float64Array:
        return np.full(self.n_values, self.largest / bound)


def _output(activation: Activation, values: Float64Array) -> _Output:
    """Choose ranges for an activation function whose arguments have been observed."""
    name = activation.function.name
    function, n_values = _function(activation.module()), values.shape[1]
    if name in ("identity", "relu"):
        return _Output(function, n_values, _HEADROOM * _largest(function(values)), is_positive=name == "relu")
    domain = _saturation(function) or _HEADROOM * _largest(values)
    return _Output(function, n_values, _largest(function(domain * _GRID)), domain)


def _squashed_mean(description: PolicyDescription) -> _Output:
    function = _function(nn.Tanh())
    saturation = _saturation(function)
    assert saturation is not None
    domain = min(saturation, description.mean_bound or saturation)
    return _Output(function, description.action_dim, 1.0, domain)


def _largest(values: Float64Array) -> float:
    return float(np.abs(values).max()) or 1.0  # what is always zero may have any unit


def _function(module: nn.Module) -> Callable[[Float64Array], Float64Array]:
    def function(values: Float64Array) -> Float64Array:
        with th.no_grad():
            computed: Float64Array = module(th.from_numpy(values)).numpy()
        return computed

    return function


def _saturation(function: Callable[[Float64Array], Float64Array]) -> float | None:
    """Where a function is as good as constant from there on, on both sides; ``None`` where it is not, such as ELU."""
    x = np.linspace(0, 32, 3201)
    change = np.maximum(np.abs(function(x) - function(x + 32)), np.abs(function(-x) - function(-x - 32)))
    settled = x[change < 2.0**-16]
    return float(settled[0]) if len(settled) else None


def _integer_layer(rows: _Rows, output: _Output, bound: int) -> IntegerLayer:
    """Join rows with what follows on them, whose values become integers up to a bound in magnitude."""
    if output.domain is None:
        unit, low, high, table = output.largest / bound, 0 if output.is_positive else -bound, bound, None
    else:
        unit, low, high = output.domain / (INT16_MAX + 1), -INT16_MAX - 1, INT16_MAX
        values = np.rint(output.function(output.domain * _GRID) * (bound / output.largest))
        table = values.clip(-bound, bound).astype(np.int64)
    multiplier, shift = _multiplier_and_shift(rows.unit / unit)
    return IntegerLayer(rows.weight, rows.bias, multiplier, shift, low, high, table, rows.input_bound)


def _multiplier_and_shift(ratio: Float64Array) -> tuple[IntArray, IntArray]:
    """Approximate positive numbers by ``multiplier / 2**shift``, to 15 bits; numbers above 2**14 are taken for it."""
    fraction, exponent = np.frexp(ratio.clip(None, 2.0**14))
    multiplier = np.rint(fraction * 2**15).astype(np.int64).clip(None, INT16_MAX)
    return multiplier, (15 - exponent.astype(np.int64)).clip(None, _LARGEST_SHIFT)


def _action_constants(
    description: PolicyDescription,
) -> tuple[IntArray, IntArray, IntArray, IntArray, IntArray]:
    low, high = description.action_low.astype(np.float64), description.action_high.astype(np.float64)
    bits = _fraction_bits(low, high, INT16_MAX, ACTION_BOUND)
    unit = np.ldexp(1.0, -bits)
    lowest = np.ceil(low / unit).astype(np.int64)
    return (
        bits,
        lowest,
        np.maximum(np.floor(high / unit).astype(np.int64), lowest),
        _fixed_point(0.5 * (low + high), bits),
        np.rint(0.5 * (high - low) / unit * ((INT16_MAX + 1) / INT16_MAX)).astype(np.int64),
    )
