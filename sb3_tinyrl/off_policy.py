"""SB3's off-policy loop with a kernel: collects, stores and trains as SB3 does, but without torch.

An algorithm adds what is its own: the spec of its kernel, its hyperparameters, and what it logs.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.type_aliases import RolloutReturn, TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.utils import should_collect_more_steps
from stable_baselines3.common.vec_env import VecEnv

from sb3_tinyrl._native.errors import NativeEnvironmentError, UnsupportedByKernelError
from sb3_tinyrl.batches import CopiedBatches, raise_not_finite
from sb3_tinyrl.callback_schedule import idle_steps, is_known_schedule
from sb3_tinyrl.fused_collection import FusedCollection
from sb3_tinyrl.observations import require_finite
from sb3_tinyrl.session import Bound


class NativeOffPolicy(FusedCollection):
    """Hooks of SB3's off-policy algorithms, served by a kernel wherever it computes what they would.

    An algorithm derives from this class, and gives ``_blas``, ``_kernel_hyper_parameters`` and ``_record_losses``.
    """

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
        collect = super().collect_rollouts if self.kernel == "torch" else self._collect_rollouts
        return collect(env, callback, train_freq, replay_buffer, action_noise, learning_starts, log_interval)

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
                new_obs, rewards, dones, infos = env.step(actions)
            except NativeEnvironmentError:
                self._last_obs = None  # its episodes are over: the next run begins with a reset
                raise
            self._session.look_again()
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
        bound = self._bound(batch_size)
        if bound is not None:
            self._update_learning_rate(self._trained_optimizers())
            if not is_known_schedule(self.lr_schedule) or self._has_own("_update_learning_rate"):
                self._session.distrust()  # the user's code has just run
                bound = self._bound(batch_size)
        if bound is None:
            super().train(gradient_steps, batch_size)
            return
        losses: list[npt.NDArray[np.float64]] = []
        n_left = gradient_steps
        try:
            while n_left > 0:
                n_steps = min(bound.replay.n_steps, n_left)
                losses.append(self._train_natively(bound, gradient_steps - n_left, n_steps))
                n_left -= n_steps
        except UnsupportedByKernelError as error:  # of a batch, or of the statistics that normalise it
            self._session.refuse(self, error)
            self._fall_back(error)
            assert self.replay_buffer is not None
            replay = bound.replay
            with replay.handed_back(self.replay_buffer) if isinstance(replay, CopiedBatches) else nullcontext():
                super().train(n_left, batch_size)
            return
        if losses:
            self._record_losses(losses[0] if len(losses) == 1 else np.concatenate(losses))

    def _train_natively(self, bound: Bound, first_step: int, n_steps: int) -> npt.NDArray[np.float64]:
        """Take some of the gradient steps of a call of ``train``; return their losses, a row for each.

        :raises ValueError: for a batch or weights that are not finite; the step with these changes nothing
        """
        assert self._kernel_key is not None
        hyper_parameters = self._kernel_hyper_parameters()
        batches = bound.replay.batches(self)
        counter, n_updates = self._n_sampled_batches, self._n_updates
        # Counted first: a KeyboardInterrupt comes as soon as the kernel returns.
        self._n_sampled_batches += n_steps
        self._n_updates += n_steps
        losses = bound.kernel.train(hyper_parameters, batches, self._kernel_key, counter, first_step, n_steps)
        if len(losses) < n_steps:
            self._n_sampled_batches, self._n_updates = counter + len(losses), n_updates + len(losses)
            raise_not_finite(self, bound.replay)
        return losses


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
