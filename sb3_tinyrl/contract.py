"""What the kernel assumes about a model: every fact, what becomes of a model for which it does not hold, and its check.

The kernel computes what SB3's own code would compute, on the memory that this code would use. Each fact below is one
thing that must hold for that to be true. All are checked before a kernel touches a model's memory;
:mod:`sb3_tinyrl.memory` then watches the objects that they rest on, and the facts are checked anew when one has
changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import BaseBuffer, DictReplayBuffer, NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.distributions import (
    DiagGaussianDistribution,
    Distribution,
    SquashedDiagGaussianDistribution,
    StateDependentNoiseDistribution,
    TanhBijector,
)
from stable_baselines3.common.policies import BaseModel, BasePolicy, ContinuousCritic
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, CombinedExtractor, FlattenExtractor
from stable_baselines3.common.vec_env import VecNormalize
from stable_baselines3.sac.policies import Actor, MultiInputPolicy, SACPolicy
from torch import nn
from torch.nn.modules import module as torch_module
from torch.optim import optimizer as torch_optimizer

from sb3_tinyrl._native.errors import UnsupportedByKernelError
from sb3_tinyrl.networks import Networks, activation, actor_network, tensors
from sb3_tinyrl.observations import OBSERVATION_TYPES

_require = UnsupportedByKernelError.unless

#: Arrays of a replay buffer that the kernel reads in place; ``next_observations`` may be missing.
BUFFER_ARRAYS = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")
#: State of Adam for each parameter; AMSGrad's last.
MOMENTS = ("step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq")

_STANDARD_POLICY = 'pass "MlpPolicy" or "MultiInputPolicy"'
_REMOVE_HOOKS = "remove the hooks, or train with them in stable_baselines3.SAC"
_SIZES_BELOW = 2**32  # of a replay buffer: what the kernel draws rows with

#: Methods that a kernel replaces when it acts, by the class that defines them.
_ACTING_METHODS: dict[type, tuple[str, ...]] = {
    nn.Module: ("__call__", "_call_impl", "_wrapped_call_impl"),
    nn.Linear: ("forward",),
    nn.Sequential: ("forward",),
    nn.Flatten: ("forward",),
    nn.Hardtanh: ("forward",),
    BaseModel: ("extract_features", "obs_to_tensor"),
    BasePolicy: ("predict", "scale_action", "unscale_action"),
    SACPolicy: ("forward", "_predict"),
    Actor: ("forward", "_predict", "get_action_dist_params", "reset_noise"),
    FlattenExtractor: ("forward",),
    CombinedExtractor: ("forward",),
    Distribution: ("get_actions",),
    DiagGaussianDistribution: ("actions_from_params",),
    SquashedDiagGaussianDistribution: ("proba_distribution", "sample", "mode"),
    StateDependentNoiseDistribution: (
        *("get_std", "sample_weights", "proba_distribution", "sample", "mode", "get_noise", "actions_from_params"),
    ),
    TanhBijector: ("forward",),
}
#: Methods that it replaces when it trains, too.
_TRAINING_METHODS: dict[type, tuple[str, ...]] = {
    Actor: ("action_log_prob",),
    ContinuousCritic: ("forward",),
    DiagGaussianDistribution: ("log_prob",),
    SquashedDiagGaussianDistribution: ("log_prob", "log_prob_from_params"),
    StateDependentNoiseDistribution: ("log_prob", "log_prob_from_params"),
    TanhBijector: ("inverse", "atanh", "log_prob_correction"),
    th.optim.Adam: ("step",),
    th.optim.AdamW: (),
    th.optim.Optimizer: ("zero_grad",),
}
#: Methods that it replaces when it draws batches itself.
_SAMPLING_METHODS: dict[type, tuple[str, ...]] = {
    BaseBuffer: ("sample", "size", "to_torch", "_normalize_obs", "_normalize_reward"),
    ReplayBuffer: ("sample", "_get_samples"),
    DictReplayBuffer: ("sample", "_get_samples"),
    NStepReplayBuffer: ("_get_samples",),
    VecNormalize: ("normalize_obs", "normalize_reward", "_normalize_obs"),
}

_GLOBAL_HOOKS = (
    torch_module._global_forward_hooks,
    torch_module._global_forward_pre_hooks,
    torch_module._global_backward_hooks,
    torch_module._global_backward_pre_hooks,
    torch_optimizer._global_optimizer_pre_hooks,
    torch_optimizer._global_optimizer_post_hooks,
)


def class_methods(acting_only: bool) -> Iterator[tuple[type, tuple[str, ...]]]:
    """Classes and names of the methods that a kernel replaces when it acts, or also when it trains."""
    yield from _ACTING_METHODS.items()
    if not acting_only:
        yield from _TRAINING_METHODS.items()
        yield from _SAMPLING_METHODS.items()


def hooks(modules: Iterable[nn.Module]) -> Iterator[dict[int, Any]]:
    """The dictionaries with the hooks that torch would run for these modules, and for all."""
    yield from _GLOBAL_HOOKS
    for module in modules:
        yield from (
            module._forward_hooks,
            module._forward_pre_hooks,
            module._backward_hooks,
            module._backward_pre_hooks,
        )


def optimizers(model: SAC) -> dict[str, tuple[th.optim.Optimizer, Sequence[th.Tensor]]]:
    """Optimizers of what is trained, and what each has to hold."""
    result: dict[str, tuple[th.optim.Optimizer, Sequence[th.Tensor]]] = {
        "actor": (model.policy.actor.optimizer, [*model.policy.actor.parameters()]),
        "critic": (model.policy.critic.optimizer, [*model.policy.critic.parameters()]),
    }
    if learns_entropy_coefficient(model):
        assert model.ent_coef_optimizer is not None
        assert model.log_ent_coef is not None
        result["entropy coefficient"] = (model.ent_coef_optimizer, [model.log_ent_coef])
    return result


def learns_entropy_coefficient(model: SAC) -> bool:
    """Whether SB3 would learn it: both its tensor and its optimizer are there."""
    return model.ent_coef_optimizer is not None and model.log_ent_coef is not None


# --- the policy and its modules ---


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


def require_own_methods(model: SAC) -> None:
    """The methods that SB3 would call are the library's own, on the class and on the instance."""
    actor = model.policy.actor
    _require_original_classes(_ACTING_METHODS)
    _require_no_replaced_methods([model.policy, *actor.modules(), actor.action_dist])


def require_own_training_methods(model: SAC) -> None:
    """The same for what only training calls."""
    policy = model.policy
    _require_original_classes(_TRAINING_METHODS)
    _require_no_replaced_methods(
        [
            *policy.critic.modules(),
            *policy.critic_target.modules(),
            *(optimizer for optimizer, _ in optimizers(model).values()),
        ]
    )


def _require_original_classes(methods: dict[type, tuple[str, ...]]) -> None:
    if replaced := replaced_method(methods):
        raise UnsupportedByKernelError(f"{replaced} has been replaced", "leave the library's classes as they are")


def replaced_method(methods: dict[type, tuple[str, ...]]) -> str | None:
    """The first method that is not the one its class was written with."""
    for cls, names in methods.items():
        for name in names:
            function = vars(cls).get(name)
            function = getattr(function, "__func__", function)
            if getattr(function, "__module__", None) != cls.__module__:
                return f"{cls.__name__}.{name}"
    return None


def _require_no_replaced_methods(objects: Iterable[object]) -> None:
    for item in objects:
        if replaced := replaced_on_instance(item):
            raise UnsupportedByKernelError(
                f"{replaced} of a {type(item).__name__} has been replaced on the object itself",
                "leave the methods of the policy and its optimizers as they are",
            )


def replaced_on_instance(item: object) -> str | None:
    """The first method of an object's class that the object itself hides."""
    for name, value in vars(item).items():
        if callable(value) and not isinstance(value, (nn.Module, type)) and callable(getattr(type(item), name, None)):
            return name
    return None


def require_no_hooks(model: SAC) -> None:
    """No hook would have to run when the actor acts."""
    _require_no_hooks(model.policy.actor.modules(), model.policy)


def require_no_training_hooks(model: SAC) -> None:
    """No hook would have to run in an update: of modules, parameters or optimizers."""
    policy = model.policy
    _require_no_hooks([*policy.critic.modules(), *policy.critic_target.modules()])
    parameters: list[th.Tensor] = [*policy.parameters()]
    if model.log_ent_coef is not None:
        parameters.append(model.log_ent_coef)
    for parameter in parameters:
        _require(
            not parameter._backward_hooks and not getattr(parameter, "_post_accumulate_grad_hooks", None),
            "a parameter has a hook that changes or reads its gradient",
            _REMOVE_HOOKS,
        )
    for name, (optimizer, _) in optimizers(model).items():
        _require(
            not optimizer._optimizer_step_pre_hooks and not optimizer._optimizer_step_post_hooks,
            f"the {name}'s optimizer has hooks around its step",
            _REMOVE_HOOKS,
        )


def _require_no_hooks(modules: Iterable[nn.Module], *others: nn.Module) -> None:
    _require(
        not any(hooks([*modules, *others])),
        "a module of the policy, or torch for all modules, has hooks",
        _REMOVE_HOOKS,
    )


def require_known_extractor(model: SAC) -> None:
    """Features are the observation itself."""
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
            all(stride > 0 or size <= 1 for stride, size in zip(tensor.stride(), tensor.shape, strict=True)),
            f"several elements of {name} share memory",
            "assign a clone() of it to its data",
        )
    _require_apart([(name, *_extent(tensor)) for name, tensor in named])


def _extent(tensor: th.Tensor) -> tuple[int, int]:
    start = tensor.storage_offset() * tensor.element_size() + tensor.untyped_storage().data_ptr()
    length = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return int(start), int(start + length * tensor.element_size())


def _require_apart(extents: list[tuple[str, int, int]]) -> None:
    extents.sort(key=lambda extent: extent[1])
    for (name, _, end), (other, start, _) in pairwise(extents):
        _require(end <= start, f"{name} and {other} share memory", "give each parameter memory of its own")


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


# --- optimizers ---


def require_known_optimizer(model: SAC) -> None:
    """Each optimizer is torch's Adam or AdamW with one group that holds just the network's parameters."""
    for name, (optimizer, parameters) in optimizers(model).items():
        _require(
            type(optimizer) in (th.optim.Adam, th.optim.AdamW),
            f"the {name}'s optimizer is {type(optimizer).__name__}, the kernel has Adam and AdamW only",
            "leave out optimizer_class or pass torch.optim.AdamW",
        )
        _require(
            len(optimizer.param_groups) == 1
            and [id(p) for p in optimizer.param_groups[0]["params"]] == [id(p) for p in parameters],
            f"the {name}'s optimizer does not hold all of its parameters in one group",
            "use the optimizers that SB3 makes",
        )
        _require_optimizer_state(name, optimizer, parameters)


def _require_optimizer_state(name: str, optimizer: th.optim.Optimizer, parameters: Sequence[th.Tensor]) -> None:
    counts = set()
    extents = []
    for parameter in parameters:
        state = optimizer.state.get(parameter) or {}
        for key in state.keys() & {*MOMENTS}:
            moment, shape = state[key], () if key == "step" else tuple(parameter.shape)
            is_tensor = isinstance(moment, th.Tensor) and moment.layout == th.strided
            _require(
                is_tensor and (moment.numel() == 1 if key == "step" else tuple(moment.shape) == shape),
                f"the {name}'s {type(optimizer).__name__} holds {key} of shape "
                f"{tuple(moment.shape) if is_tensor else moment!r} for a parameter of shape {shape}",
                "load the state of an optimizer of networks of the same sizes",
            )
            extents.append((f"{key} of the {name}'s optimizer", *_extent(moment)))
        _require(
            not state or {*MOMENTS[:3]} <= state.keys(),
            f"the {name}'s {type(optimizer).__name__} holds {', '.join(state)} for a parameter, expected "
            f"{', '.join(MOMENTS[:3])}",
            "load a consistent optimizer state",
        )
        counts.add(float(state["step"]) if state else 0.0)
    _require(
        len(counts) == 1,
        f"the {name}'s {type(optimizer).__name__} counts different numbers of steps for its parameters",
        "load a consistent optimizer state",
    )
    _require_apart(extents)


def require_known_optimizer_options(model: SAC) -> None:
    """Their options are those that the kernel computes."""
    for name, (optimizer, _) in optimizers(model).items():
        group = optimizer.param_groups[0]
        for option in ("maximize", "capturable", "differentiable", "fused"):
            _require(
                not group.get(option),
                f"the {name}'s {type(optimizer).__name__} has {option}={group.get(option)}, which the kernel lacks",
                f"leave {option} out of optimizer_kwargs",
            )
        numbers = (*group["betas"], group["eps"], group["weight_decay"])
        _require(
            len(numbers) == 4 and all(isinstance(number, Real) for number in numbers),
            f"the {name}'s {type(optimizer).__name__} has betas, eps or weight_decay that are no numbers: {numbers}",
            "pass numbers in optimizer_kwargs",
        )
        states = [state for state in optimizer.state.values() if state]
        _require(
            not group.get("amsgrad") or all("max_exp_avg_sq" in state for state in states),
            f"the {name}'s {type(optimizer).__name__} has amsgrad=True, but has taken steps without it",
            "pass amsgrad in optimizer_kwargs from the start",
        )


# --- hyperparameters ---


def require_numbers(model: SAC) -> None:
    """Hyperparameters are numbers of the kinds that SB3 computes with."""
    for name in ("gamma", "tau"):
        value = getattr(model, name)
        _require(
            isinstance(value, Real) or (isinstance(value, (np.ndarray, th.Tensor)) and value.ndim == 0),
            f"{name} is {value!r}",
            f"set {name} to a number",
        )
    interval = model.target_update_interval
    _require(
        isinstance(interval, Integral) and abs(int(interval)) < 2**63,
        f"target_update_interval is {interval!r}",
        "set target_update_interval to a whole number",
    )
    if learns_entropy_coefficient(model):
        assert model.log_ent_coef is not None
        _require(
            isinstance(model.target_entropy, float) and model.log_ent_coef.numel() == 1,
            f"target_entropy is {model.target_entropy!r} and log_ent_coef has the shape "
            f"{tuple(model.log_ent_coef.shape)}",
            "set target_entropy to a float and log_ent_coef to a tensor with one element",
        )
    else:
        coefficient = getattr(model, "ent_coef_tensor", None)
        _require(
            isinstance(coefficient, th.Tensor) and coefficient.numel() == 1 and not coefficient.requires_grad,
            f"the entropy coefficient is not learned, and ent_coef_tensor is {coefficient!r}",
            "set ent_coef_tensor to a tensor with one number",
        )


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


# --- replay buffer ---


def buffer_arrays(buffer: ReplayBuffer) -> dict[str, Any]:
    """Those of :data:`BUFFER_ARRAYS` that a buffer has."""
    return {name: vars(buffer)[name] for name in BUFFER_ARRAYS if name in vars(buffer)}


def require_consistent_buffer(model: SAC) -> None:
    """The arrays have the shapes of the spaces, and the position is a row of theirs."""
    buffer = model.replay_buffer
    assert buffer is not None
    if type(buffer) not in (ReplayBuffer, NStepReplayBuffer) or not isinstance(model.observation_space, spaces.Box):
        return
    arrays = buffer_arrays(buffer)
    missing = {*BUFFER_ARRAYS} - arrays.keys() - ({"next_observations"} if buffer.optimize_memory_usage else set())
    _require(not missing, f"the replay buffer has no {', '.join(sorted(missing))}", "use the buffers that SB3 makes")
    elements = {
        "observations": model.observation_space.shape,
        "next_observations": model.observation_space.shape,
        "actions": (get_action_dim(model.action_space),),
    }
    for name, array in arrays.items():
        shape = (buffer.buffer_size, buffer.n_envs, *elements.get(name, ()))
        _require(
            getattr(array, "shape", None) == shape,
            f"the replay buffer's {name} have the shape {getattr(array, 'shape', None)}, expected {shape}",
            "load a replay buffer that was filled in the same observation and action space",
        )
    _require(
        isinstance(buffer.pos, Integral) and 0 <= buffer.pos <= buffer.buffer_size,
        f"the replay buffer's pos is {buffer.pos!r} of {buffer.buffer_size} rows",
        "leave pos and full to the replay buffer",
    )


def sampled_because_of_environment(model: SAC) -> str | None:
    """Why observations, or what normalises them, are left to Python."""
    space = model.observation_space
    if not isinstance(space, spaces.Box):
        return f"the observations are of a {type(space).__name__} space"
    if space.dtype is None or space.dtype.name not in OBSERVATION_TYPES:
        return f"the observations are {space.dtype}"
    env = model._vec_normalize_env
    if env is None:
        return None
    if type(env) is not VecNormalize:
        return f"a {type(env).__name__} normalises them"
    if name := replaced_on_instance(env) or replaced_method({VecNormalize: _SAMPLING_METHODS[VecNormalize]}):
        return f"{name} of the VecNormalize has been replaced"
    return statistics_do_not_fit(model)


def statistics_do_not_fit(model: SAC) -> str | None:
    """Why the statistics of the model's ``VecNormalize`` can't be applied as they are now."""
    env = model._vec_normalize_env
    assert env is not None
    if env.norm_obs and not _is_broadcast_to(env.obs_rms, model.observation_space.shape):
        return "the statistics of the VecNormalize do not fit the observations"
    if env.norm_reward and not _is_broadcast_to(env.ret_rms, ()):
        return "the statistics of the VecNormalize do not fit the rewards"
    numbers = (env.epsilon, env.clip_obs, env.clip_reward)
    if not all(isinstance(number, Real) and math.isfinite(number) for number in numbers):
        return f"the VecNormalize has epsilon, clip_obs or clip_reward that are no finite numbers: {numbers}"
    return None


def _is_broadcast_to(statistics: object, shape: tuple[int, ...] | None) -> bool:
    if type(statistics) is not RunningMeanStd or shape is None:
        return False
    try:
        return all(
            np.broadcast_shapes(np.shape(moment), shape) == shape and np.asarray(moment).dtype.kind in "fiu"
            for moment in (statistics.mean, statistics.var)
        )
    except ValueError:
        return False


def sampled_because_of_buffer(model: SAC) -> str | None:
    """Why the replay buffer's own Python code draws the batches."""
    buffer = model.replay_buffer
    assert buffer is not None
    if type(buffer) not in (ReplayBuffer, NStepReplayBuffer):
        return f"the replay buffer is a {type(buffer).__name__}"
    if name := replaced_on_instance(buffer) or replaced_method(_SAMPLING_METHODS):
        return f"{name} of the replay buffer has been replaced"
    for name, array in buffer_arrays(buffer).items():
        expected = model.observation_space.dtype if "observations" in name else np.dtype(np.float32)
        if type(array) is not np.ndarray or array.dtype != expected or not array.flags.c_contiguous:
            return f"the replay buffer's {name} are not stored as a contiguous array of {expected}"
        if len(array) >= _SIZES_BELOW:
            return f"the replay buffer has {len(array)} rows"
    return None


@dataclass(frozen=True)
class Fact:
    """One thing that the kernel relies on.

    :param name: of what it is about
    :param promise: what must hold, in Markdown
    :param otherwise: what serves a model for which it does not hold: SB3's own update, or the kernel with batches that
        SB3's Python code has drawn
    :param check: raises :class:`UnsupportedByKernelError` where it does not hold; returns the reason instead where
        that is to sample in Python
    :param acting: whether acting and predicting rest on it, too
    """

    name: str
    promise: str
    otherwise: Literal["PyTorch", "sampled by SB3's Python"]
    check: Callable[[SAC], str | None] | Callable[[SAC], None]
    acting: bool = False


#: In the order in which they are checked: each may rely on those before it.
FACTS = (
    Fact(
        "policy",
        "policy, actor, critics and distribution are SB3's classes, with SB3's constants, and the model's aliases of "
        "them are the policy's",
        "PyTorch",
        require_known_policy,
        acting=True,
    ),
    Fact(
        "features",
        "`FlattenExtractor` or `CombinedExtractor` without networks of its own",
        "PyTorch",
        require_known_extractor,
        acting=True,
    ),
    Fact(
        "structure of the actor",
        "linear layers with bias, one known activation function behind each hidden one; two heads, or with gSDE a mean "
        "with its `Hardtanh` and a parameter; weights of shapes that fit",
        "PyTorch",
        require_actor_structure,
        acting=True,
    ),
    Fact(
        "actions",
        "bounds that differ; the same spaces in model, policy and actor",
        "PyTorch",
        require_scalable_actions,
        acting=True,
    ),
    Fact(
        "tensors of the actor",
        "dense, on the CPU, all in float32 or all in float64; strided ones are made contiguous",
        "PyTorch",
        require_actor_tensors,
        acting=True,
    ),
    Fact(
        "methods that act",
        "the library's own, on the classes and on the objects",
        "PyTorch",
        require_own_methods,
        acting=True,
    ),
    Fact("hooks that act", "none on the actor's modules or for all modules", "PyTorch", require_no_hooks, acting=True),
    Fact(
        "structure of the critics",
        "the same widths in all critics and targets, one output, the actor's activation function",
        "PyTorch",
        require_known_activation,
    ),
    Fact(
        "tensors",
        "as the actor's; none frozen, none unused, no two that share memory",
        "PyTorch",
        require_tensors,
    ),
    Fact("methods that train", "the library's own", "PyTorch", require_own_training_methods),
    Fact(
        "hooks that train",
        "none on modules, parameters and optimizers",
        "PyTorch",
        require_no_training_hooks,
    ),
    Fact(
        "optimizers",
        "`Adam` or `AdamW` with one group of just the network's parameters, and state of their shapes and one count",
        "PyTorch",
        require_known_optimizer,
    ),
    Fact(
        "options of the optimizers",
        "numbers; no `maximize`, `capturable`, `differentiable`, `fused`; AMSGrad from the start",
        "PyTorch",
        require_known_optimizer_options,
    ),
    Fact(
        "hyperparameters",
        "numbers; a target entropy where the entropy coefficient is learned, `ent_coef_tensor` where it is not",
        "PyTorch",
        require_numbers,
    ),
    Fact(
        "arrays of the replay buffer",
        "shapes of the spaces, a position within",
        "PyTorch",
        require_consistent_buffer,
    ),
    Fact(
        "observations",
        "a `Box` in a type of the kernel; `VecNormalize` itself, with its own methods and statistics that fit",
        "sampled by SB3's Python",
        sampled_because_of_environment,
    ),
    Fact(
        "replay buffer",
        "`ReplayBuffer` or `NStepReplayBuffer` with its own methods and contiguous arrays of its types",
        "sampled by SB3's Python",
        sampled_because_of_buffer,
    ),
)


def require_acting(model: SAC) -> None:
    """Check all facts that acting and predicting rest on.

    :raises UnsupportedByKernelError: with the first that does not hold
    """
    for fact in FACTS:
        if fact.acting:
            fact.check(model)


def require_training(model: SAC) -> None:
    """Check all facts without which SB3's own update serves.

    :raises UnsupportedByKernelError: with the first that does not hold
    """
    for fact in FACTS:
        if fact.otherwise == "PyTorch":
            fact.check(model)


def reason_to_sample(model: SAC) -> str | None:
    """Why batches are drawn by the replay buffer's own Python code, or ``None`` where the kernel draws them."""
    for fact in FACTS:
        if fact.otherwise != "PyTorch" and (reason := fact.check(model)):
            return reason
    return None
