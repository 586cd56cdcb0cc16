"""One memory, two views: the only place that knows where SB3's tensors and arrays lie.

Nothing is copied. Parameters, Adam's moments and step counts, and the replay buffer stay where torch and numpy keep
them, and a kernel is told their addresses. :class:`Watch` notices when the user, a callback or another library has put
something else in their place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from operator import attrgetter, is_, itemgetter
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.sac.policies import Actor
from torch import nn
from torch.utils.hooks import RemovableHandle

from sb3_tinyrl._native.abi.kernel import Kernel
from sb3_tinyrl._native.abi.structs import (
    ExplorationMatrices,
    Parameter,
    SquashedGaussian,
    StateDependentNoise,
)
from sb3_tinyrl._native.errors import UnsupportedByKernelError
from sb3_tinyrl.contract import methods, training
from sb3_tinyrl.contract.policy import log_std_bounds
from sb3_tinyrl.contract.training import MOMENTS
from sb3_tinyrl.networks import ActorNetwork, Networks, actor_network, tensors

_data_ptr = th.Tensor.data_ptr
_requires_grad = attrgetter("requires_grad")
_OPTIMIZER_OPTIONS = (
    *("params", "betas", "eps", "weight_decay", "amsgrad", "maximize", "capturable", "differentiable", "fused"),
    "decoupled_weight_decay",
)


# --- what a kernel is bound to ---


def bind_actor(model: SAC, kernel: Kernel) -> None:
    """Point a kernel at the values of the actor's parameters; it can then act, but not train."""
    network = actor_network(model.policy.actor)
    for _, tensor in tensors(network):
        _make_contiguous(tensor)
    trained = [Parameter(value=tensor.data_ptr()) for layer in network.layers for tensor in (layer.weight, layer.bias)]
    spec = kernel.spec
    n_critic_tensors = 2 * 2 * spec.n_critics * (len(spec.critic_layers) + 1)  # critics and targets: weight and bias
    _bind(model, kernel, network, [*trained, *(Parameter() for _ in range(n_critic_tensors))], Parameter(), Parameter())


def bind(model: SAC, kernel: Kernel) -> None:
    """Point a kernel at all that a gradient step reads and writes.

    Adam's state is created where torch would create it at its first step.
    """
    networks = Networks.of(model.policy)
    owners = {"actor": model.actor.optimizer, "critic": model.critic.optimizer, "target": None}
    log_ent_coef, log_std = Parameter(), Parameter()
    if isinstance(networks.actor.log_std, nn.Parameter):  # first, as torch creates Adam's state in this order
        log_std = _adam_parameter(networks.actor.log_std, model.actor.optimizer)
    parameters = [
        _adam_parameter(tensor, owners[name])
        for name, layer in networks.linear_layers()
        for tensor in (layer.weight, layer.bias)
    ]
    if training.learns_entropy_coefficient(model):
        assert model.log_ent_coef is not None
        log_ent_coef = _adam_parameter(model.log_ent_coef, model.ent_coef_optimizer)
    _bind(model, kernel, networks.actor, parameters, log_ent_coef, log_std)


def _bind(
    model: SAC,
    kernel: Kernel,
    network: ActorNetwork,
    parameters: list[Parameter],
    log_ent_coef: Parameter,
    log_std: Parameter,
) -> None:
    action_space = model.action_space
    assert isinstance(action_space, spaces.Box)
    policy: SquashedGaussian | StateDependentNoise
    if isinstance(network.log_std, nn.Parameter):
        policy = StateDependentNoise(
            log_std=log_std, clip_mean=network.clip_mean, use_expln=model.policy.actor.action_dist.use_expln
        )
    else:
        policy = SquashedGaussian(*log_std_bounds())
    kernel.bind(parameters, log_ent_coef, policy, action_space.low, action_space.high)


def _adam_parameter(parameter: th.Tensor, optimizer: th.optim.Optimizer | None) -> Parameter:
    _make_contiguous(parameter)
    if optimizer is None:
        return Parameter(value=parameter.data_ptr())
    state = optimizer.state[parameter]
    moments = MOMENTS if optimizer.param_groups[0]["amsgrad"] else MOMENTS[:3]
    if not state:
        state["step"] = th.tensor(0.0, dtype=th.float32)
        for name in moments[1:]:
            state[name] = th.zeros_like(parameter, memory_format=th.contiguous_format)
    for name in moments:
        if not state[name].is_contiguous():  # loaded from elsewhere
            state[name] = state[name].contiguous()
    return Parameter(value=parameter.data_ptr(), **{name: state[name].data_ptr() for name in moments})


def _make_contiguous(parameter: th.Tensor) -> None:
    if not parameter.is_contiguous():
        parameter.data = parameter.data.contiguous()


def exploration_matrices(actor: Actor, n_envs: int) -> tuple[int | None, int]:
    """Address and stride of the matrices with which an actor explores, as SB3's ``get_noise`` chooses them.

    :return: no address without state-dependent noise
    :raises UnsupportedByKernelError: when they are not what SB3 or the kernel has drawn
    """
    if not actor.use_sde:
        return None, 0
    distribution = actor.action_dist
    matrices = distribution.exploration_matrices
    chosen = distribution.exploration_mat if n_envs == 1 or n_envs != len(matrices) else matrices
    is_drawn = (
        type(chosen) is th.Tensor
        and chosen.dtype == actor.log_std.dtype
        and chosen.shape[-2:] == actor.log_std.shape
        and chosen.is_contiguous()
        and chosen.device.type == "cpu"
    )
    UnsupportedByKernelError.unless(
        is_drawn, "the exploration matrices of the actor's distribution have been replaced", "call actor.reset_noise()"
    )
    return chosen.data_ptr(), 0 if chosen is not matrices else matrices[0].numel()


def writable_exploration_matrices(actor: Actor, n_envs: int) -> ExplorationMatrices | None:
    """The matrices for a loop that draws them anew, ``None`` if they can't be overwritten in place."""
    if not actor.use_sde:
        return ExplorationMatrices()
    distribution = actor.action_dist
    matrix, matrices = distribution.exploration_mat, distribution.exploration_matrices
    kinds = {(type(t), t.dtype, t.is_contiguous(), t.requires_grad, t.shape[-2:]) for t in (matrix, matrices)}
    expected = {(th.Tensor, actor.log_std.dtype, True, False, actor.log_std.shape)}
    if kinds != expected or matrix.ndim != 2 or len(matrices) != n_envs:
        return None
    return ExplorationMatrices(matrix.data_ptr(), matrices.data_ptr())


# --- whether it is all still there ---


def _entries(arrays: dict[str, Any]) -> tuple[object, ...]:
    return tuple(arrays.values())


_END = object()  # behind the last of what is compared one by one, so that one more or less shows


class Watch:
    """Notices that something a kernel is bound to, or was admitted for, has been replaced since.

    A change that does not matter may be noticed, too; the facts are then checked once for nothing. Meanwhile no memory
    is freed that the kernel knows of.

    :param model: for which the facts of :mod:`sb3_tinyrl.contract` hold now
    :param acting_only: watch what acting rests on
    :param reads_buffer: whether the kernel reads the replay buffer itself; one that draws batches in Python may change
        as it likes
    """

    def __init__(self, model: SAC, acting_only: bool = False, reads_buffer: bool = True) -> None:
        policy, actor = model.policy, model.policy.actor
        modules = [policy, *actor.modules()] if acting_only else [*policy.modules()]
        self._tensors: list[th.Tensor] = [*(actor if acting_only else policy).parameters()]
        # Views of dictionaries, which show what these hold at each look.
        self._parameters: list[Iterable[Any]] = [m._parameters.values() for m in modules if m._parameters]
        self._contents: list[Iterable[object]] = [m._modules.values() for m in modules if m._modules]
        self._states: list[Iterable[object]] = []  # of optimizers, and the parameters that these hold
        self._attributes: list[tuple[Callable[[Any], object], dict[str, Any]]] = []
        self._singles: list[tuple[dict[str, Any], str]] = []
        self._moments: list[th.Tensor] = []
        self._owners: list[dict[str, Any]] = [vars(policy), vars(actor)]
        self._leaves = [vars(module) for module in modules]
        self._distribution = actor.action_dist
        self._instances: list[object] = [*modules, actor.action_dist]
        self._methods: list[tuple[Callable[[Any], object], Any]] = [
            *((itemgetter(*names), vars(owner)) for owner, names in methods.replaced_by_kernel(acting_only) if names),
            *((len, vars(cls)) for cls in (SAC, OffPolicyAlgorithm)),  # which may get what they inherit as their own
        ]
        self._add_attributes(actor, "action_dist", "use_sde")
        self._add_attributes(model, "policy", "actor", "observation_space", "action_space", "use_sde")
        if not acting_only:
            self._add_training(model, reads_buffer)
        # Kept, so that assigning to ``data`` frees none of them before it is noticed.
        self._storages = [tensor.untyped_storage() for tensor in (*self._tensors, *self._moments)]
        self._before = self._look()
        self._single_objects = self._read_singles()
        self._identities = [*self._read_identities()]
        self._thorough_before = self._look_thoroughly()

    def _add_attributes(self, item: object, *names: str) -> None:
        self._add_entries(vars(item), *names)

    def _add_entries(self, dictionary: dict[str, Any], *names: str) -> None:
        self._attributes.append((itemgetter(*names), dictionary))
        self._note_singles(dictionary, *names)

    def _note_singles(self, dictionary: dict[str, Any], *names: str) -> None:
        """Tensors and arrays of one element compare by their value, where only identity counts."""
        self._singles += [
            (dictionary, name)
            for name in names
            if isinstance(dictionary[name], (th.Tensor, np.ndarray)) and math.prod(dictionary[name].shape) == 1
        ]

    def _add_training(self, model: SAC, reads_buffer: bool) -> None:
        critic, target = model.policy.critic, model.policy.critic_target
        buffer, env = model.replay_buffer, model._vec_normalize_env
        self._owners += [vars(item) for item in (critic, target, env) if item is not None]
        self._instances += [buffer, env]
        self._add_attributes(
            model,
            *("critic", "critic_target", "replay_buffer", "log_ent_coef", "ent_coef_optimizer", "_vec_normalize_env"),
            *("gamma", "tau", "target_entropy", "target_update_interval"),
            *(["ent_coef_tensor"] if "ent_coef_tensor" in vars(model) else []),
        )
        self._add_attributes(model.policy.actor, "optimizer", "action_dist")
        self._add_attributes(critic, "optimizer", "q_networks")
        self._add_attributes(target, "q_networks", "training")
        if reads_buffer:
            self._add_buffer(vars(buffer))
        self._contents += [critic.q_networks, target.q_networks]
        if model.log_ent_coef is not None:
            self._tensors.append(model.log_ent_coef)
            self._parameters.append([model.log_ent_coef])
        for optimizer in training.optimizers(model).values():
            self._owners.append(vars(optimizer))
            self._instances.append(optimizer)
            self._singles += [(vars(optimizer), "state"), (vars(optimizer), "param_groups")]  # equal ones are others
            for group in optimizer.param_groups:
                self._add_entries(group, *(key for key in _OPTIMIZER_OPTIONS if key in group))
                self._states.append(group["params"])
            states = optimizer.state.values()
            self._contents.append(optimizer.param_groups)
            self._states += [states, *(state.values() for state in states)]
            self._moments += [moment for state in states for moment in state.values()]

    def _add_buffer(self, buffer: dict[str, Any]) -> None:
        self._owners.append(buffer)
        self._add_entries(buffer, *(name for name in buffer if name not in ("pos", "full")))
        for arrays in buffer.values():
            if isinstance(arrays, dict):
                self._attributes.append((_entries, arrays))
                self._note_singles(arrays, *arrays)

    def holds(self) -> bool:
        """Whether all is as it was, as far as a few microseconds tell: memory, structure, hooks and options."""
        try:
            # Lists and tuples compare their elements by identity first. What is not identical here is of equal value,
            # or a tensor or an array of several elements, whose comparison has no truth value.
            return self._look() == self._before and all(map(is_, self._read_singles(), self._single_objects))
        except (KeyError, RuntimeError, TypeError, ValueError):
            return False

    def holds_thoroughly(self) -> bool:
        """The same, and no method or state of an optimizer was replaced, and no tensor resized or frozen.

        Asked after the user's code has run.
        """
        try:
            return (
                self.holds()
                and all(map(is_, self._read_identities(), self._identities))
                and self._look_thoroughly() == self._thorough_before
            )
        except KeyError:
            return False

    def _look(self) -> tuple[object, ...]:
        return (
            [*chain.from_iterable(self._contents)],
            [*map(_data_ptr, chain.from_iterable(self._parameters))],
            [*map(len, self._owners)],
            [get(dictionary) for get, dictionary in self._attributes],
            log_std_bounds(),
            RemovableHandle.next_id,  # torch counts all hooks of modules, tensors and optimizers here
        )

    def _read_singles(self) -> list[object]:
        return [dictionary.get(name) for dictionary, name in self._singles]

    def _read_identities(self) -> Iterator[object]:
        return chain(*self._parameters, *self._contents, *self._states, (_END,))

    def _look_thoroughly(self) -> tuple[object, ...]:
        return (
            [*map(_data_ptr, self._moments)],
            [*map(th.Tensor.size, self._tensors)],
            [*map(_requires_grad, self._tensors)],
            [*map(len, self._leaves)],
            [*map(type, self._instances)],
            methods.replaced_on_instance(self._distribution),  # which keeps results, so that counting tells nothing
            [get(dictionary) for get, dictionary in self._methods],
        )
