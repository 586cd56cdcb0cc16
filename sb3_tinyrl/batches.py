"""Where a kernel's batches come from: a replay buffer that it reads in place, or one that draws them in Python."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.running_mean_std import RunningMeanStd

from sb3_tinyrl import contract
from sb3_tinyrl._native.abi.kernel import MAX_STEPS
from sb3_tinyrl._native.abi.specs import KernelSpec
from sb3_tinyrl._native.abi.structs import EntryArray, ReplayBufferView
from sb3_tinyrl._native.errors import UnsupportedByKernelError
from sb3_tinyrl.contract import data
from sb3_tinyrl.networks import Networks, tensors
from sb3_tinyrl.observations import NonFiniteError, features, ordered_entries, require_finite_rows

#: What NumPy divides float32 rewards by a deviation in: float64, which NumPy 1 rounded to float32.
_NORMALISED_REWARD = (np.ones(1, np.float32) / np.float64(1)).dtype.type


class InPlaceReplay:
    """A replay buffer that the kernel samples where it lies.

    :param buffer: a ``ReplayBuffer`` or ``NStepReplayBuffer``, or a ``DictReplayBuffer`` of boxes
    :param entries: names of the entries of a dictionary, in the kernel's order
    :raises ValueError: when it holds NaN, an infinite value or one that float32 can't hold
    """

    description = "in place"
    n_steps = MAX_STEPS
    """Gradient steps that one call of :meth:`batches` serves, at most."""

    def __init__(self, buffer: ReplayBuffer, entries: Iterable[str] = ()) -> None:
        self._buffer = buffer
        self.require_finite()
        arrays = data.buffer_arrays(buffer)
        self._shapes = {
            name.removeprefix("observations"): array.shape[2:]
            for name, array in arrays.items()
            if name.startswith("observations")
        }
        # Of dictionaries: one structure for each entry of observations, and of those that follow them.
        self._ends = [f"[{key!r}]" for key in entries]
        self._entries = {
            name: (EntryArray * len(self._ends))(
                *(EntryArray(values=arrays.pop(name + end).ctypes.data) for end in self._ends)
            )
            for name in ("observations", "next_observations")
            if self._ends
        }
        self._view = ReplayBufferView(
            **{name: array.ctypes.data for name, array in arrays.items()},
            **{name: ctypes.addressof(entry) for name, entry in self._entries.items()},
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
        for entry in chain.from_iterable(self._entries.values()):
            entry.mean = entry.standard_deviation = None
        view.reward_standard_deviation = 0.0
        if env is None:
            return
        if reason := data.statistics_do_not_fit(model):
            raise UnsupportedByKernelError(reason, "leave the statistics to VecNormalize")
        view.observation_clip = env.clip_obs
        self._statistics = []
        for end, statistics in data.observation_statistics(model).items():
            addresses = self._moments(statistics, env.epsilon, self._shapes[end])
            if not self._entries:
                view.observation_mean, view.observation_standard_deviation = addresses
            for entries in self._entries.values():
                entry = entries[self._ends.index(end)]
                entry.mean, entry.standard_deviation = addresses
        if env.norm_reward:
            view.reward_standard_deviation = _NORMALISED_REWARD(np.sqrt(env.ret_rms.var + env.epsilon))
            view.reward_clip = env.clip_reward

    def _moments(self, statistics: RunningMeanStd, epsilon: float, shape: tuple[int, ...]) -> tuple[int, int]:
        """Addresses of mean and standard deviation of each element, in float64 whatever they are kept in."""
        moments = [
            np.ascontiguousarray(np.broadcast_to(np.asarray(moment, np.float64), shape))
            for moment in (statistics.mean, np.sqrt(statistics.var + epsilon))
        ]
        self._statistics += moments
        mean, standard_deviation = (moment.ctypes.data for moment in moments)
        return mean, standard_deviation


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
    return InPlaceReplay(model.replay_buffer, ordered_entries(model))


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
