"""From an SB3 model to a plain description of its deterministic policy, or to the reason why there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import CombinedExtractor, FlattenExtractor
from stable_baselines3.sac.policies import Actor, MultiInputPolicy, SACPolicy
from torch import nn

from sb3_tinyrl import activations
from sb3_tinyrl.activations import Activation
from sb3_tinyrl.observations import ordered_entries

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

    The entries of a dictionary are joined, flattened, in the order of ``entries``. Observations are normalised (unless
    ``normalization`` is ``None``), flattened and passed through ``layers``, whose
    last one is the mean of the action distribution. The mean is clipped to ``[-mean_bound, mean_bound]`` (unless that
    is ``None``; gSDE only), squashed by tanh and scaled from [-1, 1] to ``[action_low, action_high]``, shape
    ``(action_dim,)``, in the environment's units.
    """

    observation_shape: tuple[int, ...]
    entries: dict[str, tuple[int, ...]]  # their shapes; empty where observations are no dictionaries
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

    @property
    def observation_kind(self) -> str:
        """What the observations are that it takes, in words."""
        if self.normalization is None:
            return "as the policy was trained on them"
        return "as the environment gives them; what VecNormalize did to them is done here"

    def summary(self) -> str:
        """Describe input, layers and output in one line."""
        sizes = [f"{layer.n_outputs} {layer.activation.function.name}" for layer in self.layers[:-1]]
        normalization = [] if self.normalization is None else ["VecNormalize"]
        entries = ", ".join(f"{name!a} {list(shape)}" for name, shape in self.entries.items())
        observation = entries or f"observation {list(self.observation_shape)}"
        return " -> ".join([observation, *normalization, *sizes, f"action {list(self.action_shape)}"])

    def split(self, observations: npt.NDArray[Any]) -> npt.NDArray[Any] | dict[str, npt.NDArray[Any]]:
        """Give observations of shape ``(n, observation_dim)`` the form in which the policy takes them."""
        if not self.entries:
            return observations.reshape(-1, *self.observation_shape)
        ends = np.cumsum([math.prod(shape) for shape in self.entries.values()])
        parts = np.split(observations, ends[:-1], axis=1)
        return {name: part.reshape(-1, *shape) for (name, shape), part in zip(self.entries.items(), parts, strict=True)}


def describe(model: SAC) -> PolicyDescription:
    """Read the policy of a model, and the statistics of its ``VecNormalize`` if it has one.

    :param model: any SAC of Stable-Baselines3, with or without an environment
    :raises ExportError: with the first reason found why the policy can't be described
    """
    action_space = _require_supported_model(model)
    shapes = {name: space.shape for name, space in observation_parts(model).items()}
    is_dictionary = isinstance(model.observation_space, spaces.Dict)
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
        observation_shape=(sum(map(math.prod, shapes.values())),) if is_dictionary else shapes[""],
        entries=shapes if is_dictionary else {},
        action_shape=action_space.shape,
        normalization=_normalization(model),
        layers=tuple(layers),
        mean_bound=mean_bound,
        action_low=action_space.low.ravel().astype(np.float32),
        action_high=action_space.high.ravel().astype(np.float32),
    )


def observation_parts(model: SAC) -> dict[str, spaces.Box]:
    """The entries of dictionaries in the order in which the policy joins them; other observations as one, unnamed."""
    space = model.observation_space
    return {"": space} if isinstance(space, spaces.Box) else ordered_entries(model)


def _require_supported_model(model: SAC) -> spaces.Box:
    require(
        isinstance(model, SAC), f"the model is a {type(model).__name__}", "pass a SAC of Stable-Baselines3 or a TinySAC"
    )
    policy: Any = getattr(model, "policy", None)
    require(
        type(policy) in (SACPolicy, MultiInputPolicy) and type(policy.actor) is Actor,
        f"the policy is a {type(policy).__name__}, only SB3's MlpPolicy and MultiInputPolicy of SAC are known",
        'train with "MlpPolicy" on vector observations, or "MultiInputPolicy" on dictionaries of them, without '
        "subclasses",
    )
    extractor = policy.actor.features_extractor
    require(
        type(extractor) in (FlattenExtractor, CombinedExtractor),
        f"the features extractor is a {type(extractor).__name__}",
        "train without features_extractor_class",
    )
    space = model.observation_space
    for part in space.spaces.values() if isinstance(space, spaces.Dict) else [space]:
        require(
            isinstance(part, spaces.Box),
            f"the observation space is {space}, only Box spaces and dictionaries of these are known",
            "flatten it into a Box with a wrapper such as gymnasium.wrappers.FlattenObservation",
        )
        require(
            not (policy.normalize_images and is_image_space(part)),
            "the observations are images, which the policy divides by 255",
            "train with policy_kwargs=dict(normalize_images=False) and scale them in a wrapper",
        )
    if isinstance(extractor, CombinedExtractor):
        require(
            all(type(part) is nn.Flatten for part in extractor.extractors.values()),
            "the features extractor holds other networks than nn.Flatten, such as one for images",
            "train on vectors, without features_extractor_class",
        )
    assert isinstance(model.action_space, spaces.Box)  # SB3's constructor takes nothing else
    return model.action_space


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
    shapes = {name: space.shape for name, space in observation_parts(model).items()}
    of_entries = statistics if isinstance(statistics, dict) else {"": statistics}
    if left_out := ", ".join(sorted(shapes.keys() - of_entries.keys())):
        raise ExportError(
            f"VecNormalize leaves entries of the observations as they are: {left_out}",
            "train with VecNormalize(norm_obs_keys=None)",
        )
    for name, shape in shapes.items():
        require(
            of_entries[name].mean.shape == shape,
            f"VecNormalize has statistics of shape {of_entries[name].mean.shape} for observations of shape {shape}",
            "make VecNormalize the outermost wrapper that changes observations",
        )
    mean, variance = (
        np.concatenate([getattr(of_entries[name], moment).ravel() for name in shapes]) for moment in ("mean", "var")
    )
    std = np.sqrt(variance + vec_normalize.epsilon)
    require(
        bool(np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()),
        "the statistics of VecNormalize hold values that are NaN, infinite or without variance",
        "load statistics that VecNormalize.save has written earlier",
    )
    bound = float(vec_normalize.clip_obs)
    return Normalization(mean, std, bound if math.isfinite(bound) else None)
