"""The policy as a checkpoint of RLtools: a C++ header of constants and types that RLtools itself includes.

Names and structure are those that RLtools' ``save_code`` gives a sequential model, so whatever reads its checkpoints
reads these: ``policy::module`` is what TinyRL's ``load_checkpoint`` evaluates, and ``rl_tools::checkpoint`` is where
RLtools' own programs look.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version

import numpy as np
from stable_baselines3 import SAC
from torch import nn

from sb3_tinyrl.export.check import N_EXAMPLES, Samples, evaluate, largest_difference, predicted_samples
from sb3_tinyrl.export.description import (
    ExportError,
    Float32Array,
    Float64Array,
    Layer,
    PolicyDescription,
    describe,
    read_layer,
    require,
)
from sb3_tinyrl.export.literals import float_array
from sb3_tinyrl.files import atomic_write

_DETERMINISTIC_KINDS = ("dense", "standardize", "td3_sampling")


def export_policy(model: SAC, path: str | os.PathLike[str]) -> float:
    """Write the deterministic policy as a C++ header in RLtools' checkpoint format.

    Its model takes the environment's observation, normalised inside where the environment has ``VecNormalize``, and
    gives an action in [-1, 1], as all of RLtools' policies do; ``policy::action::LOW`` and ``HIGH`` are the bounds in
    the environment's units, to which ``LOW + 0.5 * (action + 1) * (HIGH - LOW)`` scales. The last layer ends in tanh,
    so evaluating the model is deterministic in each of RLtools' modes; the standard deviation is left out.
    ``rl_tools::checkpoint::example`` holds observations and actions, for self tests.

    :param model: a SAC or TinySAC with ``MlpPolicy``; where it was trained with ``VecNormalize``, that wrapper has to
        be part of its environment (``load(path, env=VecNormalize.load(...))``)
    :param path: the header; missing folders are created
    :return: the largest difference from ``predict(deterministic=True)`` on 1000 random observations, as a fraction of
        the action's range; computed from the description that is written
    :raises ExportError: when the policy can't be expressed, or differs from ``predict``
    :raises OSError: when the file can't be written; an earlier one is left alone
    """
    description = _expressible(model)
    samples = predicted_samples(model, description)
    difference = largest_difference(description, samples, evaluate(description, samples.observations))
    with atomic_write(path) as file:
        file.write(_header(description, samples, _deterministic_layers(description)).encode())
    return difference


def stochastic_policy(model: SAC) -> str:
    """Return the policy as RLtools itself writes that of its SAC, to be read as a distribution.

    Unlike that of :func:`export_policy`, its model ends in RLtools' layer ``sample_and_squash``: it draws an action
    in [-1, 1] from mean and log standard deviation, and takes the mean in RLtools' mode ``Evaluation``.

    :param model: as for :func:`export_policy`, without gSDE
    :return: the text of the header
    :raises ExportError: when the policy can't be expressed, or differs from ``predict``
    """
    description = _expressible(model)
    require(
        not model.use_sde,
        "the standard deviation of gSDE depends on the state of its noise, which RLtools' layers do not express",
        "use export_policy, which writes the deterministic action",
    )
    samples = predicted_samples(model, description)
    largest_difference(description, samples, evaluate(description, samples.observations))
    log_std = model.policy.actor.log_std
    assert isinstance(log_std, nn.Module)  # a parameter only with gSDE
    layers = _stochastic_layers(description, read_layer(log_std, nn.Identity()))
    return _header(description, samples, layers, (*_DETERMINISTIC_KINDS, "sample_and_squash"))


def _expressible(model: SAC) -> PolicyDescription:
    """Describe a policy whose layers RLtools has."""
    description = describe(model)
    for layer in description.layers:
        if layer.activation.function.rltools is None:
            raise ExportError(
                f"RLtools' layers have no activation function that computes {layer.activation.function.name}",
                "use export_cpp or export_onnx, which have it, or train with ReLU, Tanh, Sigmoid or Identity",
            )
    return description


def _header(
    description: PolicyDescription, samples: Samples, layers: list[str], kinds: Sequence[str] = _DETERMINISTIC_KINDS
) -> str:
    includes = "".join(f"#include <rl_tools/nn/layers/{kind}/layer.h>\n" for kind in kinds)
    contents = [f"TYPE{'::NEXT_MODULE' * i}::CONTENT" for i in range(len(layers))]
    modules = ", {".join(f"layer_{i}::factory<{content}>" for i, content in enumerate(contents))
    generic_modules = ", {".join(f"layer_{i}::factory<typename T_{content}>" for i, content in enumerate(contents))
    chain = ", rlt::nn_models::sequential::Module<".join(f"layer_{i}::TEMPLATE" for i in range(len(layers)))
    end = "}" * len(layers)
    low, high = description.action_low, description.action_high
    # Not from predict's actions, which are in the environment's units: scaling back would cost precision.
    examples = samples.observations[:N_EXAMPLES]
    scaled = evaluate(
        replace(description, action_low=np.full_like(low, -1), action_high=np.full_like(high, 1)), examples
    )
    return f"""\
// {description.summary()}
// The policy of a soft actor-critic, written by sb3_tinyrl {version("sb3-tinyrl")}.
// Actions are in [-1, 1]; policy::action has the bounds in the environment's units.
#pragma once

#include <rl_tools/containers/tensor/tensor.h>
{includes}\
#include <rl_tools/nn/parameters/parameters.h>
#include <rl_tools/nn_models/sequential/model.h>
#include <rl_tools/numeric_types/policy.h>

namespace policy {{
    namespace rlt = RL_TOOLS_NAMESPACE_WRAPPER ::rl_tools;
    using TI = unsigned long;
    using TYPE_POLICY = rlt::numeric_types::Policy<float>;
    using CAPABILITY = rlt::nn::capability::Forward<true, true>;
    using INPUT_SHAPE = rlt::tensor::Shape<TI, 1, 1, {description.observation_dim}>;
    template <typename CATEGORY, TI... DIMENSIONS>
    using Parameter = rlt::nn::parameters::Plain::Instance<rlt::nn::parameters::Plain::Specification<
        TYPE_POLICY, TI, rlt::tensor::Shape<TI, DIMENSIONS...>,
        rlt::nn::parameters::groups::Normal, CATEGORY, true, true>>;

{"".join(layer.format(name=f"layer_{i}") for i, layer in enumerate(layers))}
    using TYPE = rlt::nn_models::sequential::Build<CAPABILITY,
        rlt::nn_models::sequential::Module<{chain}{">" * len(layers)}, INPUT_SHAPE>;
    constexpr TYPE module = {{{modules}, {{}}{end};
    template <typename T_TYPE = TYPE>
    constexpr T_TYPE factory = {{{generic_modules}, {{}}{end};
    template <typename T_TYPE = TYPE>
    constexpr T_TYPE factory_function() {{ return factory<T_TYPE>; }}

    namespace action {{
        constexpr float LOW[] = {float_array(low, " " * 8)};
        constexpr float HIGH[] = {float_array(high, " " * 8)};
    }}
}}

namespace rl_tools::checkpoint {{
    namespace actor = policy;
    namespace example {{
{_tensor("input", examples)}{_tensor("output", scaled)}    }}
    namespace meta {{
        constexpr char name[] = "sb3_tinyrl";
    }}
}}
"""


# Layers are namespaces with a field for their names.


def _deterministic_layers(description: PolicyDescription) -> list[str]:
    layers, scale = _layers_up_to_the_mean(description)
    weight, bias = description.layers[-1].weight * scale, description.layers[-1].bias
    if (bound := description.mean_bound) is None:
        return [*layers, _dense(weight, bias, "TANH")]
    scaling = np.diag(np.full(description.action_dim, bound))
    return [
        *layers,
        _dense(weight / bound, bias / bound, "IDENTITY"),
        _CLIP,
        _dense(scaling, np.zeros(description.action_dim), "TANH"),
    ]


def _stochastic_layers(description: PolicyDescription, log_std: Layer) -> list[str]:
    layers, scale = _layers_up_to_the_mean(description)
    mean = description.layers[-1]
    weight = np.concatenate([mean.weight, log_std.weight]) * scale
    bias = np.concatenate([mean.bias, log_std.bias])
    # Its bounds of the log standard deviation, -20 and 2, are SB3's.
    return [
        *layers,
        _dense(weight, bias, "IDENTITY"),
        "    namespace {name} {{\n" + _module("sample_and_squash", "TYPE_POLICY, TI", ""),
    ]


def _layers_up_to_the_mean(description: PolicyDescription) -> tuple[list[str], float]:
    """Return what comes before the last layer, and a factor that belongs to the last layer's weights."""
    layers = []
    # RLtools clips nowhere but in the layer with which TD3 explores: without noise, that is a clip to [-1, 1]. What
    # goes in is divided by the bound, and the next layer's weights are multiplied by it.
    scale = 1.0
    if (normalization := description.normalization) is not None:
        if normalization.bound is None:
            layers += [_standardize(normalization.mean, 1 / normalization.std)]
        else:
            scale = normalization.bound
            layers += [_standardize(normalization.mean, 1 / (normalization.std * scale)), _CLIP]
    for layer in description.layers[:-1]:
        activation = layer.activation.function.rltools
        assert activation is not None  # see _expressible
        layers.append(_dense(layer.weight * scale, layer.bias, activation))
        scale = 1.0
    return layers, scale


def _module(kind: str, configuration: str, initializer: str) -> str:
    return f"""\
        using CONFIG = rlt::nn::layers::{kind}::Configuration<{configuration}>;
        using TEMPLATE = rlt::nn::layers::{kind}::BindConfiguration<CONFIG>;
        template <typename T_TYPE>
        constexpr T_TYPE factory = {{{{{initializer}}}}};
    }}}}
"""


def _parameter(name: str, category: str, values: Float32Array | Float64Array) -> str:
    dimensions = ", ".join(map(str, values.shape))
    return f"""\
        namespace {name} {{{{
            constexpr float memory[] = {{{float_array(values, " " * 12)}}};
            using CATEGORY = rlt::nn::parameters::categories::{category};
            constexpr Parameter<CATEGORY, {dimensions}> parameters = {{{{{{{{memory}}}}}}}};
        }}}}
"""


def _dense(weight: Float32Array | Float64Array, bias: Float32Array | Float64Array, activation: str) -> str:
    activation_function = f"rlt::nn::activation_functions::ActivationFunction::{activation}"
    return (
        "    namespace {name} {{\n"
        + _parameter("weights", "Weights", weight)
        + _parameter("biases", "Biases", bias)
        + _module(
            "dense", f"TYPE_POLICY, TI, {len(bias)}, {activation_function}", "weights::parameters, biases::parameters"
        )
    )


def _standardize(mean: Float64Array, precision: Float64Array) -> str:
    return (
        "    namespace {name} {{\n"
        + _parameter("mean", "Constant", mean)
        + _parameter("precision", "Constant", precision)
        + _module("standardize", "TYPE_POLICY, TI", "mean::parameters, precision::parameters")
    )


_CLIP = """\
    namespace {name} {{
        struct PARAMETERS {{
            static constexpr float STD = 0;
        }};
""" + _module("td3_sampling", "TYPE_POLICY, TI, PARAMETERS", "")


def _tensor(name: str, values: Float32Array | Float64Array) -> str:
    """Return a tensor of shape [step, batch, feature] with one step."""
    return f"""\
        namespace {name} {{
            constexpr float memory[] = {float_array(values, " " * 12)};
            using SHAPE = policy::rlt::tensor::Shape<policy::TI, 1, {values.shape[0]}, {values.shape[1]}>;
            using SPEC = policy::rlt::tensor::Specification<
                float, policy::TI, SHAPE, true, policy::rlt::tensor::RowMajorStride<SHAPE>, true>;
            using CONTAINER_TYPE = policy::rlt::Tensor<SPEC>;
            constexpr CONTAINER_TYPE container = {{memory}};
        }}
"""
