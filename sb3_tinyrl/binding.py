"""One memory, two views: SB3's tensors and arrays as addresses for the kernel.

Nothing is copied. Parameters, Adam's moments and step counts, and the replay buffer stay where torch and numpy keep
them; whoever puts them somewhere else is noticed by :meth:`Binding.is_current`.
"""

from __future__ import annotations

import math
from operator import is_

import torch as th
from stable_baselines3 import SAC
from torch import nn

from sb3_tinyrl._native.library import Kernel, Parameter, StateDependentNoise
from sb3_tinyrl.support import linear_layers, transitions

_MOMENTS = ("step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq")  # the last with AMSGrad only


class Binding:
    """A kernel that works on the memory of one model.

    Adam's state is created where torch would create it at its first step.

    :param model: a model that :func:`sb3_tinyrl.support.kernel_spec` accepts
    :param kernel: a kernel of that spec
    :raises ValueError: when the replay buffer holds NaN or an infinite value
    """

    def __init__(self, model: SAC, kernel: Kernel) -> None:
        self.kernel = kernel
        self.transitions = transitions(model, kernel.spec)
        self._objects = self._watched_objects(model)
        self._parameters: list[th.Tensor] = []

        noise = self._state_dependent_noise(model) if model.actor.use_sde else None
        parameters = []
        for name, layers in linear_layers(model).items():
            optimizer = {
                "actor": model.policy.actor.optimizer,
                "critic": model.policy.critic.optimizer,
                "target": None,
            }[name.split("/")[0]]
            for layer in layers:
                parameters += [
                    self._parameter(layer.weight, optimizer),
                    self._parameter(layer.bias, optimizer),
                ]
        log_ent_coef = (
            Parameter() if model.log_ent_coef is None else self._parameter(model.log_ent_coef, model.ent_coef_optimizer)
        )
        kernel.bind(parameters, log_ent_coef, noise)
        self._addresses = list(map(th.Tensor.data_ptr, self._parameters))
        self._moments = self._watched_moments(model)

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

    def _state_dependent_noise(self, model: SAC) -> StateDependentNoise:
        actor = model.actor
        assert isinstance(actor.log_std, nn.Parameter)
        bounds = actor.mu[1] if isinstance(actor.mu, nn.Sequential) else None
        return StateDependentNoise(
            log_std=self._parameter(actor.log_std, actor.optimizer),
            clip_mean=bounds.max_val if isinstance(bounds, nn.Hardtanh) else math.inf,
            use_expln=actor.use_expln,
        )

    def _parameter(self, parameter: th.Tensor, optimizer: th.optim.Optimizer | None) -> Parameter:
        if not parameter.is_contiguous():
            parameter.data = parameter.data.contiguous()
        self._parameters.append(parameter)
        if optimizer is None:
            return Parameter(value=parameter.data_ptr())
        state = optimizer.state[parameter]
        if not state:
            state["step"] = th.tensor(0.0, dtype=th.float32)
            state["exp_avg"] = th.zeros_like(parameter, memory_format=th.contiguous_format)
            state["exp_avg_sq"] = th.zeros_like(parameter, memory_format=th.contiguous_format)
            if optimizer.param_groups[0]["amsgrad"]:
                state["max_exp_avg_sq"] = th.zeros_like(parameter, memory_format=th.contiguous_format)
        moments = _MOMENTS if optimizer.param_groups[0]["amsgrad"] else _MOMENTS[:-1]
        for name in moments:
            dtype = th.float32 if name == "step" else parameter.dtype
            # Optimizer state loaded from elsewhere may have another type or layout.
            if state[name].dtype != dtype or not state[name].is_contiguous() or state[name].device.type != "cpu":
                state[name] = state[name].to("cpu", dtype).contiguous()
        return Parameter(value=parameter.data_ptr(), **{name: state[name].data_ptr() for name in moments})

    @staticmethod
    def _watched_moments(model: SAC) -> list[th.Tensor | None]:
        states = [*model.actor.optimizer.state.values(), *model.critic.optimizer.state.values()]
        if model.ent_coef_optimizer is not None:
            states += model.ent_coef_optimizer.state.values()
        return [state.get(name) for state in states for name in _MOMENTS]

    def is_current(self, model: SAC) -> bool:
        """Whether all memory still lies where the kernel looks for it."""
        return (
            all(map(is_, self._watched_objects(model), self._objects))
            and len(moments := self._watched_moments(model)) == len(self._moments)
            and all(map(is_, moments, self._moments))
            and list(map(th.Tensor.data_ptr, self._parameters)) == self._addresses
        )
