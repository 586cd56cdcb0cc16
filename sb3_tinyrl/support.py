"""What the kernel can serve: from an SB3 model to the spec of its kernel, or to the reason why there is none.

:data:`ARGUMENTS` is the table by which this is decided and from which the documentation's matrix is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.preprocessing import get_action_dim, is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, CombinedExtractor, FlattenExtractor
from stable_baselines3.common.vec_env import VecNormalize
from stable_baselines3.sac.policies import MultiInputPolicy, SACPolicy
from torch import nn

from sb3_tinyrl import activations
from sb3_tinyrl._native.errors import KernelError
from sb3_tinyrl._native.jit.spec import Activation, KernelSpec
from sb3_tinyrl.transitions import BUFFER_ARRAYS, SampledTransitions, StoredTransitions, Transitions

_OBSERVATION_TYPES = (
    "float32",
    "float64",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
)


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

    :return: ``"actor"`` (hidden layers, mean, and without gSDE log standard deviation), ``"critic/0"``, ... and
        ``"target/0"``, ...
    :raises UnsupportedByKernelError: when a network is anything but linear layers with activation functions between
        them
    """
    networks = {name: [_linear(module) for module in modules[::2]] for name, modules in _sequences(model).items()}
    actor = model.policy.actor
    networks["actor"].append(_linear(actor.mu[0] if isinstance(actor.mu, nn.Sequential) else actor.mu))
    if not actor.use_sde:
        networks["actor"].append(_linear(actor.log_std))
    return networks


def _sequences(model: SAC) -> dict[str, list[nn.Module]]:
    """Linear layers and activation functions in turn, of each network; without the actor's heads."""
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
    found = {_activation_of(module) for modules in _sequences(model).values() for module in modules[1::2]}
    _require(
        len(found) <= 1,
        "the hidden layers have different activation functions",
        "use one for all, as activation_fn does",
    )
    return found.pop() if found else Activation()


def _activation_of(module: nn.Module) -> Activation:
    activation = activations.read(module)
    _require(
        activation is not None,
        f"the activation function is {module}, which the kernel lacks",
        f"pass policy_kwargs=dict(activation_fn=...) with one of torch.nn's {', '.join(activations.class_names())}",
    )
    assert activation is not None
    function = activation.function
    _require(
        activation.is_valid,
        f"the activation function is {module}",
        f"pass finite numbers as {' and '.join(function.constants)}"
        + "".join(f", {name} above zero" for name in function.positive),
    )
    return activation.for_kernel()


def kernel_spec(model: SAC, batch_size: int, use_blas: bool = False) -> KernelSpec:
    """The spec of the kernel that computes ``model.train(..., batch_size)``.

    :param use_blas: whether a BLAS computes its matrix products
    :raises UnsupportedByKernelError: with the first reason found why there is none
    """
    for argument in ARGUMENTS:
        if argument.require is not None:
            argument.require(model)
    networks = linear_layers(model)
    buffer = model.replay_buffer
    assert buffer is not None
    in_place = reason_to_sample(model) is None
    is_image = _is_image(model) and in_place
    return KernelSpec(
        observation_dim=model.policy.actor.features_dim,
        action_dim=get_action_dim(model.action_space),
        actor_layers=tuple(layer.out_features for layer in networks["actor"][: len(model.policy.actor.latent_pi) // 2]),
        critic_layers=tuple(layer.out_features for layer in networks["critic/0"][:-1]),
        n_critics=len(model.policy.critic.q_networks),
        batch_size=batch_size,
        activation=_activation(model),
        observation_type=buffer.observations.dtype.name if in_place else "float32",
        scalar_type=str(next(model.policy.actor.parameters()).dtype).removeprefix("torch."),
        use_sde=model.policy.actor.use_sde,
        observation_divisor=255 if is_image else 1,
        use_blas=use_blas,
    )


def transitions(model: SAC, spec: KernelSpec) -> Transitions:
    """Where a kernel of this spec gets the model's batches from."""
    if reason_to_sample(model) is not None:
        return SampledTransitions(spec.batch_size, spec.observation_dim, spec.action_dim)
    assert model.replay_buffer is not None
    return StoredTransitions(model.replay_buffer)


def reason_to_sample(model: SAC) -> str | None:
    """Why batches are drawn by the replay buffer's own Python code, or ``None`` where the kernel draws them."""
    for argument in ARGUMENTS:
        if argument.sampled_because is not None and (reason := argument.sampled_because(model)):
            return reason
    return None


def _is_image(model: SAC) -> bool:
    return bool(model.policy.normalize_images) and is_image_space(model.observation_space)


def _require_known_policy(model: SAC) -> None:
    _require(
        type(model.policy) in (SACPolicy, MultiInputPolicy),
        f"the policy is a {type(model.policy).__name__}, the kernel knows only SB3's MlpPolicy and MultiInputPolicy",
        'pass "MlpPolicy" or "MultiInputPolicy"',
    )


def _require_known_extractor(model: SAC) -> None:
    for network in (model.policy.actor, model.policy.critic, model.policy.critic_target):
        extractor = network.features_extractor
        assert isinstance(extractor, BaseFeaturesExtractor)
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


def _require_cpu(model: SAC) -> None:
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


def _require_known_activation(model: SAC) -> None:
    linear_layers(model)
    _activation(model)


def _optimizers(model: SAC) -> dict[str, tuple[th.optim.Optimizer, Sequence[th.Tensor]]]:
    optimizers: dict[str, tuple[th.optim.Optimizer, Sequence[th.Tensor]]] = {
        "actor": (model.policy.actor.optimizer, [*model.policy.actor.parameters()]),
        "critic": (model.policy.critic.optimizer, [*model.policy.critic.parameters()]),
    }
    if model.ent_coef_optimizer is not None:
        assert model.log_ent_coef is not None
        optimizers["entropy coefficient"] = (model.ent_coef_optimizer, [model.log_ent_coef])
    return optimizers


def _require_known_optimizer(model: SAC) -> None:
    for name, (optimizer, parameters) in _optimizers(model).items():
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
        step_counts = {float(optimizer.state.get(parameter, {}).get("step", 0)) for parameter in parameters}
        _require(
            len(step_counts) == 1,
            f"the {name}'s {type(optimizer).__name__} counts different numbers of steps for its parameters",
            "load a consistent optimizer state",
        )


def _require_known_optimizer_options(model: SAC) -> None:
    for name, (optimizer, _) in _optimizers(model).items():
        group = optimizer.param_groups[0]
        for option in ("maximize", "capturable", "differentiable", "fused"):
            _require(
                not group.get(option),
                f"the {name}'s {type(optimizer).__name__} has {option}={group.get(option)}, which the kernel lacks",
                f"leave {option} out of optimizer_kwargs",
            )
        states = [state for state in optimizer.state.values() if state]
        _require(
            not group.get("amsgrad") or all("max_exp_avg_sq" in state for state in states),
            f"the {name}'s {type(optimizer).__name__} has amsgrad=True, but has taken steps without it",
            "pass amsgrad in optimizer_kwargs from the start",
        )


def _require_scalable_actions(model: SAC) -> None:
    space = model.action_space
    assert isinstance(space, spaces.Box)  # SB3's constructor takes nothing else
    _require(
        bool(np.all(space.high > space.low)),
        f"the action space {space} has a dimension whose bounds coincide, so actions can't be scaled to [-1, 1]",
        "drop that dimension in a wrapper",
    )


def _sampled_because_of_environment(model: SAC) -> str | None:
    if not isinstance(model.observation_space, spaces.Box):
        return f"the observations are of a {type(model.observation_space).__name__} space"
    if type(model._vec_normalize_env) not in (type(None), VecNormalize):
        return f"a {type(model._vec_normalize_env).__name__} normalises them"
    dtype = model.observation_space.dtype
    return None if dtype is not None and dtype.name in _OBSERVATION_TYPES else f"the observations are {dtype}"


def _sampled_because_of_buffer(model: SAC) -> str | None:
    buffer = model.replay_buffer
    assert buffer is not None
    if type(buffer) not in (ReplayBuffer, NStepReplayBuffer):
        return f"the replay buffer is a {type(buffer).__name__}"
    for name, array in _arrays(buffer).items():
        expected = model.observation_space.dtype if "observations" in name else np.dtype(np.float32)
        if array.dtype != expected or not array.flags.c_contiguous or len(array) >= 2**32:
            return f"the replay buffer's {name} are not stored as a contiguous array of {expected}"
    return None


def _arrays(buffer: ReplayBuffer) -> dict[str, np.ndarray]:
    return {name: getattr(buffer, name) for name in BUFFER_ARRAYS if hasattr(buffer, name)}


def _require_consistent_buffer(model: SAC) -> None:
    buffer = model.replay_buffer
    assert buffer is not None
    if type(buffer) not in (ReplayBuffer, NStepReplayBuffer) or not isinstance(model.observation_space, spaces.Box):
        return
    elements = {
        "observations": model.observation_space.shape,
        "next_observations": model.observation_space.shape,
        "actions": (get_action_dim(model.action_space),),
    }
    for name, array in _arrays(buffer).items():
        shape = (buffer.buffer_size, buffer.n_envs, *elements.get(name, ()))
        _require(
            array.shape == shape,
            f"the replay buffer's {name} have the shape {array.shape}, expected {shape}",
            "load a replay buffer that was filled in the same observation and action space",
        )


@dataclass(frozen=True)
class Argument:
    """What becomes of one argument of ``SAC`` or of its policy.

    :param name: of the argument
    :param native: what the kernel trains with
    :param sampled: what it trains with after SB3's Python code has drawn the batches
    :param torch: what SB3's own PyTorch update trains with
    :param error: what SB3 refuses
    :param sampled_because: the reason why ``sampled`` holds for a model, or ``None`` where it does not
    :param require: raises :class:`UnsupportedByKernelError` where ``torch`` holds for a model
    """

    name: str
    native: str
    sampled: str = ""
    torch: str = ""
    error: str = ""
    sampled_because: Callable[[SAC], str | None] | None = None
    require: Callable[[SAC], None] | None = None


#: Arguments of ``SAC``, then those in ``policy_kwargs``.
ARGUMENTS = (
    Argument(
        "policy",
        '`"MlpPolicy"`, `"MultiInputPolicy"`',
        torch='`"CnnPolicy"`, custom classes',
        require=_require_known_policy,
    ),
    Argument(
        "env",
        "`Box` observations of any shape, in float32, float64 or integers; images, divided by 255; `VecNormalize`; "
        "any number of environments",
        sampled="float16 observations; `Dict` and other spaces; subclasses of `VecNormalize`",
        torch="actions with a dimension whose bounds coincide",
        error="action spaces that are not a finite `Box`",
        sampled_because=_sampled_because_of_environment,
        require=_require_scalable_actions,
    ),
    Argument("learning_rate", "any number or schedule"),
    Argument("buffer_size", "any"),
    Argument("learning_starts", "any"),
    Argument("batch_size", "any; a new value compiles a new kernel"),
    Argument("tau", "any"),
    Argument("gamma", "any"),
    Argument("train_freq", "steps; episodes", error="episodes of several environments"),
    Argument("gradient_steps", "any, -1 for as many as steps were taken"),
    Argument("action_noise", "any"),
    Argument(
        "replay_buffer_class",
        "`ReplayBuffer`, `NStepReplayBuffer`",
        sampled="`DictReplayBuffer`, `HerReplayBuffer`, custom classes",
        torch="arrays whose shape does not fit the spaces",
        sampled_because=_sampled_because_of_buffer,
        require=_require_consistent_buffer,
    ),
    Argument("replay_buffer_kwargs", "any"),
    Argument("optimize_memory_usage", "any"),
    Argument("n_steps", "any"),
    Argument("ent_coef", 'any number, `"auto"`, `"auto_0.1"`'),
    Argument("target_update_interval", "any"),
    Argument("target_entropy", 'any number, `"auto"`'),
    Argument("use_sde", "any"),
    Argument("sde_sample_freq", "any"),
    Argument("use_sde_at_warmup", "any"),
    Argument("stats_window_size", "any"),
    Argument("tensorboard_log", "any"),
    Argument("policy_kwargs", "see below"),
    Argument("verbose", "any"),
    Argument("seed", "any"),
    Argument("device", '`"cpu"`, `"auto"` without a GPU', torch="all others; frozen parameters", require=_require_cpu),
    Argument("net_arch", "a list or a dictionary of `pi` and `qf`, of any depth, with none too"),
    Argument(
        "activation_fn",
        ", ".join(f"`{name}`" for name in activations.class_names()) + " and subclasses with other constants",
        torch="all others",
        require=_require_known_activation,
    ),
    Argument("log_std_init", "any"),
    Argument("use_expln", "any"),
    Argument("clip_mean", "any"),
    Argument(
        "features_extractor_class",
        "`FlattenExtractor`, `CombinedExtractor`",
        torch="all others; images among dictionary entries",
        require=_require_known_extractor,
    ),
    Argument("features_extractor_kwargs", "any"),
    Argument("normalize_images", "any"),
    Argument(
        "optimizer_class",
        "`torch.optim.Adam`, `torch.optim.AdamW`",
        torch="all others; several parameter groups",
        require=_require_known_optimizer,
    ),
    Argument(
        "optimizer_kwargs",
        "`betas`, `eps`, `weight_decay`, `amsgrad`, `foreach`",
        torch="`maximize`, `capturable`, `differentiable`, `fused`",
        require=_require_known_optimizer_options,
    ),
    Argument("n_critics", "any"),
    Argument("share_features_extractor", "any"),
)
