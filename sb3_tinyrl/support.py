"""What the kernel can serve: from an SB3 model to the spec of its kernel, or to the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.sac.policies import SACPolicy
from torch import nn

from sb3_tinyrl._native.errors import KernelError
from sb3_tinyrl._native.spec import Activation, KernelSpec

#: Replay buffer arrays that the kernel reads in place, in the order of its view.
BUFFER_ARRAYS = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")

_OBSERVATION_TYPES = (
    "float32",
    "float64",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
)

#: Activation functions of the kernel, by torch's class: the kernel's name and the attributes that are its constants.
_ACTIVATIONS: dict[type[nn.Module], tuple[str, tuple[str, ...]]] = {
    nn.Identity: ("IDENTITY", ()),
    nn.ReLU: ("RELU", ()),
    nn.Tanh: ("TANH", ()),
    nn.ELU: ("ELU", ("alpha",)),
    nn.LeakyReLU: ("LEAKY_RELU", ("negative_slope",)),
    nn.GELU: ("GELU", ()),
    nn.SiLU: ("SILU", ()),
    nn.Sigmoid: ("SIGMOID", ()),
    nn.Softplus: ("SOFTPLUS", ("beta", "threshold")),
}


class UnsupportedByKernelError(KernelError):
    """The kernel can't compute this model's update.

    :param reason: what stands in the way
    :param remedy: what the user can change
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}. To train natively: {remedy}.")
        self.reason = reason
        self.remedy = remedy


def _require(condition: bool, reason: str, remedy: str) -> None:
    if not condition:
        raise UnsupportedByKernelError(reason, remedy)


def linear_layers(model: SAC) -> dict[str, list[nn.Linear]]:
    """The linear layers of each network, in the order of the kernel.

    :return: ``"actor"`` (hidden layers, mean, log standard deviation), ``"critic/0"``, ... and ``"target/0"``, ...
    :raises UnsupportedByKernelError: when a network is anything but linear layers with activation functions between
        them
    """
    networks = {name: [_linear(module) for module in modules[::2]] for name, modules in _sequences(model).items()}
    actor = model.policy.actor
    networks["actor"] += [_linear(actor.mu), _linear(actor.log_std)]
    return networks


def _sequences(model: SAC) -> dict[str, list[nn.Module]]:
    """Linear layers and activation functions in turn, of each network; without the actor's two heads."""
    sequences = {"actor": [*model.policy.actor.latent_pi]}
    for name, critic in (("critic", model.policy.critic), ("target", model.policy.critic_target)):
        for i, q_network in enumerate(critic.q_networks):
            assert isinstance(q_network, nn.Sequential)
            sequences[f"{name}/{i}"] = [*q_network]
    return sequences


def _linear(module: nn.Module | nn.Parameter) -> nn.Linear:
    _require(
        type(module) is nn.Linear and module.bias is not None,
        f"the networks hold a {type(module).__name__} where the kernel knows only nn.Linear with bias",
        "use the standard MlpPolicy",
    )
    assert isinstance(module, nn.Linear)
    return module


def _activation(model: SAC) -> Activation:
    activations = {_activation_of(module) for modules in _sequences(model).values() for module in modules[1::2]}
    _require(
        len(activations) <= 1,
        "the hidden layers have different activation functions",
        "use one for all, as activation_fn does",
    )
    return activations.pop() if activations else Activation()


def _activation_of(module: nn.Module) -> Activation:
    # A subclass may choose other constants, but not compute something else.
    known = (cls for cls in _ACTIVATIONS if isinstance(module, cls) and type(module).forward is cls.forward)
    cls = next(known, None)
    _require(
        cls is not None,
        f"the activation function is {module}, which the kernel lacks",
        "pass policy_kwargs=dict(activation_fn=...) with one of torch.nn's "
        + ", ".join(cls.__name__ for cls in _ACTIVATIONS),
    )
    assert cls is not None
    function, names = _ACTIVATIONS[cls]
    if isinstance(module, nn.GELU) and module.approximate == "tanh":
        function = "GELU_TANH"
    constants = tuple(getattr(module, name) for name in names)
    _require(
        all(isinstance(value, (int, float)) and math.isfinite(value) for value in constants)
        and (function != "SOFTPLUS" or constants[0] > 0),
        f"the activation function is {module}",
        f"pass finite numbers as {' and '.join(names)}" + (", beta above zero" if function == "SOFTPLUS" else ""),
    )
    return Activation(function, constants)


def kernel_spec(model: SAC, batch_size: int) -> KernelSpec:
    """The spec of the kernel that computes ``model.train(..., batch_size)``.

    :raises UnsupportedByKernelError: with the first reason found why there is none
    """
    _require_supported_policy(model)
    networks = linear_layers(model)
    scalar_type = _require_supported_parameters(model)
    _require_supported_optimizers(model)
    _require_supported_data(model)
    assert model.replay_buffer is not None
    return KernelSpec(
        observation_dim=math.prod(model.observation_space.shape or ()),
        action_dim=math.prod(model.action_space.shape or ()),
        actor_layers=tuple(layer.out_features for layer in networks["actor"][:-2]),
        critic_layers=tuple(layer.out_features for layer in networks["critic/0"][:-1]),
        n_critics=len(model.policy.critic.q_networks),
        batch_size=batch_size,
        activation=_activation(model),
        observation_type=model.replay_buffer.observations.dtype.name,
        scalar_type=scalar_type,
    )


def _require_supported_policy(model: SAC) -> None:
    policy = model.policy
    _require(
        type(policy) is SACPolicy,
        f"the policy is a {type(policy).__name__}, the kernel knows only SB3's MlpPolicy",
        'pass "MlpPolicy"',
    )
    _require(not model.use_sde, "gSDE (use_sde=True) is not in the kernel yet", "pass use_sde=False")
    space = model.observation_space
    _require(
        isinstance(space, spaces.Box),
        f"the observation space is {space}, the kernel takes Box spaces only",
        "flatten it into a Box with a wrapper such as gymnasium.wrappers.FlattenObservation",
    )
    _require(
        not (policy.normalize_images and is_image_space(space)),
        "the observations are images, which the policy divides by 255",
        "pass policy_kwargs=dict(normalize_images=False) and scale them in a wrapper",
    )
    for network in (policy.actor, policy.critic, policy.critic_target):
        _require(
            type(network.features_extractor) is FlattenExtractor,
            f"the features extractor is {type(network.features_extractor).__name__}",
            "leave out features_extractor_class",
        )


def _require_supported_parameters(model: SAC) -> str:
    parameters: list[th.Tensor] = [*model.policy.parameters()]
    if model.log_ent_coef is not None:
        parameters.append(model.log_ent_coef)
    kinds = {(parameter.device.type, parameter.dtype) for parameter in parameters}
    _require(
        kinds in ({("cpu", th.float32)}, {("cpu", th.float64)}),
        "the networks are on " + ", ".join(sorted(f"{device} as {dtype}" for device, dtype in kinds)),
        'pass device="cpu" and leave the parameters in float32',
    )
    trained = [*model.policy.actor.parameters(), *model.policy.critic.parameters()]
    _require(
        all(parameter.requires_grad for parameter in trained),
        "some parameters are frozen (requires_grad=False)",
        "set requires_grad to True for all parameters of actor and critic",
    )
    return "float32" if parameters[0].dtype == th.float32 else "float64"


def _require_supported_optimizers(model: SAC) -> None:
    optimizers: dict[str, tuple[th.optim.Optimizer, Sequence[th.Tensor]]] = {
        "actor": (model.policy.actor.optimizer, [*model.policy.actor.parameters()]),
        "critic": (model.policy.critic.optimizer, [*model.policy.critic.parameters()]),
    }
    if model.ent_coef_optimizer is not None:
        assert model.log_ent_coef is not None
        optimizers["entropy coefficient"] = (model.ent_coef_optimizer, [model.log_ent_coef])
    for name, (optimizer, parameters) in optimizers.items():
        _require(
            type(optimizer) in (th.optim.Adam, th.optim.AdamW),
            f"the {name}'s optimizer is {type(optimizer).__name__}, the kernel has Adam and AdamW only",
            "leave out optimizer_class or pass torch.optim.AdamW",
        )
        _require(
            len(optimizer.param_groups) == 1
            and {id(p) for p in optimizer.param_groups[0]["params"]} == {id(p) for p in parameters},
            f"the {name}'s optimizer does not hold all of its parameters in one group",
            "use the optimizers that SB3 makes",
        )
        group = optimizer.param_groups[0]
        for option in ("maximize", "capturable", "differentiable", "fused"):
            _require(
                not group.get(option),
                f"the {name}'s {type(optimizer).__name__} has {option}={group.get(option)}, which the kernel lacks",
                f"leave {option} out of optimizer_kwargs",
            )
        states = [optimizer.state[parameter] for parameter in parameters if parameter in optimizer.state]
        _require(
            not group["amsgrad"] or all("max_exp_avg_sq" in state for state in states if state),
            f"the {name}'s {type(optimizer).__name__} has amsgrad=True, but has taken steps without it",
            "pass amsgrad in optimizer_kwargs from the start",
        )
        step_counts = {float(optimizer.state.get(parameter, {}).get("step", 0)) for parameter in parameters}
        _require(
            len(step_counts) == 1,
            f"the {name}'s {type(optimizer).__name__} counts different numbers of steps for its parameters",
            "load a consistent optimizer state",
        )


def _require_supported_data(model: SAC) -> None:
    _require(
        model._vec_normalize_env is None,
        "the environment is wrapped in VecNormalize",
        "normalise inside the environment, for example with gymnasium.wrappers.NormalizeObservation",
    )
    space = model.action_space
    assert isinstance(space, spaces.Box)  # SB3's constructor takes nothing else
    _require(
        bool(np.all(space.high > space.low)),
        f"the action space {space} has a dimension whose bounds coincide, so actions can't be scaled to [-1, 1]",
        "drop that dimension in a wrapper",
    )
    buffer = model.replay_buffer
    _require(
        type(buffer) is ReplayBuffer and not buffer.optimize_memory_usage,
        "the replay buffer is a "
        + ("memory-optimised " if getattr(buffer, "optimize_memory_usage", False) else "")
        + type(buffer).__name__,
        "leave out replay_buffer_class, n_steps and optimize_memory_usage",
    )
    assert buffer is not None
    _require(
        buffer.observations.dtype.name in _OBSERVATION_TYPES,
        f"the observations are stored as {buffer.observations.dtype}",
        "use float32 or float64 observations",
    )
    observation_shape = model.observation_space.shape or ()
    elements = {
        "observations": observation_shape,
        "next_observations": observation_shape,
        "actions": (math.prod(space.shape),),
    }
    for name in BUFFER_ARRAYS:
        array = getattr(buffer, name)
        shape = (len(buffer.observations), buffer.n_envs, *elements.get(name, ()))
        _require(
            array.shape == shape,
            f"the replay buffer's {name} have the shape {array.shape}, expected {shape}",
            "load a replay buffer that was filled in the same observation and action space",
        )
        expected = buffer.observations.dtype if "observations" in name else np.dtype(np.float32)
        _require(
            array.dtype == expected and array.flags.c_contiguous and array.shape[0] < 2**32,
            f"the replay buffer's {name} are stored as {array.dtype}"
            + ("" if array.flags.c_contiguous else ", not contiguous"),
            f"store them as a contiguous array of {expected}"
            + (" (a float32 action space)" if name == "actions" else ""),
        )
