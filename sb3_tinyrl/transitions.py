"""Where the kernel's batches come from: SB3's replay buffer in place, or what its own ``sample`` returns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch as th
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.type_aliases import PyTorchObs
from stable_baselines3.common.vec_env import VecNormalize

from sb3_tinyrl._native.abi.kernel import MAX_STEPS
from sb3_tinyrl._native.abi.structs import ReplayBufferView

#: Replay buffer arrays that the kernel reads in place; ``next_observations`` may be missing.
BUFFER_ARRAYS = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")

_ELEMENTS_AT_ONCE = 2**20


class StoredTransitions:
    """A replay buffer that the kernel samples where it lies.

    :param buffer: a ``ReplayBuffer`` or ``NStepReplayBuffer`` of flat observations
    :raises ValueError: when it holds NaN or an infinite value
    """

    steps_per_view = MAX_STEPS
    """Gradient steps that one view serves."""

    def __init__(self, buffer: ReplayBuffer) -> None:
        arrays = {name: getattr(buffer, name) for name in BUFFER_ARRAYS if hasattr(buffer, name)}
        for name, array in arrays.items():
            _require_finite(array[: buffer.size()], name)
        self._view = ReplayBufferView(
            **{name: array.ctypes.data for name, array in arrays.items()},
            n_environments=buffer.n_envs,
            capacity=buffer.buffer_size,
        )
        # What the view points at besides.
        self._discounts = np.empty(0, np.float32)
        self._statistics: list[npt.NDArray[np.float64]] = []

    @staticmethod
    def watched_objects(buffer: ReplayBuffer) -> tuple[object, ...]:
        """What must stay the same object for the view to stay valid."""
        return (buffer, *map(vars(buffer).get, BUFFER_ARRAYS))

    def view(self, model: SAC) -> ReplayBufferView:
        """The replay buffer as it is filled now, valid until the next call."""
        buffer, view = model.replay_buffer, self._view
        assert buffer is not None
        view.first_row, view.n_rows = 0, buffer.size()
        view.newest_row = (buffer.pos - 1) % buffer.buffer_size
        if buffer.optimize_memory_usage and buffer.full:
            # The observation that followed the newest transition has overwritten the oldest one's.
            view.first_row, view.n_rows = buffer.pos + 1, buffer.buffer_size - 1
        if isinstance(buffer, NStepReplayBuffer):
            self._discounts = buffer.gamma ** np.arange(buffer.n_steps + 1, dtype=np.float32)
            view.n_steps, view.n_step_discounts = buffer.n_steps, self._discounts.ctypes.data
        self._normalise(model._vec_normalize_env)
        return view

    def _normalise(self, env: VecNormalize | None) -> None:
        view = self._view
        view.observation_mean = view.observation_standard_deviation = None
        view.reward_standard_deviation = 0.0
        if env is None:
            return
        if env.norm_obs:
            assert isinstance(env.obs_rms, RunningMeanStd)
            mean = np.array(env.obs_rms.mean, np.float64)
            standard_deviation = np.sqrt(env.obs_rms.var + env.epsilon)
            self._statistics = [mean, np.ascontiguousarray(standard_deviation)]
            view.observation_mean, view.observation_standard_deviation = (a.ctypes.data for a in self._statistics)
            view.observation_clip = env.clip_obs
        if env.norm_reward:
            view.reward_standard_deviation = np.sqrt(env.ret_rms.var + env.epsilon)
            view.reward_clip = env.clip_reward


class SampledTransitions:
    """Batches that a replay buffer draws in Python: of dictionaries, with hindsight, by the user's own class.

    :param batch_size: transitions in each
    :param feature_dim: elements of what the features extractor makes of an observation
    :param action_dim: elements of an action
    """

    steps_per_view = 1

    def __init__(self, batch_size: int, feature_dim: int, action_dim: int) -> None:
        self._arrays = {
            "observations": np.zeros((batch_size, feature_dim), np.float32),
            "next_observations": np.zeros((batch_size, feature_dim), np.float32),
            "actions": np.zeros((batch_size, action_dim), np.float32),
            **{name: np.zeros(batch_size, np.float32) for name in ("rewards", "dones", "timeouts", "discounts")},
        }
        self._view = ReplayBufferView(
            **{name: array.ctypes.data for name, array in self._arrays.items()},
            n_environments=1,
            capacity=batch_size,
            n_rows=batch_size,
            is_batch=1,
        )

    @staticmethod
    def watched_objects(buffer: ReplayBuffer) -> tuple[object, ...]:
        """What must stay the same object for the view to stay valid."""
        return (buffer,)

    def view(self, model: SAC) -> ReplayBufferView:
        """A new batch, valid until the next call.

        :raises ValueError: when it holds NaN or an infinite value
        """
        assert model.replay_buffer is not None
        samples = model.replay_buffer.sample(len(self._arrays["rewards"]), env=model._vec_normalize_env)
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
                array[...] = values.numpy().reshape(array.shape)
                _require_finite(array, name)
        return self._view


Transitions = StoredTransitions | SampledTransitions


def features(model: SAC, observations: PyTorchObs) -> th.Tensor:
    """What the networks see of a batch of observations, shape ``(n, features_dim)``."""
    actor = model.policy.actor
    with th.no_grad():
        return actor.extract_features(observations, actor.features_extractor)


def _require_finite(array: npt.NDArray[np.generic], name: str) -> None:
    # Piece by piece: a mask of a whole replay buffer would be the most memory that a run takes.
    n_rows = max(1, _ELEMENTS_AT_ONCE // max(1, array[:1].size))
    for start in range(0, len(array), n_rows):
        finite = np.isfinite(array[start : start + n_rows])
        if not finite.all():
            row, *others = (int(i) for i in np.argwhere(~finite)[0])
            index = (start + row, *others)
            raise ValueError(
                f"The replay buffer holds {array[index]} in {name} at index {index}; one such value would turn all "
                "weights into NaN. Find the environment or file it came from and fill the buffer anew."
            )
