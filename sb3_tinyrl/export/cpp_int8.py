"""The policy as a C++17 header that computes in integers, for microcontrollers without a floating-point unit."""

from __future__ import annotations

import os
from importlib.metadata import version

import numpy as np
from stable_baselines3 import SAC

from sb3_tinyrl.export import calibration as calibrations
from sb3_tinyrl.export.calibration import Observations, QuantizationErrors
from sb3_tinyrl.export.check import N_EXAMPLES, evaluate, largest_difference, predicted_samples
from sb3_tinyrl.export.description import Float32Array, Float64Array, PolicyDescription, describe
from sb3_tinyrl.export.literals import float_constant, int_array, int_constant, require_identifier
from sb3_tinyrl.export.quantization import OBSERVATION_BOUND, IntArray, IntegerLayer, IntegerPolicy, quantize
from sb3_tinyrl.export.quantization import evaluate as evaluate_integers
from sb3_tinyrl.files import atomic_write


def export_cpp_int8(
    model: SAC,
    path: str | os.PathLike[str],
    namespace: str = "policy",
    calibration: Observations | None = None,
) -> QuantizationErrors:
    """Write the deterministic policy as a C++17 header whose layers are computed in integers.

    Weights are int8 with a scale for each row, activations int16, accumulators int32, which can't overflow whatever the
    observation is. ``evaluate(observation, action)`` is a function for ``int32_t``, fixed-point numbers of
    ``OBSERVATION_FRACTION_BITS`` and ``ACTION_FRACTION_BITS``, and one for ``float``, which converts at the entry and
    at the exit. Both take the environment's observation and give an action in the environment's units. ``self_test()``
    tells whether the compiled code computes the very integers that this export did.

    :param model: as of :func:`export_cpp`
    :param path: the header; missing folders are created
    :param namespace: of everything in the header, a C++ identifier
    :param calibration: observations as the environment gives them, not normalised: at least 100, of shape
        ``(n, *observation_shape)``, or a dictionary of such. Larger ones than twice the range that is seen here are
        clipped. By default those of the replay buffer; when it has fewer than 100, random ones by the statistics of
        ``VecNormalize``, or from the observation space where that has bounds.
    :return: the differences from ``predict(deterministic=True)`` on four fifths of the observations, by which the
        policy was quantised, and on the others; the header has them in a comment
    :raises ExportError: when the policy can't be expressed, or differs from ``predict`` before it is quantised; when
        there are no observations to calibrate by, or some that don't fit
    :raises OSError: when the file can't be written; an earlier one is left alone
    """
    require_identifier(namespace)
    description = describe(model)
    samples = predicted_samples(model, description)
    largest_difference(description, samples, evaluate(description, samples.observations))
    chosen = calibrations.choose(model, description, calibration)
    policy = quantize(description, chosen.observations)

    def act(observations: Float32Array) -> Float64Array:
        return policy.action_values(evaluate_integers(policy, policy.fixed_point(observations)))

    errors = calibrations.measure(model, description, chosen, act)
    examples = policy.fixed_point(chosen.held_out[:N_EXAMPLES])
    with atomic_write(path) as file:
        file.write(_header(description, policy, errors, examples, namespace).encode())
    return errors


def _header(
    description: PolicyDescription,
    policy: IntegerPolicy,
    errors: QuantizationErrors,
    examples: IntArray,
    namespace: str,
) -> str:
    constants = [
        int_constant("int32_t", "OBSERVATION_LOW", policy.observation_low),
        int_constant("int32_t", "OBSERVATION_HIGH", policy.observation_high),
        int_constant("int32_t", "OBSERVATION_OFFSET", policy.observation_offset),
        float_constant("OBSERVATION_SCALE", np.ldexp(1.0, policy.observation_fraction_bits)),
    ]
    for i, layer in enumerate(policy.layers):
        constants += [
            int_constant("int8_t", f"WEIGHT_{i}", layer.weight),
            int_constant("int32_t", f"BIAS_{i}", layer.bias),
            int_constant("int16_t", f"MULTIPLIER_{i}", layer.multiplier),
            int_constant("int8_t", f"SHIFT_{i}", layer.shift),
        ]
        if layer.table is not None:
            constants.append(int_constant("int16_t", f"TABLE_{i}", layer.table))
    constants += [
        int_constant("int32_t", "ACTION_LOW", policy.action_low),
        int_constant("int32_t", "ACTION_HIGH", policy.action_high),
        int_constant("int32_t", "ACTION_MIDDLE", policy.action_middle),
        int_constant("int32_t", "ACTION_HALF_RANGE", policy.action_half_range),
        float_constant("ACTION_SCALE", np.ldexp(1.0, -policy.action_fraction_bits)),
        int_constant("int32_t", "EXAMPLE_OBSERVATIONS", examples),
        int_constant("int32_t", "EXAMPLE_ACTIONS", evaluate_integers(policy, examples)),
    ]
    return f"""\
// {description.summary()}
// The deterministic policy of a soft actor-critic, written by sb3_tinyrl {version("sb3-tinyrl")}: int8 weights, int16
// activations, int32 accumulators. It differs from predict(deterministic=True), as a part of the action's range:
//   {errors.calibration} it was calibrated by
//   {errors.held_out} held out
// Observations are from {errors.source}.
#pragma once

#include <stdint.h>

namespace {namespace} {{
    constexpr int OBSERVATION_DIM = {description.observation_dim};
    constexpr int ACTION_DIM = {description.action_dim};

    // The integers of observations are their values times two to the power of these, those of actions likewise.
    inline constexpr int8_t OBSERVATION_FRACTION_BITS[] = {int_array(policy.observation_fraction_bits, " " * 4)};
    inline constexpr int8_t ACTION_FRACTION_BITS[] = {int_array(policy.action_fraction_bits, " " * 4)};

    namespace detail {{
{"".join(constants)}
        inline int32_t clip(int64_t x, int32_t low, int32_t high) {{
            return static_cast<int32_t>(x < low ? low : (x > high ? high : x));
        }}

        // round(x / 2^shift)
        inline int64_t shift_right(int64_t x, int shift) {{
            static_assert(-3 >> 1 == -2, "shifts to the right have to keep the sign");
            return (x + ((int64_t(1) << shift) >> 1)) >> shift;
        }}

        // y = clip((weight x + bias) multiplier / 2^shift), with weight [n_outputs, n_inputs] row by row. The weights
        // are such that no sum of any inputs overflows.
        inline void dense(
            const int8_t* weight, const int32_t* bias, const int16_t* multiplier, const int8_t* shift, const int16_t* x,
            int32_t n_inputs, int16_t low, int16_t high, int16_t* y, int32_t n_outputs) {{
            for (int32_t i = 0; i < n_outputs; i++) {{
                int32_t sum = bias[i];
                for (int32_t j = 0; j < n_inputs; j++) {{
                    sum += static_cast<int32_t>(weight[i * n_inputs + j]) * x[j];
                }}
                y[i] = static_cast<int16_t>(clip(shift_right(int64_t(sum) * multiplier[i], shift[i]), low, high));
            }}
        }}

        // A function of all int16, given at each 256th, with straight lines between.
        inline void look_up(const int16_t* table, int16_t* values, int32_t n) {{
            for (int32_t i = 0; i < n; i++) {{
                const int32_t position = int32_t(values[i]) + 32768, fraction = position % 256;
                const int32_t below = table[position / 256], above = table[position / 256 + 1];
                values[i] = static_cast<int16_t>(below + (((above - below) * fraction + 128) >> 8));
            }}
        }}
    }}

    // The action for one observation in fixed-point numbers, without any floating-point arithmetic.
    //   observation: OBSERVATION_DIM values {description.observation_kind}
    //   action: ACTION_DIM values in the environment's units
    inline void evaluate(const int32_t* observation, int32_t* action) {{
{_evaluation(policy)}    }}

    // The same for floats. NaN in the observation makes each action NaN: a broken sensor must not look valid.
    inline void evaluate(const float* observation, float* action) {{
        int32_t fixed_observation[OBSERVATION_DIM], fixed_action[ACTION_DIM];
        for (int i = 0; i < OBSERVATION_DIM; i++) {{
            constexpr float BOUND = {OBSERVATION_BOUND}.0f;
            const float x = observation[i] * detail::OBSERVATION_SCALE[i];
            if (x != x) {{
                for (int j = 0; j < ACTION_DIM; j++) {{
                    action[j] = x;
                }}
                return;
            }}
            const float clipped = x < -BOUND ? -BOUND : (x > BOUND ? BOUND : x);
            fixed_observation[i] = static_cast<int32_t>(clipped < 0.0f ? clipped - 0.5f : clipped + 0.5f);
        }}
        evaluate(fixed_observation, fixed_action);
        for (int i = 0; i < ACTION_DIM; i++) {{
            action[i] = static_cast<float>(fixed_action[i]) * detail::ACTION_SCALE[i];
        }}
    }}

    // Whether this compilation computes the very integers that the export computed.
    inline bool self_test() {{
        constexpr int N_EXAMPLES = {len(examples)};
        for (int i = 0; i < N_EXAMPLES; i++) {{
            int32_t action[ACTION_DIM];
            evaluate(detail::EXAMPLE_OBSERVATIONS + i * OBSERVATION_DIM, action);
            for (int j = 0; j < ACTION_DIM; j++) {{
                if (action[j] != detail::EXAMPLE_ACTIONS[i * ACTION_DIM + j]) {{
                    return false;
                }}
            }}
        }}
        return true;
    }}
}}
"""


def _evaluation(policy: IntegerPolicy) -> str:
    lines = [
        "int16_t input[OBSERVATION_DIM];",
        "for (int i = 0; i < OBSERVATION_DIM; i++) {",
        "    const int32_t x = detail::clip(observation[i], detail::OBSERVATION_LOW[i], detail::OBSERVATION_HIGH[i]);",
        "    input[i] = static_cast<int16_t>(x - detail::OBSERVATION_OFFSET[i]);",
        "}",
    ]
    values = "input"
    for i, layer in enumerate(policy.layers):
        lines += _layer(layer, i, values)
        values = f"layer_{i}"
    lines += [
        "for (int i = 0; i < ACTION_DIM; i++) {",
        f"    const int32_t difference = int32_t({values}[i]) * detail::ACTION_HALF_RANGE[i];",
        "    action[i] = detail::clip(",
        "        detail::ACTION_MIDDLE[i] + detail::shift_right(difference, 15), detail::ACTION_LOW[i],",
        "        detail::ACTION_HIGH[i]);",
        "}",
    ]
    return "".join(f"        {line}\n" for line in lines)


def _layer(layer: IntegerLayer, i: int, inputs: str) -> list[str]:
    n_outputs, n_inputs = layer.weight.shape
    constants = ", ".join(f"detail::{name}_{i}" for name in ("WEIGHT", "BIAS", "MULTIPLIER", "SHIFT"))
    lines = [
        f"int16_t layer_{i}[{n_outputs}];",
        "detail::dense(",
        f"    {constants}, {inputs}, {n_inputs},",
        f"    {layer.low}, {layer.high}, layer_{i}, {n_outputs});",
    ]
    if layer.table is not None:
        lines.append(f"detail::look_up(detail::TABLE_{i}, layer_{i}, {n_outputs});")
    return lines
