"""One memory, two views: SB3's tensors and arrays as addresses for the kernel.

Nothing is copied. Parameters, Adam's moments and step counts, and the replay buffer stay where torch and numpy keep
them; whoever puts them somewhere else is noticed by :meth:`Binding.is_current`.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import chain
from operator import is_

import torch as th
from gymnasium import spaces
from stable_baselines3 import SAC
from torch import nn

from sb3_tinyrl._native.abi.kernel import Kernel
from sb3_tinyrl._native.abi.structs import Parameter, StateDependentNoise
from sb3_tinyrl.support import linear_layers, transitions

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")

_data_ptrs = partial(map, th.Tensor.data_ptr)


class ActorBinding:
    """A kernel that acts with the memory of one model's actor.

    :param model: a model that :func:`sb3_tinyrl.support.kernel_spec` accepts
    :param kernel: a kernel of that spec
    """

    def __init__(self, model: SAC, kernel: Kernel) -> None:
        self.kernel = kernel
        self._actor = model.policy.actor
        self._actor_parameters = [*self._actor.parameters()]
        for parameter in self._actor_parameters:
            _make_contiguous(parameter)
        self._bind(model)
        self._actor_addresses = [*_data_ptrs(self._actor_parameters)]

    def _bind(self, model: SAC) -> None:
        """Tell the kernel the addresses."""
        parameters = []
        for name, layers in linear_layers(model).items():
            for layer in layers:
                parameters += [
                    Parameter(value=parameter.data_ptr()) if name == "actor" else Parameter()
                    for parameter in (layer.weight, layer.bias)
                ]
        self._bind_parameters(model, parameters, Parameter(), Parameter())

    def _bind_parameters(
        self, model: SAC, parameters: list[Parameter], log_ent_coef: Parameter, log_std: Parameter
    ) -> None:
        actor, action_space = model.policy.actor, model.action_space
        assert isinstance(action_space, spaces.Box)
        noise = None
        if actor.use_sde:
            bounds = actor.mu[1] if isinstance(actor.mu, nn.Sequential) else None
            noise = StateDependentNoise(
                log_std=log_std,
                clip_mean=bounds.max_val if isinstance(bounds, nn.Hardtanh) else math.inf,
                use_expln=actor.use_expln,
            )
        self.kernel.bind(parameters, log_ent_coef, noise, action_space.low, action_space.high)

    def acts_for(self, model: SAC) -> bool:
        """Whether the kernel can act, and the actor still lies where it looks for it."""
        return (
            self.kernel.is_of_this_process
            and model.policy._modules["actor"] is self._actor
            and [*_data_ptrs(self._actor_parameters)] == self._actor_addresses
        )


class Binding(ActorBinding):
    """A kernel that trains with the memory of one model, too.

    Adam's state is created where torch would create it at its first step.

    :param model: a model that :func:`sb3_tinyrl.support.kernel_spec` accepts
    :param kernel: a kernel of that spec
    :raises ValueError: when the replay buffer holds NaN or an infinite value
    """

    def __init__(self, model: SAC, kernel: Kernel) -> None:
        self.transitions = transitions(model, kernel.spec)
        self._objects = self._watched_objects(model)
        self._parameters: list[th.Tensor] = []
        super().__init__(model, kernel)
        self._addresses = [*_data_ptrs(self._parameters)]
        self._moments = [*chain.from_iterable(map(dict.values, self._adam_states(model)))]

    def _bind(self, model: SAC) -> None:
        actor, critic = model.actor, model.critic
        # In the order of the actor's parameters, as torch creates Adam's state.
        log_ent_coef, log_std = Parameter(), Parameter()
        if actor.use_sde:
            assert isinstance(actor.log_std, nn.Parameter)
            log_std = self._parameter(actor.log_std, actor.optimizer)
        parameters = []
        for name, layers in linear_layers(model).items():
            optimizer = {"actor": actor.optimizer, "critic": critic.optimizer, "target": None}[name.split("/")[0]]
            for layer in layers:
                parameters += [self._parameter(layer.weight, optimizer), self._parameter(layer.bias, optimizer)]
        if model.log_ent_coef is not None:
            log_ent_coef = self._parameter(model.log_ent_coef, model.ent_coef_optimizer)
        self._bind_parameters(model, parameters, log_ent_coef, log_std)

    def _watched_objects(self, model: SAC) -> tuple[object, ...]:
        # Module dictionaries rather than attributes: this runs at every step.
        modules = model.policy._modules
        assert model.replay_buffer is not None
        actor, critic = model.actor, model.critic
        ent_coef_optimizer = model.ent_coef_optimizer
        return (
            modules["actor"],
            modules["critic"],
            modules["critic_target"],
            actor.optimizer,
            critic.optimizer,
            ent_coef_optimizer,
            actor.optimizer.state,
            critic.optimizer.state,
            actor.optimizer.param_groups[0]["amsgrad"],
            critic.optimizer.param_groups[0]["amsgrad"],
            ent_coef_optimizer and ent_coef_optimizer.param_groups[0]["amsgrad"],
            ent_coef_optimizer and ent_coef_optimizer.state,
            model.log_ent_coef,
            model._vec_normalize_env,
            *self.transitions.watched_objects(model.replay_buffer),
        )

    def _parameter(self, parameter: th.Tensor, optimizer: th.optim.Optimizer | None) -> Parameter:
        _make_contiguous(parameter)
        self._parameters.append(parameter)
        if optimizer is None:
            return Parameter(value=parameter.data_ptr())
        state = optimizer.state[parameter]
        moments = (*_MOMENTS, "max_exp_avg_sq") if optimizer.param_groups[0]["amsgrad"] else _MOMENTS
        if not state:
            state["step"] = th.tensor(0.0, dtype=th.float32)
            for name in moments[1:]:
                state[name] = th.zeros_like(parameter, memory_format=th.contiguous_format)
        for name in moments:
            dtype = th.float32 if name == "step" else parameter.dtype
            # Optimizer state loaded from elsewhere may have another type or layout.
            if state[name].dtype != dtype or not state[name].is_contiguous() or state[name].device.type != "cpu":
                state[name] = state[name].to("cpu", dtype).contiguous()
        return Parameter(value=parameter.data_ptr(), **{name: state[name].data_ptr() for name in moments})

    @staticmethod
    def _adam_states(model: SAC) -> list[dict[str, th.Tensor]]:
        states = [*model.actor.optimizer.state.values(), *model.critic.optimizer.state.values()]
        if model.ent_coef_optimizer is not None:
            states += model.ent_coef_optimizer.state.values()
        return states

    def is_current(self, model: SAC) -> bool:
        """Whether all memory still lies where the kernel looks for it."""
        states = self._adam_states(model)
        return (
            all(map(is_, self._watched_objects(model), self._objects))
            and sum(map(len, states)) == len(self._moments)
            and all(map(is_, chain.from_iterable(map(dict.values, states)), self._moments))
            and [*_data_ptrs(self._parameters)] == self._addresses
        )


def _make_contiguous(parameter: th.Tensor) -> None:
    if not parameter.is_contiguous():
        parameter.data = parameter.data.contiguous()
