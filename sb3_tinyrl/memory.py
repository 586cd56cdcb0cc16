"""One memory, two views: the only place that knows where SB3's tensors and arrays lie.

Nothing is copied. Parameters, Adam's moments and step counts, and the replay buffer stay where torch and numpy keep
them, and a kernel is told their addresses. :class:`Watch` notices when the user, a callback or another library has put
something else in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from operator import attrgetter, is_, itemgetter
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.sac.policies import Actor
from torch import nn
from torch.utils.hooks import RemovableHandle

from sb3_tinyrl import contract
from sb3_tinyrl._native.abi.kernel import MAX_STEPS, Kernel
from sb3_tinyrl._native.abi.specs import KernelSpec
from sb3_tinyrl._native.abi.structs import (
    ExplorationMatrices,
    Parameter,
    ReplayBufferView,
    SquashedGaussian,
    StateDependentNoise,
)
from sb3_tinyrl._native.errors import UnsupportedByKernelError
from sb3_tinyrl.contract import data, methods, training
from sb3_tinyrl.contract.policy import log_std_bounds
from sb3_tinyrl.contract.training import MOMENTS
from sb3_tinyrl.networks import ActorNetwork, Networks, actor_network, tensors
from sb3_tinyrl.observations import NonFiniteError, features, require_finite_rows

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


# --- where batches come from ---


class InPlaceReplay:
    """A replay buffer that the kernel samples where it lies.

    :param buffer: a ``ReplayBuffer`` or ``NStepReplayBuffer`` of flat observations
    :raises ValueError: when it holds NaN, an infinite value or one that float32 can't hold
    """

    description = "in place"
    n_steps = MAX_STEPS
    """Gradient steps that one call of :meth:`batches` serves, at most."""

    def __init__(self, buffer: ReplayBuffer) -> None:
        self._buffer = buffer
        self.require_finite()
        self._view = ReplayBufferView(
            **{name: array.ctypes.data for name, array in data.buffer_arrays(buffer).items()},
            n_environments=buffer.n_envs,
            capacity=buffer.buffer_size,
        )
        # What the view points at besides.
        self._discounts = np.empty(0, np.float32)
        self._statistics: list[npt.NDArray[np.float64]] = []

    def require_finite(self) -> None:
        """Look for what must not be trained with.

        :raises ValueError: naming the first such number
        """
        for name, array in data.buffer_arrays(self._buffer).items():
            require_finite_rows(array[: self._buffer.size()], name)

    def may_be_written(self) -> bool:
        """Whether the arrays take what a loop in C++ would store."""
        return all(array.flags.writeable for array in data.buffer_arrays(self._buffer).values())

    def batches(self, model: SAC) -> ReplayBufferView:
        """The replay buffer to draw from, valid until the next call.

        :raises ValueError: when there is nothing to draw
        :raises UnsupportedByKernelError: when the statistics of ``VecNormalize`` do not fit
        """
        view = self.view(model)
        if view.n_rows < 1:
            raise ValueError(
                "The replay buffer is empty; collect or load transitions before calling train()."
                if self._buffer.size() == 0
                else "The replay buffer has a single row, whose next observation optimize_memory_usage overwrites; "
                "pass a larger buffer_size."
            )
        return view

    def view(self, model: SAC) -> ReplayBufferView:
        """The replay buffer as it is filled now, be it empty; valid until the next call."""
        buffer, view = self._buffer, self._view
        view.first_row, view.n_rows = 0, buffer.size()
        view.newest_row = (buffer.pos - 1) % buffer.buffer_size
        if buffer.optimize_memory_usage and buffer.full:
            # The observation that followed the newest transition has overwritten the oldest one's.
            view.first_row, view.n_rows = buffer.pos + 1, buffer.buffer_size - 1
        if isinstance(buffer, NStepReplayBuffer):
            self._discounts = buffer.gamma ** np.arange(buffer.n_steps + 1, dtype=np.float32)
            view.n_steps, view.n_step_discounts = buffer.n_steps, self._discounts.ctypes.data
        self._normalise(model)
        return view

    def _normalise(self, model: SAC) -> None:
        env, view = model._vec_normalize_env, self._view
        view.observation_mean = view.observation_standard_deviation = None
        view.reward_standard_deviation = 0.0
        if env is None:
            return
        if reason := data.statistics_do_not_fit(model):
            raise UnsupportedByKernelError(reason, "leave the statistics to VecNormalize")
        if env.norm_obs:
            assert isinstance(env.obs_rms, RunningMeanStd)
            shape = model.observation_space.shape
            standard_deviation = np.sqrt(env.obs_rms.var + env.epsilon)
            self._statistics = [
                np.ascontiguousarray(np.broadcast_to(np.asarray(moment, np.float64), shape))
                for moment in (env.obs_rms.mean, standard_deviation)
            ]
            view.observation_mean, view.observation_standard_deviation = (a.ctypes.data for a in self._statistics)
            view.observation_clip = env.clip_obs
        if env.norm_reward:
            view.reward_standard_deviation = np.sqrt(env.ret_rms.var + env.epsilon)
            view.reward_clip = env.clip_reward


class CopiedBatches:
    """Batches that a replay buffer draws in Python: with hindsight, by the user's own class, of spaces without arrays.

    :param spec: of the kernel that trains with them
    """

    description = "drawn by the replay buffer's own Python code"
    n_steps = 1
    _drawn: Any = None

    def __init__(self, spec: KernelSpec) -> None:
        n, feature_dim, action_dim = spec.batch_size, spec.observation_dim, spec.action_dim
        self._arrays = {
            "observations": np.zeros((n, feature_dim), np.float32),
            "next_observations": np.zeros((n, feature_dim), np.float32),
            "actions": np.zeros((n, action_dim), np.float32),
            **{name: np.zeros(n, np.float32) for name in ("rewards", "dones", "timeouts", "discounts")},
        }
        self._view = ReplayBufferView(
            **{name: array.ctypes.data for name, array in self._arrays.items()},
            n_environments=1,
            capacity=n,
            n_rows=n,
            is_batch=1,
        )

    def require_finite(self) -> None:
        """Look for what must not be trained with in the batch of the last view.

        :raises ValueError: naming the first such number
        """
        for name, array in self._arrays.items():
            require_finite_rows(array, name)

    def batches(self, model: SAC) -> ReplayBufferView:
        """A new batch, valid until the next call.

        :raises ValueError: when it holds NaN, an infinite value or one that float32 can't hold
        :raises UnsupportedByKernelError: when it has other sizes than the kernel was compiled for
        """
        assert model.replay_buffer is not None
        n = len(self._arrays["rewards"])
        if model.replay_buffer.size() == 0:
            raise ValueError("The replay buffer is empty; collect or load transitions before calling train().")
        self._drawn = samples = model.replay_buffer.sample(n, env=model._vec_normalize_env)
        self._view.discounts = None if samples.discounts is None else self._arrays["discounts"].ctypes.data
        for name, values in {
            "observations": features(model, samples.observations),
            "next_observations": features(model, samples.next_observations),
            "actions": samples.actions,
            "rewards": samples.rewards,
            "dones": samples.dones,
            "discounts": samples.discounts,
        }.items():
            if values is not None:
                array = self._arrays[name]
                UnsupportedByKernelError.unless(
                    values.numel() == array.size and len(values) == n,
                    f"the replay buffer's sample({n}) returned {name} of shape {tuple(values.shape)}, the kernel takes "
                    f"{array.shape}",
                    "return as many transitions as are asked for",
                )
                array[...] = values.detach().cpu().numpy().reshape(array.shape)
                require_finite_rows(array, name)
        return self._view

    @contextmanager
    def handed_back(self, buffer: ReplayBuffer) -> Iterator[None]:
        """Have the buffer return the last batch once more before it draws another: the kernel could not take it."""
        methods = vars(buffer)
        own = {name: methods[name] for name in ("sample",) if name in methods}

        def restore() -> None:
            methods.pop("sample", None)
            methods.update(own)

        def sample(*_: object, **__: object) -> Any:
            restore()
            return self._drawn

        methods["sample"] = sample
        try:
            yield
        finally:
            if methods.get("sample") is sample:
                restore()


Replay = InPlaceReplay | CopiedBatches


def replay(model: SAC, spec: KernelSpec) -> Replay:
    """Where a kernel of this spec gets the model's batches from."""
    if contract.reason_to_sample(model) is not None:
        return CopiedBatches(spec)
    assert model.replay_buffer is not None
    return InPlaceReplay(model.replay_buffer)


def raise_not_finite(model: SAC, replay: Replay) -> NoReturn:
    """Find out why a kernel has refused to take a gradient step.

    :param replay: where its batch came from
    :raises ValueError: naming the first number in the replay buffer that is not finite
    :raises NonFiniteError: naming the first such parameter; or what was computed from finite ones
    """
    replay.require_finite()
    for name, tensor in tensors(Networks.of(model.policy)):
        if not tensor.isfinite().all():
            raise NonFiniteError(
                f"{name} of the policy holds {tensor[~tensor.isfinite()][0].item()}, expected finite weights. No "
                "gradient step was taken with it. Load parameters from before, with a smaller learning rate if they "
                "have diverged."
            )
    raise NonFiniteError(
        "The batch after VecNormalize, log probabilities of the actions, or the values of the next observations are "
        f"NaN or infinite in {next(model.policy.parameters()).dtype}, though the replay buffer and all weights are "
        "finite. No gradient step was taken with them. Check the statistics of VecNormalize; scale observations and "
        "rewards, or lower the learning rate if training has diverged."
    )


# --- whether it is all still there ---


_END = object()  # behind the last of what is compared one by one, so that one more or less shows


class Watch:
    """Notices that something a kernel is bound to, or was admitted for, has been replaced since.

    A change that does not matter may be noticed, too; the facts are then checked once for nothing. Meanwhile no memory
    is freed that the kernel knows of.

    :param model: for which the facts of :mod:`sb3_tinyrl.contract` hold now
    :param acting_only: watch what acting rests on
    """

    def __init__(self, model: SAC, acting_only: bool = False) -> None:
        policy, actor = model.policy, model.policy.actor
        modules = [policy, *actor.modules()] if acting_only else [*policy.modules()]
        self._tensors: list[th.Tensor] = [*(actor if acting_only else policy).parameters()]
        # Views of dictionaries, which show what these hold at each look.
        self._contents: list[Iterable[object]] = [m._parameters.values() for m in modules if m._parameters]
        self._contents += [m._modules.values() for m in modules if m._modules]
        self._attributes: list[tuple[Callable[[Any], tuple[object, ...]], dict[str, Any]]] = []
        self._moments: list[th.Tensor] = []
        self._owners: list[dict[str, Any]] = [vars(policy), vars(actor)]
        self._leaves = [vars(module) for module in modules]
        self._distribution = actor.action_dist
        self._instances: list[object] = [*modules, actor.action_dist]
        self._methods = [(itemgetter(*names), vars(cls)) for cls, names in methods.class_methods(acting_only) if names]
        self._add_attributes(actor, "action_dist", "use_sde")
        self._add_attributes(model, "policy", "actor", "observation_space", "action_space", "use_sde")
        if not acting_only:
            self._add_training(model)
        # Tensors of one element are compared by their value where only identity counts.
        self._singles = [
            module._parameters.values()
            for module in modules
            if any(tensor is not None and tensor.numel() == 1 for tensor in module._parameters.values())
        ]
        self._before = self._look()
        self._objects = [*self._read_objects()]
        self._identities = [*chain.from_iterable(self._contents), _END]
        self._thorough_before = self._look_thoroughly()

    def _add_attributes(self, item: object, *names: str) -> None:
        assert len(names) > 1  # of a single one, itemgetter makes no tuple
        self._attributes.append((itemgetter(*names), vars(item)))

    def _add_training(self, model: SAC) -> None:
        critic, target = model.policy.critic, model.policy.critic_target
        buffer, env = model.replay_buffer, model._vec_normalize_env
        self._owners += [vars(item) for item in (critic, target, buffer, env) if item is not None]
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
        self._add_attributes(buffer, *(name for name in vars(buffer) if name not in ("pos", "full")))
        self._contents += [critic.q_networks, target.q_networks]
        if model.log_ent_coef is not None:
            self._tensors.append(model.log_ent_coef)
        for optimizer, _ in training.optimizers(model).values():
            self._owners.append(vars(optimizer))
            self._instances.append(optimizer)
            self._add_attributes(optimizer, "state", "param_groups")
            for group in optimizer.param_groups:
                self._attributes.append((itemgetter(*(key for key in _OPTIMIZER_OPTIONS if key in group)), group))
                self._contents.append(group["params"])
            states = optimizer.state.values()
            self._contents += [optimizer.param_groups, states, *(state.values() for state in states)]
            self._moments += [moment for state in states for moment in state.values()]

    def holds(self) -> bool:
        """Whether all is as it was, as far as a few microseconds tell: memory, structure, hooks and options."""
        try:
            # Lists compare their elements by identity first. What is not identical here either compares so itself, or
            # is a tensor of several elements, whose comparison has no truth value.
            return self._look() == self._before and all(map(is_, self._read_objects(), self._objects))
        except (KeyError, RuntimeError, ValueError):
            return False

    def holds_thoroughly(self) -> bool:
        """The same, and no method was replaced and no tensor resized or frozen: asked after the user's code has run."""
        try:
            return (
                self.holds()
                and all(map(is_, chain(*self._contents, (_END,)), self._identities))
                and self._look_thoroughly() == self._thorough_before
            )
        except KeyError:
            return False

    def _look(self) -> tuple[object, ...]:
        return (
            [*chain.from_iterable(self._contents)],
            [*map(_data_ptr, self._tensors)],
            [*map(len, self._owners)],
            log_std_bounds(),
            RemovableHandle.next_id,  # torch counts all hooks of modules, tensors and optimizers here
        )

    def _read_objects(self) -> Iterator[object]:
        values = [get(dictionary) for get, dictionary in self._attributes]
        return chain(chain.from_iterable(values), chain.from_iterable(self._singles), (_END,))

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
