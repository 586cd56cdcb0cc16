"""The policy as one dependency-free C++17 header, for programs and microcontrollers without RLtools."""

from __future__ import annotations

import os
from importlib.metadata import version

from stable_baselines3 import SAC

from sb3_tinyrl.activations import FUNCTIONS, Activation, Function
from sb3_tinyrl.export.check import N_EXAMPLES, TOLERANCE, Samples, evaluate, largest_difference, predicted_samples
from sb3_tinyrl.export.description import (
    Float32Array,
    Float64Array,
    PolicyDescription,
    describe,
)
from sb3_tinyrl.export.literals import float_constant, float_literal, require_identifier
from sb3_tinyrl.files import atomic_write


def export_cpp(model: SAC, path: str | os.PathLike[str], namespace: str = "policy") -> float:
    """Write the deterministic policy as a C++17 header that needs nothing but ``<math.h>``.

    ``evaluate(observation, action)`` takes the environment's observation and gives an action in the environment's
    units: the statistics of ``VecNormalize`` and the scaling to the action's bounds are part of it. It uses no heap, no
    exceptions and no global state. ``self_test()`` tells whether the compiled code reproduces recorded actions of
    ``predict``.

    :param model: a SAC or TinySAC with ``MlpPolicy``; where it was trained with ``VecNormalize``, that wrapper has to
        be part of its environment (``load(path, env=VecNormalize.load(...))``)
    :param path: the header; missing folders are created
    :param namespace: of everything in the header, a C++ identifier
    :return: the largest difference from ``predict(deterministic=True)`` on 1000 random observations, as a fraction of
        the action's range; computed from the description that is written
    :raises ExportError: when the policy can't be expressed, or differs from ``predict``
    :raises OSError: when the file can't be written; an earlier one is left alone
    """
    require_identifier(namespace)
    description = describe(model)
    samples = predicted_samples(model, description)
    difference = largest_difference(description, samples, evaluate(description, samples.observations))
    with atomic_write(path) as file:
        file.write(_header(description, samples, namespace, max(TOLERANCE, 2 * difference)).encode())
    return difference


def _header(description: PolicyDescription, samples: Samples, namespace: str, tolerance: float) -> str:
    observations, actions = samples.observations[:N_EXAMPLES], samples.actions[:N_EXAMPLES]
    used = {layer.activation.function.name for layer in description.layers if _is_computed(layer.activation)}
    arrays: dict[str, Float32Array | Float64Array] = {}
    if (normalization := description.normalization) is not None:
        arrays |= {"OBSERVATION_MEAN": normalization.mean, "OBSERVATION_STD": normalization.std}
    for i, layer in enumerate(description.layers):
        arrays |= {f"WEIGHT_{i}": layer.weight, f"BIAS_{i}": layer.bias}
    arrays |= {
        "ACTION_LOW": description.action_low,
        "ACTION_HIGH": description.action_high,
        "EXAMPLE_OBSERVATIONS": observations,
        "EXAMPLE_ACTIONS": actions,
    }
    return f"""\
// {description.summary()}
// The deterministic policy of a soft actor-critic, written by sb3_tinyrl {version("sb3-tinyrl")}.
#pragma once

#include <math.h>

namespace {namespace} {{
    constexpr int OBSERVATION_DIM = {description.observation_dim};
    constexpr int ACTION_DIM = {description.action_dim};

    namespace detail {{
{"".join(float_constant(name, array) for name, array in arrays.items())}
        inline float clip(float x, float bound) {{
            return x < -bound ? -bound : (x > bound ? bound : x);
        }}

        // y = weight x + bias, with weight [n_outputs, n_inputs] row by row
        inline void dense(
            const float* weight, const float* bias, const float* x, int n_inputs, float* y, int n_outputs) {{
            for (int i = 0; i < n_outputs; i++) {{
                float sum = bias[i];
                for (int j = 0; j < n_inputs; j++) {{
                    sum += weight[i * n_inputs + j] * x[j];
                }}
                y[i] = sum;
            }}
        }}
{"".join(_activation_function(function) for function in FUNCTIONS if function.name in used)}    }}

    // The action for one observation.
    //   observation: OBSERVATION_DIM values {description.observation_kind}
    //   action: ACTION_DIM values in the environment's units
    inline void evaluate(const float* observation, float* action) {{
{_evaluation(description)}    }}

    // Whether this compilation computes what the trained model computed, to {tolerance:.1e} of the action's range.
    inline bool self_test() {{
        constexpr int N_EXAMPLES = {len(observations)};
        for (int i = 0; i < N_EXAMPLES; i++) {{
            float action[ACTION_DIM];
            evaluate(detail::EXAMPLE_OBSERVATIONS + i * OBSERVATION_DIM, action);
            for (int j = 0; j < ACTION_DIM; j++) {{
                const float difference = fabsf(action[j] - detail::EXAMPLE_ACTIONS[i * ACTION_DIM + j]);
                const float range = detail::ACTION_HIGH[j] - detail::ACTION_LOW[j];
                if (!(difference <= {float_literal(tolerance)} * range)) {{  // NaN fails, too
                    return false;
                }}
            }}
        }}
        return true;
    }}
}}
"""


def _activation_function(function: Function) -> str:
    # NaN passes through each expression, as it does in PyTorch: a broken sensor must not look like a valid action.
    constants = "".join(f", float {name}" for name in function.cpp_constants)
    return f"""
        inline void {function.name}(float* values, int n{constants}) {{
            for (int i = 0; i < n; i++) {{
                const float x = values[i];
                values[i] = {function.cpp};
            }}
        }}
"""


def _is_computed(activation: Activation) -> bool:
    return activation.function.cpp != "x"


def _evaluation(description: PolicyDescription) -> str:
    lines = []
    values, n_values = "observation", description.observation_dim
    if (normalization := description.normalization) is not None:
        values = "normalized"
        lines += [
            "float normalized[OBSERVATION_DIM];",
            "for (int i = 0; i < OBSERVATION_DIM; i++) {",
            "    const float deviation = (observation[i] - detail::OBSERVATION_MEAN[i]) / detail::OBSERVATION_STD[i];",
            f"    normalized[i] = {_clipped('deviation', normalization.bound)};",
            "}",
        ]
    for i, layer in enumerate(description.layers):
        outputs, n_outputs = f"layer_{i}", layer.n_outputs
        lines += [
            f"float {outputs}[{n_outputs}];",
            f"detail::dense(detail::WEIGHT_{i}, detail::BIAS_{i}, {values}, {n_values}, {outputs}, {n_outputs});",
            *_activation_call(layer.activation, outputs, n_outputs),
        ]
        values, n_values = outputs, n_outputs
    mean = _clipped(f"{values}[i]", description.mean_bound)
    lines += [
        "for (int i = 0; i < ACTION_DIM; i++) {",
        "    const float range = detail::ACTION_HIGH[i] - detail::ACTION_LOW[i];",
        f"    action[i] = detail::ACTION_LOW[i] + 0.5f * (tanhf({mean}) + 1.0f) * range;",
        "}",
    ]
    return "".join(f"        {line}\n" for line in lines)


def _clipped(value: str, bound: float | None) -> str:
    return value if bound is None else f"detail::clip({value}, {float_literal(bound)})"


def _activation_call(activation: Activation, values: str, n_values: int) -> list[str]:
    if not _is_computed(activation):
        return []
    constants = [float_literal(activation.constants[name]) for name in activation.function.cpp_constants]
    return [f"detail::{activation.function.name}({', '.join([values, str(n_values), *constants])});"]
