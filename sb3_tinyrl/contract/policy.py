"""Facts about the policy: its classes, its networks, and where and how their tensors are kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.distributions import SquashedDiagGaussianDistribution, StateDependentNoiseDistribution
from stable_baselines3.common.policies import ContinuousCritic
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.common.torch_layers import CombinedExtractor, FlattenExtractor
from stable_baselines3.sac import policies
from stable_baselines3.sac.policies import Actor, MultiInputPolicy, SACPolicy
from torch import nn

from sb3_tinyrl._native.errors import UnsupportedByKernelError
from sb3_tinyrl.contract.training import learns_entropy_coefficient
from sb3_tinyrl.networks import Networks, activation, actor_network, tensors
from sb3_tinyrl.storage import shared_memory, shares_with_itself

_require = UnsupportedByKernelError.unless

_STANDARD_POLICY = 'pass "MlpPolicy" or "MultiInputPolicy"'


def require_known_policy(model: SAC) -> None:
    """The policy is SB3's, and none that was derived from it or wrapped around it."""
    policy = model.policy
    _require(
        type(policy) in (SACPolicy, MultiInputPolicy),
        f"the policy is a {type(policy).__name__}, the kernel knows only SB3's MlpPolicy and MultiInputPolicy",
        _STANDARD_POLICY,
    )
    for name, module, cls in (
        ("actor", policy.actor, Actor),
        ("critic", policy.critic, ContinuousCritic),
        ("critic_target", policy.critic_target, ContinuousCritic),
    ):
        _require(type(module) is cls, f"the policy's {name} is a {type(module).__name__}", _STANDARD_POLICY)
        _require(
            getattr(model, name, None) is module,
            f"model.{name} is another module than model.policy.{name}",
            f"set both to the same module: model.{name} = model.policy.{name}",
        )
    distribution = policy.actor.action_dist
    expected = StateDependentNoiseDistribution if policy.actor.use_sde else SquashedDiagGaussianDistribution
    _require(
        type(distribution) is expected and bool(policy.actor.use_sde) == bool(model.use_sde),
        f"the actor's distribution is a {type(distribution).__name__}, with use_sde={policy.actor.use_sde} of the "
        f"actor and {model.use_sde} of the model",
        "leave action_dist and use_sde as the constructor sets them",
    )
    is_standard = getattr(distribution, "epsilon", None) == 1e-6 and policy.squash_output
    if isinstance(distribution, StateDependentNoiseDistribution):
        bijector = distribution.bijector
        is_standard = (
            is_standard
            and distribution.full_std
            and distribution.learn_features
            and bijector is not None
            and bijector.epsilon == 1e-6
        )
    _require(
        bool(is_standard),
        "the actor's distribution has other constants than SB3 gives it",
        "leave epsilon, full_std and learn_features of action_dist as they are",
    )


def log_std_bounds() -> tuple[float, float]:
    """``LOG_STD_MIN`` and ``LOG_STD_MAX`` as SB3's actor would read them now."""
    return policies.LOG_STD_MIN, policies.LOG_STD_MAX


def require_known_bounds(model: SAC) -> None:
    """What bounds the logarithm of the standard deviation is two numbers."""
    bounds = log_std_bounds()
    _require(
        all(isinstance(bound, Real) and not math.isnan(bound) for bound in bounds),
        f"LOG_STD_MIN and LOG_STD_MAX of stable_baselines3.sac.policies are {bounds[0]!r} and {bounds[1]!r}",
        "set both to numbers",
    )


def require_known_extractor(model: SAC) -> None:
    """Features are the observation itself."""
    for network in (model.policy.actor, model.policy.critic, model.policy.critic_target):
        extractor = network.features_extractor
        _require(
            type(extractor) in (FlattenExtractor, CombinedExtractor),
            f"the features extractor is {type(extractor).__name__}",
            "leave out features_extractor_class",
        )
        _require(
            not [*extractor.parameters()],
            "the observation holds an image, for which the features extractor has a convolutional network",
            "flatten or leave out the image in a wrapper",
        )
        _require(
            all(type(module) in (type(extractor), nn.Flatten, nn.ModuleDict) for module in extractor.modules()),
            "the features extractor holds modules that SB3 did not give it",
            "leave out features_extractor_class",
        )
        _require(
            network.normalize_images == model.policy.normalize_images,
            "normalize_images of actor, critic and policy differ",
            "pass normalize_images in policy_kwargs",
        )


def require_actor_structure(model: SAC) -> None:
    """The actor is linear layers with an activation function behind each hidden one, and its heads."""
    network = actor_network(model.policy.actor)
    activation(network.activations)


# --- tensors ---


def require_actor_tensors(model: SAC) -> None:
    """The actor's parameters are on the CPU, in one floating-point type of the kernel."""
    _require_kinds([tensor for _, tensor in tensors(actor_network(model.policy.actor))])


def require_tensors(model: SAC) -> None:
    """The same for all that is trained; none is frozen, and no two share memory."""
    networks = Networks.of(model.policy)
    named = [*tensors(networks)]
    if learns_entropy_coefficient(model):
        assert model.log_ent_coef is not None
        named.append(("log_ent_coef", model.log_ent_coef))
    _require_kinds([tensor for _, tensor in named])
    trained = [*model.policy.actor.parameters(), *model.policy.critic.parameters()]
    _require(
        all(parameter.requires_grad for parameter in trained),
        "some parameters are frozen (requires_grad=False)",
        "set requires_grad to True for all parameters of actor and critic",
    )
    registered = {id(parameter) for parameter in model.policy.parameters()}
    _require(
        registered == {id(tensor) for name, tensor in named if name != "log_ent_coef"},
        "the policy has parameters that no layer of its networks uses",
        _STANDARD_POLICY,
    )
    for name, tensor in named:
        _require(
            not shares_with_itself(tensor),
            f"several elements of {name} share memory",
            "assign a clone() of it to its data",
        )
    if shared := shared_memory(named):
        raise UnsupportedByKernelError(f"{shared[0]} and {shared[1]} share memory", "give each memory of its own")


def _require_kinds(parameters: Sequence[th.Tensor]) -> None:
    kinds = {(parameter.device.type, parameter.dtype) for parameter in parameters}
    _require(
        kinds in ({("cpu", th.float32)}, {("cpu", th.float64)}),
        "the networks are on " + ", ".join(sorted(f"{device} as {dtype}" for device, dtype in kinds)),
        'pass device="cpu" and leave the parameters in float32',
    )
    _require(
        all(parameter.layout == th.strided for parameter in parameters)
        and all(type(parameter) in (th.Tensor, nn.Parameter) for parameter in parameters),
        "some parameters are sparse, or of a class of their own",
        "use dense tensors",
    )


def require_known_activation(model: SAC) -> None:
    """The networks are linear layers with one kind of activation function between them, and fit together."""
    Networks.of(model.policy)


def require_scalable_actions(model: SAC) -> None:
    """Actions can be scaled to [-1, 1], and all who know their bounds agree."""
    space = model.action_space
    assert isinstance(space, spaces.Box)  # SB3's constructor takes nothing else
    _require(
        bool(np.all(space.high > space.low)),
        f"the action space {space} has a dimension whose bounds coincide, so actions can't be scaled to [-1, 1]",
        "drop that dimension in a wrapper",
    )
    policy = model.policy
    for name, other in (("policy", policy), ("actor", policy.actor)):
        _require(
            other.action_space == space and other.observation_space == model.observation_space,
            f"the {name}'s spaces are not the model's",
            "make the model with the spaces of its environment",
        )
    _require(
        actor_network(policy.actor).mean.weight.shape[0] == get_action_dim(space),
        f"the actor has {actor_network(policy.actor).mean.weight.shape[0]} outputs for the action space {space}",
        _STANDARD_POLICY,
    )
