"""SB3's off-policy loop with a kernel: collects, stores and trains as SB3 does, but without torch.

An algorithm adds what is its own: the spec of its kernel, its hyperparameters, and what it logs.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import RolloutReturn, TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.utils import should_collect_more_steps
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from sb3_tinyrl._native.abi.structs import ReplayBufferView
from sb3_tinyrl._native.errors import UnsupportedByKernelError
from sb3_tinyrl.batches import CopiedBatches, Replay, raise_not_finite
from sb3_tinyrl.callback_schedule import idle_steps, is_known_schedule
from sb3_tinyrl.contract import methods
from sb3_tinyrl.environments.dummy_vec_env import step
from sb3_tinyrl.fused_collection import FusedCollection, PendingUpdates
from sb3_tinyrl.observations import require_finite
from sb3_tinyrl.session import Bound

#: Where the method was written that ours replaces, and its name.
_COLLECT_ROLLOUTS = (OffPolicyAlgorithm.__module__, "OffPolicyAlgorithm.collect_rollouts")


class NativeOffPolicy(FusedCollection):
    """Hooks of SB3's off-policy algorithms, served by a kernel wherever it computes what they would.

    An algorithm derives from this class, and gives ``_blas``, ``_kernel_hyper_parameters`` and ``_record_losses``.
    """

    _is_after_rollout: bool
    """Whether SB3's loop calls ``train`` next, rather than the user."""
    _beside: tuple[Bound, int, ctypes.c_int64] | None
    """The kernel that takes gradient steps beside the environments now, how many, and how many it took at the end."""

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        train_freq: TrainFreq,
        replay_buffer: ReplayBuffer,
        action_noise: ActionNoise | None = None,
        learning_starts: int = 0,
        log_interval: int | None = None,
    ) -> RolloutReturn:
        """Collect transitions into ``replay_buffer``, as SB3 does but without torch.

        :param env: the training environment
        :param callback: called at each step, and at the start and end of the rollout
        :param train_freq: how many steps or episodes to collect
        :param replay_buffer: where they go
        :param action_noise: added to the policy's actions
        :param learning_starts: until then actions are drawn uniformly
        :param log_interval: log each so many episodes
        :return: how much was collected, and whether to go on
        """
        inherited = super().collect_rollouts
        is_ours = self.kernel != "torch" and methods.is_original(inherited, *_COLLECT_ROLLOUTS)
        collect = self._collect_rollouts if is_ours else inherited
        rollout = collect(env, callback, train_freq, replay_buffer, action_noise, learning_starts, log_interval)
        self._is_after_rollout = True
        return rollout

    def _collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        train_freq: TrainFreq,
        replay_buffer: ReplayBuffer,
        action_noise: ActionNoise | None,
        learning_starts: int,
        log_interval: int | None,
    ) -> RolloutReturn:
        # Callbacks see the local variables of this method: their names are SB3's.
        self._is_after_rollout = False
        _require_collectable(env, train_freq)
        if self.policy.training:
            self.policy.set_training_mode(False)
        num_collected_steps, num_collected_episodes = 0, 0
        if self.use_sde:
            self._reset_noise(env.num_envs, learning_starts)
        continue_training = True
        self._call(callback, callback.on_rollout_start)
        while should_collect_more_steps(train_freq, num_collected_steps, num_collected_episodes):
            num_collected_steps, num_collected_episodes = self._collect_natively(
                *(env, callback, train_freq, replay_buffer, action_noise, learning_starts, log_interval),
                *(num_collected_steps, num_collected_episodes),
            )
            if not should_collect_more_steps(train_freq, num_collected_steps, num_collected_episodes):
                continue
            if self.use_sde and self.sde_sample_freq > 0 and num_collected_steps % self.sde_sample_freq == 0:
                self._reset_noise(env.num_envs, learning_starts)
            actions, buffer_actions = self._sample_action(learning_starts, action_noise, env.num_envs)
            try:
                new_obs, rewards, dones, infos = self._step(env, actions, train_freq, num_collected_steps)
            except BaseException:
                self._last_obs = None  # where the episodes are is not known: the next run begins with a reset
                raise
            self._look_again(env, callback, replay_buffer, action_noise)
            self.num_timesteps += env.num_envs
            num_collected_steps += 1

            callback.update_locals(locals())
            if not self._call(callback, callback.on_step):
                continue_training = False
                break

            self._update_info_buffer(infos, dones)
            self._store_transition(replay_buffer, buffer_actions, new_obs, rewards, dones, infos)  # type: ignore[arg-type]
            self._update_current_progress_remaining(self.num_timesteps, self._total_timesteps)
            self._on_step()
            for idx, done in enumerate(dones):
                if done:
                    num_collected_episodes += 1
                    self._end_episode(idx, action_noise, log_interval)
        else:
            self._call(callback, callback.on_rollout_end)
        return RolloutReturn(num_collected_steps * env.num_envs, num_collected_episodes, continue_training)

    def _call(self, callback: BaseCallback, event: Callable[[], Any]) -> Any:
        """Call an event of a callback; what it may have done to the model is looked for before the kernel goes on."""
        runs_own_code = idle_steps(callback) < 1
        result = event()
        if runs_own_code:
            self._session.distrust()
        return result

    def _step(
        self, env: VecEnv, actions: np.ndarray, train_freq: TrainFreq, n_collected_steps: int
    ) -> VecEnvStepReturn:
        """Step the environments; beside them, the gradient steps that are due with this step are taken."""
        assert self.replay_buffer is not None
        if self._pending is None or self.replay_buffer.size() == 0:  # of a model loaded without its buffer
            return step(env, actions)
        is_in_episodes = train_freq.unit == TrainFrequencyUnit.EPISODE
        share = self._take_over_pending(1 if is_in_episodes else train_freq.frequency - n_collected_steps)
        try:
            self._begin(*share)
            stepped = step(env, actions)
        finally:
            try:
                not_finite = self._finish()
            except BaseException:  # an interrupt, which comes when the kernel returns
                self._finish()
                raise
        if not_finite is not None:
            raise_not_finite(self, not_finite)
        return stepped

    def _take_over_pending(self, n_shares: int = 1) -> PendingUpdates:
        """An equal share of the gradient steps that are pending, of so many shares that are left."""
        assert self._pending is not None
        first_step, n_steps, batch_size = self._pending
        n = math.ceil(n_steps / n_shares)
        self._pending = PendingUpdates(first_step + n, n_steps - n, batch_size) if n < n_steps else None
        return PendingUpdates(first_step, n, batch_size)

    def _begin(self, first_step: int, n_steps: int, batch_size: int) -> None:
        """Begin gradient steps of a call of ``train``; take them all here where one call of a kernel does not serve."""
        bound = self._bound(batch_size)
        if bound is None or n_steps > bound.replay.n_steps:
            self._take(bound, first_step, n_steps, batch_size)
            return
        try:
            batches = self._batches(bound)
        except UnsupportedByKernelError as error:
            self._train_otherwise(bound, error, n_steps, batch_size)
            return
        assert self._kernel_key is not None
        hyper_parameters = self._kernel_hyper_parameters()
        counter = self._n_sampled_batches
        n_taken = ctypes.c_int64()
        self._beside = bound, n_steps, n_taken
        self._n_updates += n_steps
        self._n_sampled_batches += n_steps
        bound.kernel.start_training(hyper_parameters, batches, self._kernel_key, counter, first_step, n_steps, n_taken)

    def _finish(self) -> Replay | None:
        """Wait for the gradient steps that have begun, if any.

        :return: where the batches came from of which one was not finite; it, and what followed it, was not trained with
        """
        if self._beside is None:
            return None
        bound, n_steps, n_taken = self._beside
        losses = bound.kernel.finish_training(n_taken)
        self._beside = None
        n_missing = n_steps - len(losses)
        self._n_updates -= n_missing
        self._n_sampled_batches -= n_missing
        if len(losses):
            self._record_losses(losses)
        if n_missing == 0:
            return None
        self._pending = None  # as the rest of a call of `train` that fails
        return bound.replay

    def _store_transition(
        self,
        replay_buffer: ReplayBuffer,
        buffer_action: np.ndarray,
        new_obs: np.ndarray | dict[str, np.ndarray],
        reward: np.ndarray,
        dones: np.ndarray,
        infos: list[dict[str, Any]],
    ) -> None:
        if not self._is_native():
            super()._store_transition(replay_buffer, buffer_action, new_obs, reward, dones, infos)
            return
        require_finite(reward, "reward", self.num_timesteps)
        is_plain = type(new_obs) is np.ndarray and type(dones) is np.ndarray and self._vec_normalize_env is None
        if not is_plain:
            require_finite(new_obs, "observation", self.num_timesteps)
            super()._store_transition(replay_buffer, buffer_action, new_obs, reward, dones, infos)
            return
        assert isinstance(new_obs, np.ndarray)
        next_obs = _next_observations(new_obs, dones, infos)
        require_finite(next_obs, "observation", self.num_timesteps)
        if next_obs is not new_obs:
            require_finite(new_obs, "observation after reset", self.num_timesteps)
        self._last_original_obs = self._last_obs
        replay_buffer.add(self._last_obs, next_obs, buffer_action, reward, dones, infos)  # type: ignore[arg-type]
        self._last_obs = new_obs

    def train(self, gradient_steps: int, batch_size: int = 64) -> None:
        """Take gradient steps on batches from the replay buffer.

        :param gradient_steps: how many
        :param batch_size: samples in each
        """
        overlaps = self.overlap and self._is_after_rollout and self.num_timesteps < self._total_timesteps
        self._is_after_rollout = False
        self._finish()  # where the environment's own step trains
        if self._pending is not None:  # of another train_freq, or of before the user's change to kernel="torch"
            pending = self._take_over_pending()
            self._take(self._bound(pending.batch_size), *pending)
        bound = self._bound(batch_size)
        if bound is not None:
            self._update_learning_rate(self._trained_optimizers())
            if not is_known_schedule(self.lr_schedule) or self._has_own("_update_learning_rate"):
                self._session.distrust()  # the user's code has just run
                bound = self._bound(batch_size)
        if bound is not None and overlaps:
            self._pending = PendingUpdates(0, gradient_steps, batch_size)
        else:
            self._take(bound, 0, gradient_steps, batch_size)

    def _take(self, bound: Bound | None, first_step: int, n_steps: int, batch_size: int) -> None:
        """Take gradient steps of a call of ``train`` and log their losses.

        :param bound: the kernel; torch takes them where there is none, and where a batch asks for it
        """
        if bound is None:
            super().train(n_steps, batch_size)
            return
        losses: list[npt.NDArray[np.float64]] = []
        end = first_step + n_steps
        try:
            while first_step < end:
                n = min(bound.replay.n_steps, end - first_step)
                losses.append(self._train_natively(bound, first_step, n))
                first_step += n
        except UnsupportedByKernelError as error:  # of a batch, or of the statistics that normalise it
            self._train_otherwise(bound, error, end - first_step, batch_size)
            return
        if losses:
            self._record_losses(losses[0] if len(losses) == 1 else np.concatenate(losses))

    def _train_otherwise(self, bound: Bound, error: UnsupportedByKernelError, n_steps: int, batch_size: int) -> None:
        """Take gradient steps through torch, beginning with the batch that the kernel could not take."""
        self._session.refuse(self, error)
        self._fall_back(error)
        assert self.replay_buffer is not None
        replay = bound.replay
        with replay.handed_back(self.replay_buffer) if isinstance(replay, CopiedBatches) else nullcontext():
            super().train(n_steps, batch_size)

    def _train_natively(self, bound: Bound, first_step: int, n_steps: int) -> npt.NDArray[np.float64]:
        """Take some of the gradient steps of a call of ``train``; return their losses, a row for each.

        :raises ValueError: for a batch or weights that are not finite; the step with these changes nothing
        """
        assert self._kernel_key is not None
        batches = self._batches(bound)
        hyper_parameters = self._kernel_hyper_parameters()
        n_taken = ctypes.c_int64()
        try:
            losses = bound.kernel.train(
                hyper_parameters, batches, self._kernel_key, self._n_sampled_batches, first_step, n_steps, n_taken
            )
        finally:  # A KeyboardInterrupt comes as soon as the kernel returns; none comes between these.
            self._n_sampled_batches += n_taken.value
            self._n_updates += n_taken.value
        if len(losses) < n_steps:
            raise_not_finite(self, bound.replay)
        return losses

    def _batches(self, bound: Bound) -> ReplayBufferView:
        """What the next gradient steps draw from; before their hyperparameters are read, as the user's code may draw.

        :raises UnsupportedByKernelError: for a batch that is not the kernel's, or if drawing it has changed the model
        """
        batches = bound.replay.batches(self)
        UnsupportedByKernelError.unless(
            not isinstance(bound.replay, CopiedBatches) or bound.watch.holds(),
            "sample() of the replay buffer has changed the model that is trained with the batch",
            "change it in a callback",
        )
        return batches


def _require_collectable(env: VecEnv, train_freq: TrainFreq) -> None:
    """Check what SB3's ``collect_rollouts`` asserts.

    :raises AssertionError: for a frequency below one, or episodes of several environments
    """
    assert isinstance(env, VecEnv), "You must pass a VecEnv"
    assert train_freq.frequency > 0, "train_freq must be at least one step or episode"
    assert env.num_envs == 1 or train_freq.unit == TrainFrequencyUnit.STEP, (
        "train_freq in episodes needs a single environment; use steps instead"
    )


def _next_observations(new_obs: np.ndarray, dones: np.ndarray, infos: list[dict[str, Any]]) -> np.ndarray:
    """What followed the actions: a VecEnv that has reset itself keeps the last observation in ``infos``.

    :return: ``new_obs`` itself where no episode ended
    """
    ended = [i for i in dones.nonzero()[0] if infos[i].get("terminal_observation") is not None]
    if not ended:
        return new_obs
    next_obs: np.ndarray = new_obs.copy()
    for i in ended:
        next_obs[i] = infos[i]["terminal_observation"]
    return next_obs
