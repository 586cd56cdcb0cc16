"""Facts about behaviour: the methods that a kernel replaces are the library's own, and no hook would have to run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

import torch as th
from stable_baselines3 import SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import BaseBuffer, DictReplayBuffer, NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.distributions import (
    DiagGaussianDistribution,
    Distribution,
    SquashedDiagGaussianDistribution,
    StateDependentNoiseDistribution,
    TanhBijector,
)
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import BaseModel, BasePolicy, ContinuousCritic
from stable_baselines3.common.torch_layers import CombinedExtractor, FlattenExtractor
from stable_baselines3.common.vec_env import VecNormalize
from stable_baselines3.sac import sac
from stable_baselines3.sac.policies import Actor, SACPolicy
from torch import nn
from torch.nn.modules import module as torch_module
from torch.optim import optimizer as torch_optimizer

from sb3_tinyrl._native.errors import UnsupportedByKernelError
from sb3_tinyrl.activations import FUNCTIONS
from sb3_tinyrl.contract.training import optimizers

_require = UnsupportedByKernelError.unless

_REMOVE_HOOKS = "remove the hooks, or train with them in stable_baselines3.SAC"

#: Methods that a kernel replaces when it acts, by the class that defines them.
_ACTING_METHODS: dict[type, tuple[str, ...]] = {
    **{function.module: ("forward",) for function in FUNCTIONS},
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
    BaseAlgorithm: ("predict",),
    OffPolicyAlgorithm: ("_sample_action",),
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
    OffPolicyAlgorithm: ("collect_rollouts", "_store_transition"),
    SAC: ("train",),
}
#: Functions that SB3's ``train`` calls, by the module where it finds them: names, and where they were written.
_TRAINING_FUNCTIONS: dict[ModuleType, dict[str, str]] = {
    sac: {"polyak_update": "stable_baselines3.common.utils"},
    nn.functional: {"mse_loss": "torch.nn.functional"},
}
#: Methods that it replaces when it draws batches itself.
SAMPLING_METHODS: dict[type, tuple[str, ...]] = {
    BaseBuffer: ("sample", "size", "to_torch", "_normalize_obs", "_normalize_reward"),
    ReplayBuffer: ("sample", "_get_samples", "add"),
    DictReplayBuffer: ("sample", "_get_samples", "add"),
    NStepReplayBuffer: ("_get_samples",),
    VecNormalize: ("normalize_obs", "normalize_reward", "_normalize_obs"),
}

#: What a class has under another name.
_WRITTEN_AS = {"Module.__call__": "Module._wrapped_call_impl"}

_GLOBAL_HOOKS = (
    torch_module._global_forward_hooks,
    torch_module._global_forward_pre_hooks,
    torch_module._global_backward_hooks,
    torch_module._global_backward_pre_hooks,
    torch_optimizer._global_optimizer_pre_hooks,
    torch_optimizer._global_optimizer_post_hooks,
)


def replaced_by_kernel(acting_only: bool) -> Iterator[tuple[type | ModuleType, tuple[str, ...]]]:
    """Classes and modules, and names of what a kernel replaces in them when it acts, or also when it trains."""
    yield from _ACTING_METHODS.items()
    if not acting_only:
        yield from _TRAINING_METHODS.items()
        yield from SAMPLING_METHODS.items()
        for module, homes in _TRAINING_FUNCTIONS.items():
            yield module, tuple(homes)


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


def require_own_methods(model: SAC) -> None:
    """The methods that SB3 would call are the library's own, on the class and on the instance."""
    actor = model.policy.actor
    _require_original_classes(_ACTING_METHODS)
    _require_no_replaced_methods([model.policy, *actor.modules(), actor.action_dist])


def require_own_training_methods(model: SAC) -> None:
    """The same for what only training calls, functions among it."""
    policy = model.policy
    _require_original_classes(_TRAINING_METHODS)
    for module, homes in _TRAINING_FUNCTIONS.items():
        for name, home in homes.items():
            _require(
                is_original(vars(module).get(name), home, name),
                f"{name} of {module.__name__} has been replaced",
                "leave the library's functions as they are",
            )
    _require_no_replaced_methods(
        [
            *policy.critic.modules(),
            *policy.critic_target.modules(),
            *optimizers(model).values(),
        ]
    )


def _require_original_classes(methods: dict[type, tuple[str, ...]]) -> None:
    if replaced := replaced_method(methods):
        raise UnsupportedByKernelError(f"{replaced} has been replaced", "leave the library's classes as they are")


def replaced_method(methods: dict[type, tuple[str, ...]]) -> str | None:
    """The first method that is not the one its class was written with."""
    for cls, names in methods.items():
        for name in names:
            if not is_original(vars(cls).get(name), cls.__module__, f"{cls.__name__}.{name}"):
                return f"{cls.__name__}.{name}"
            if issubclass(SAC, cls) and getattr(SAC, name) is not vars(cls)[name]:
                return f"SAC.{name}"
    return None


def is_original(function: object, module: str, name: str) -> bool:
    """Whether a function or a method is the one that a module was written with under this name.

    :param name: that of a method begins with its class and a point
    """
    function = getattr(function, "__func__", function)
    # The globals, as a decorator may have copied the other names; torch has decorators of its own for optimizers.
    home = getattr(function, "__globals__", {}).get("__name__", "")
    is_at_home = home == module or (module.startswith("torch.optim.") and home.startswith("torch."))
    names = (getattr(function, "__module__", None), getattr(function, "__qualname__", None))
    return is_at_home and names == (module, _WRITTEN_AS.get(name, name))


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
    for name, optimizer in optimizers(model).items():
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
