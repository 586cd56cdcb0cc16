"""From an SB3 model to a plain description of its deterministic policy, or to the reason why there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.sac.policies import Actor, SACPolicy
from torch import nn

from sb3_tinyrl import activations
from sb3_tinyrl.activations import Activation

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]


class ExportError(ValueError):
    """The policy can't be written in the wanted format.

    :param reason: what stands in the way
    :param remedy: what the user can do
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}. To export: {remedy}.")


def require(condition: bool, reason: str, remedy: str) -> None:
    """Raise an :class:`ExportError` unless the condition holds."""
    if not condition:
        raise ExportError(reason, remedy)


@dataclass(frozen=True)
class Layer:
    """``activation(weight @ x + bias)``, with a weight of shape ``(outputs, inputs)``."""

    weight: Float32Array
    bias: Float32Array
    activation: Activation

    @property
    def n_inputs(self) -> int:
        """The number of values that go in."""
        return int(self.weight.shape[1])

    @property
    def n_outputs(self) -> int:
        """The number of values that come out."""
        return len(self.weight)


@dataclass(frozen=True)
class Normalization:
    """What ``VecNormalize`` does to observations: ``clip((x - mean) / std, -bound, bound)``.

    Its ``epsilon`` is part of ``std``. Both arrays have the shape ``(observation_dim,)``. Without a bound, nothing is
    clipped.
    """

    mean: Float64Array
    std: Float64Array
    bound: float | None


@dataclass(frozen=True)
class PolicyDescription:
    """A deterministic policy in the order of evaluation.

    Observations are normalised (unless ``normalization`` is ``None``), flattened and passed through ``layers``, whose
    last one is the mean of the action distribution. The mean is clipped to ``[-mean_bound, mean_bound]`` (unless that
    is ``None``; gSDE only), squashed by tanh and scaled from [-1, 1] to ``[action_low, action_high]``, shape
    ``(action_dim,)``, in the environment's units.
    """

    observation_shape: tuple[int, ...]
    action_shape: tuple[int, ...]
    normalization: Normalization | None
    layers: tuple[Layer, ...]
    mean_bound: float | None
    action_low: Float32Array
    action_high: Float32Array

    @property
    def observation_dim(self) -> int:
        """The number of values in an observation."""
        return math.prod(self.observation_shape)

    @property
    def action_dim(self) -> int:
        """The number of values in an action."""
        return math.prod(self.action_shape)

    def summary(self) -> str:
        """Describe input, layers and output in one line."""
        sizes = [f"{layer.n_outputs} {layer.activation.function.name}" for layer in self.layers[:-1]]
        normalization = [] if self.normalization is None else ["VecNormalize"]
        return " -> ".join(
            [f"observation {list(self.observation_shape)}", *normalization, *sizes, f"action {list(self.action_shape)}"]
        )


def describe(model: SAC) -> PolicyDescription:
    """Read the policy of a model, and the statistics of its ``VecNormalize`` if it has one.

    :param model: any SAC of Stable-Baselines3, with or without an environment
    :raises ExportError: with the first reason found why the policy can't be described
    """
    observation_space, action_space = _require_supported_model(model)
    actor = model.policy.actor
    hidden = [*actor.latent_pi]
    layers = [read_layer(*pair) for pair in zip(hidden[::2], [*hidden[1::2], None], strict=False)]
    mean, mean_bound = actor.mu, None
    if isinstance(mean, nn.Sequential):  # gSDE with clip_mean, see stable_baselines3.sac.policies.Actor
        mean, clip = mean
        assert isinstance(clip, nn.Hardtanh)
        mean_bound = float(clip.max_val)
    layers.append(read_layer(mean, nn.Identity()))
    return PolicyDescription(
        observation_shape=observation_space.shape,
        action_shape=action_space.shape,
        normalization=_normalization(model),
        layers=tuple(layers),
        mean_bound=mean_bound,
        action_low=action_space.low.ravel().astype(np.float32),
        action_high=action_space.high.ravel().astype(np.float32),
    )


def _require_supported_model(model: SAC) -> tuple[spaces.Box, spaces.Box]:
    require(
        isinstance(model, SAC), f"the model is a {type(model).__name__}", "pass a SAC of Stable-Baselines3 or a TinySAC"
    )
    policy = getattr(model, "policy", None)
    require(
        type(policy) is SACPolicy and type(policy.actor) is Actor,
        f"the policy is a {type(policy).__name__}, only SB3's MlpPolicy of SAC is known",
        'train with "MlpPolicy" on vector observations, without subclasses of it',
    )
    space = model.observation_space
    require(
        isinstance(space, spaces.Box),
        f"the observation space is {space}, only Box spaces are known",
        "flatten it into a Box with a wrapper such as gymnasium.wrappers.FlattenObservation",
    )
    require(
        not (model.policy.normalize_images and is_image_space(space)),
        "the observations are images, which the policy divides by 255",
        "train with policy_kwargs=dict(normalize_images=False) and scale them in a wrapper",
    )
    extractor = model.policy.actor.features_extractor
    require(
        type(extractor) is FlattenExtractor,
        f"the features extractor is a {type(extractor).__name__}",
        "train without features_extractor_class",
    )
    assert isinstance(space, spaces.Box)
    assert isinstance(model.action_space, spaces.Box)  # SB3's constructor takes nothing else
    return space, model.action_space


def read_layer(linear: nn.Module, activation: nn.Module | None) -> Layer:
    """Copy the parameters of a layer.

    :raises ExportError: when it is of another kind, or not finite
    """
    require(
        type(linear) is nn.Linear and linear.bias is not None and activation is not None,
        f"the actor holds a {type(linear).__name__} where a nn.Linear with bias and an activation function belong",
        "train with the networks that SB3 builds from net_arch and activation_fn",
    )
    assert isinstance(linear, nn.Linear)
    assert activation is not None
    weight = linear.weight.detach().cpu().numpy().astype(np.float32)
    bias = linear.bias.detach().cpu().numpy().astype(np.float32)
    require(
        bool(np.isfinite(weight).all() and np.isfinite(bias).all()),
        "the actor's parameters hold NaN or infinite values",
        "load an earlier checkpoint of the model",
    )
    return Layer(weight, bias, _activation(activation))


def _activation(module: nn.Module) -> Activation:
    activation = activations.read(module)
    require(
        activation is not None and activation.is_exportable,
        f"the activation function {module} is unknown",
        f"train with one of torch.nn's {', '.join(activations.class_names())} (Softplus as it comes)",
    )
    assert activation is not None
    return activation


def _normalization(model: SAC) -> Normalization | None:
    vec_normalize = model.get_vec_normalize_env()
    if vec_normalize is None or not vec_normalize.norm_obs:
        return None
    statistics = vec_normalize.obs_rms
    assert isinstance(statistics, RunningMeanStd)  # the observation space is no dictionary
    require(
        statistics.mean.shape == model.observation_space.shape,
        f"VecNormalize has statistics of shape {statistics.mean.shape} for observations of shape "
        f"{model.observation_space.shape}",
        "make VecNormalize the outermost wrapper that changes observations",
    )
    mean, std = statistics.mean.ravel(), np.sqrt(statistics.var.ravel() + vec_normalize.epsilon)
    require(
        bool(np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()),
        "the statistics of VecNormalize hold values that are NaN, infinite or without variance",
        "load statistics that VecNormalize.save has written earlier",
    )
    bound = float(vec_normalize.clip_obs)
    return Normalization(mean, std, bound if math.isfinite(bound) else None)
