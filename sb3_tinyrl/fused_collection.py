"""Collecting with compiled environments: what of a model goes into the loop in C++, and what of the result returns."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch as th
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import ActionNoise, VectorizedActionNoise
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.utils import should_collect_more_steps, update_learning_rate
from stable_baselines3.common.vec_env import VecEnv

from sb3_tinyrl import batches, memory
from sb3_tinyrl._native.abi.kernel import MAX_STEPS, Kernel
from sb3_tinyrl._native.abi.structs import Engine, HyperParameters, LoopProgress, LoopStatus
from sb3_tinyrl.batches import InPlaceReplay
from sb3_tinyrl.callback_schedule import all_callbacks, idle_steps, is_known_schedule, sees_each_step, skip
from sb3_tinyrl.contract import methods, training
from sb3_tinyrl.environments.library_code import is_unchanged, runs_library_code
from sb3_tinyrl.environments.vec_env import NativeVecEnv
from sb3_tinyrl.fused_loop import FusedLoop, LoopRequest, LoopResult
from sb3_tinyrl.native_actor import NativeActor
from sb3_tinyrl.observations import require_finite
from sb3_tinyrl.session import Bound

#: Methods that SB3's loop would call at each step: where a user has replaced one, steps are taken from Python.
_LOOP_METHODS = (
    *("train", "collect_rollouts", "predict", "dump_logs", "_dump_logs"),
    *("_sample_action", "_store_transition", "_on_step", "_update_info_buffer"),
    *("_update_learning_rate", "_update_current_progress_remaining"),
)


class PendingUpdates(NamedTuple):
    """Gradient steps that one call of ``train`` has left to be taken with the next steps of the environments.

    :param first_step: how many of that call have been taken
    :param n_steps: how many are left
    :param batch_size: of each
    """

    first_step: int
    n_steps: int
    batch_size: int

    @classmethod
    def read(cls, values: object) -> PendingUpdates:
        """Read what a zip file has made of one.

        :raises ValueError: when it is none
        """
        if not isinstance(values, (list, tuple)) or [type(n) for n in values] != [int] * 3 or min(values) < 0:
            raise ValueError(
                f"_pending={values!r}; expected three whole numbers, or None for no pending gradient steps"
            )
        return cls(*values)


class FusedCollection(NativeActor):
    """Lets a loop in C++ take the steps that neither a callback nor code of the user's has to see."""

    overlap: bool
    _fused_loop: FusedLoop | None
    _pending: PendingUpdates | None

    def _kernel_hyper_parameters(self) -> HyperParameters:
        """Hyperparameters as they are now."""
        raise NotImplementedError

    def _record_losses(self, losses: npt.NDArray[np.float64]) -> None:
        """Log what SB3's ``train`` logs, given one row of losses for each gradient step."""
        raise NotImplementedError

    def _trained_optimizers(self) -> list[th.optim.Optimizer]:
        """Those whose learning rate SB3 sets in an update."""
        return training.trained_optimizers(self)

    def _collect_natively(
        self,
        env: VecEnv,
        callback: BaseCallback,
        train_freq: TrainFreq,
        replay_buffer: ReplayBuffer,
        action_noise: ActionNoise | None,
        learning_starts: int,
        log_interval: int | None,
        *collected: int,
    ) -> tuple[int, ...]:
        """Collect in C++ up to a step that must be taken in Python, or to the end of the rollout.

        :param collected: steps and episodes of the rollout so far
        :return: the same afterwards
        """
        while (
            type(env) is NativeVecEnv
            and should_collect_more_steps(train_freq, *collected)
            and self.num_timesteps >= learning_starts
            and (loop := self._loop_for(env, callback, replay_buffer, action_noise))
            and (bound := self._acting(learning_starts))
            and (request := self._loop_request(bound, loop, callback, train_freq, log_interval, *collected))
        ):
            result = LoopResult.of(request, env.num_envs)
            try:
                loop.run(bound.kernel, request, result)
            finally:  # A KeyboardInterrupt comes as soon as the kernel returns.
                self._absorb(loop.env, result, callback, log_interval)
            if result.status == LoopStatus.ENVIRONMENT_THREW:
                self._last_obs = None  # its episodes are over: the next run begins with a reset
                env.environments.raise_failure()
            if result.status == LoopStatus.NO_MEMORY:
                raise MemoryError(f"There is no memory for another step of {env.num_envs} environments; make fewer")
            if result.status == LoopStatus.UPDATE_NOT_FINITE:
                batches.raise_not_finite(self, bound.replay)
            if result.status != LoopStatus.DONE:
                self._raise_not_finite(loop.env, bound.kernel, result.status)
            collected = result.outcome.progress.n_collected_steps, result.outcome.progress.n_collected_episodes
            self._session.distrust()  # a signal's handler or another thread may have run meanwhile
        return collected

    def _loop_for(
        self,
        env: NativeVecEnv,
        callback: BaseCallback,
        replay_buffer: ReplayBuffer,
        action_noise: ActionNoise | None,
    ) -> FusedLoop | None:
        """The loop that does what SB3's would with this environment; ``None`` if the user has a hand in a step."""
        if self._has_users_code(env, replay_buffer, action_noise) or sees_each_step(callback):
            return None
        if not np.array_equal(np.asarray(self._last_obs), env.environments.observations):
            return None  # the user has reset or stepped the environments: SB3 acts on what it saw last all the same
        if self._fused_loop is None or self._fused_loop.env is not env:
            self._fused_loop = FusedLoop(env)
        return self._fused_loop

    def _has_users_code(self, env: VecEnv, replay_buffer: ReplayBuffer, action_noise: ActionNoise | None) -> bool:
        """Whether SB3's loop would run code of the user's at each step, beside callbacks and environments."""
        return (
            action_noise is not None
            or env is not self.env
            or replay_buffer is not self.replay_buffer
            or self._has_own(*_LOOP_METHODS)
            or methods.replaced_on_instance(env) is not None
            or not is_unchanged(self.logger)
        )

    def _look_again(
        self, env: VecEnv, callback: BaseCallback, replay_buffer: ReplayBuffer, action_noise: ActionNoise | None
    ) -> None:
        """Note that environments have taken a step, which could have changed the model."""
        self._session.look_again(
            lambda: (
                not self._has_users_code(env, replay_buffer, action_noise)
                and all(map(is_unchanged, (self, replay_buffer, self.logger, *all_callbacks(callback))))
                and runs_library_code(env)
            )
        )

    def _loop_request(
        self,
        bound: Bound,
        loop: FusedLoop,
        callback: BaseCallback,
        train_freq: TrainFreq,
        log_interval: int | None,
        n_collected_steps: int,
        n_collected_episodes: int,
    ) -> LoopRequest | None:
        """What the loop may do before Python has to see to something; ``None`` if not even a step."""
        buffer, n_envs = self.replay_buffer, loop.env.num_envs
        assert buffer is not None
        n_remaining = math.ceil((self._total_timesteps - self.num_timesteps) / n_envs)
        max_steps = int(min(idle_steps(callback), n_remaining, loop.steps_per_call))
        max_episodes = log_interval - self._episode_num % log_interval if log_interval else 0
        is_in_episodes = train_freq.unit == TrainFrequencyUnit.EPISODE
        # Too many gradient steps for one call, or a schedule of the user's that has to be asked before them: they are
        # left to `train`, after the rollout.
        is_schedule_known = is_known_schedule(self.lr_schedule)
        if not 0 <= self.gradient_steps <= MAX_STEPS or not is_schedule_known:
            if is_in_episodes:
                n_episodes = train_freq.frequency - n_collected_episodes
                max_episodes = min(max_episodes, n_episodes) if max_episodes else n_episodes
            else:
                max_steps = min(max_steps, train_freq.frequency - n_collected_steps)
        matrices = memory.writable_exploration_matrices(self.actor, n_envs)
        if max_steps < 1 or matrices is None or not isinstance(bound.replay, InPlaceReplay):
            return None
        if not bound.replay.may_be_written():
            return None  # SB3's `add` says so
        if buffer.optimize_memory_usage and buffer.buffer_size < 2:
            return None  # there is never anything to draw: `train` says so
        pending = self._pending or PendingUpdates(0, 0, self.batch_size)
        n_shares = 1 if is_in_episodes else train_freq.frequency - n_collected_steps
        if pending.n_steps > n_shares * MAX_STEPS or pending.batch_size != self.batch_size:
            return None  # more than one call takes
        if pending.n_steps > 0 and buffer.size() == 0:
            return None  # nothing to draw yet: a model was loaded without its buffer
        assert self._kernel_key is not None
        hyper_parameters = self._kernel_hyper_parameters()
        return LoopRequest(
            hyper_parameters=hyper_parameters,
            replay=bound.replay.view(self),
            key=self._kernel_key,
            exploration=matrices,
            train_frequency=train_freq.frequency,
            is_in_episodes=is_in_episodes,
            gradient_steps=self.gradient_steps,
            sde_sample_frequency=self.sde_sample_freq,
            handle_timeout_termination=buffer.handle_timeout_termination,
            max_steps=max_steps,
            max_episodes=max_episodes,
            learning_rates=self._learning_rates(max_steps) if is_schedule_known else np.zeros(max_steps),
            overlap=self.overlap,
            pending_learning_rate=hyper_parameters.actor_optimizer.learning_rate,
            progress=LoopProgress(
                n_collected_steps=n_collected_steps,
                n_collected_episodes=n_collected_episodes,
                position=buffer.pos,
                is_full=buffer.full,
                n_sampled_batches=self._n_sampled_batches,
                n_sampled_actions=self._n_sampled_actions,
                n_pending_updates=pending.n_steps,
                n_overlapped_updates=pending.first_step,
            ),
        )

    def _learning_rates(self, n_steps: int) -> npt.NDArray[np.float64]:
        """What the schedule says after each of the next steps, shape ``(n_steps,)``."""
        timesteps = self.num_timesteps + np.arange(1, n_steps + 1) * self.n_envs
        remaining = 1.0 - timesteps / float(self._total_timesteps)
        return np.array([self.lr_schedule(progress) for progress in remaining.tolist()], np.float64)

    def _absorb(self, env: NativeVecEnv, result: LoopResult, callback: BaseCallback, log_interval: int | None) -> None:
        """Leave the model as SB3's loop would after the steps of the result."""
        buffer, outcome, progress = self.replay_buffer, result.outcome, result.outcome.progress
        assert buffer is not None
        is_full, n_collected = bool(progress.is_full), outcome.n_steps * env.num_envs
        pending = PendingUpdates(progress.n_overlapped_updates, progress.n_pending_updates, self.batch_size)
        # First, and without a call, at whose end an interrupt may come: what has to agree with the buffer and weights.
        buffer.pos, buffer.full = progress.position, is_full
        self._n_sampled_batches, self._n_sampled_actions = progress.n_sampled_batches, progress.n_sampled_actions
        self._pending = pending if pending.n_steps else None
        self._n_updates += outcome.n_updates
        self.num_timesteps += n_collected
        if n_collected:
            self._last_obs = None  # until it is known: a run that is interrupted before begins with a reset
        if outcome.n_updates:
            for optimizer in self._trained_optimizers():
                update_learning_rate(optimizer, outcome.learning_rate)
            self.logger.record("train/learning_rate", outcome.learning_rate)
            self._record_losses(np.frombuffer(outcome.losses, np.float64)[np.newaxis])
        if outcome.n_steps == 0:
            return
        self._update_current_progress_remaining(self.num_timesteps, self._total_timesteps)
        self._last_obs = env.environments.observations.copy()
        self._last_original_obs = buffer.observations[buffer.pos - 1].copy()
        skip(callback, outcome.n_steps)
        infos = [{"episode": env.episode_info(e.episode_return, e.length)} for e in result.ended_episodes()]
        self._update_info_buffer(infos)
        for _ in infos:
            self._end_episode(0, None, log_interval)

    def _end_episode(self, env_index: int, action_noise: ActionNoise | None, log_interval: int | None) -> None:
        self._episode_num += 1
        if action_noise is not None:
            if self.n_envs > 1:
                assert isinstance(action_noise, VectorizedActionNoise)
                action_noise.reset(indices=[env_index])
            else:
                action_noise.reset()
        if log_interval is not None and self._episode_num % log_interval == 0:
            self.dump_logs()
            self._session.distrust()  # the outputs of the logger may be the user's

    def _raise_not_finite(self, env: NativeVecEnv, kernel: Kernel, status: LoopStatus) -> None:
        """Find what stopped the loop, and raise the error that SB3's loop would have raised in that step."""
        environments, timestep = env.environments, self.num_timesteps
        if status == LoopStatus.ACTION_NOT_FINITE:
            assert self._kernel_key is not None
            engine = Engine(self._kernel_key, self._n_sampled_actions)
            matrices = memory.exploration_matrices(self.actor, env.num_envs)
            scaled_action, *_ = kernel.act(environments.observations, engine, None, *matrices)
            require_finite(scaled_action, "action of the policy", timestep)
        self._last_obs = None  # the step has been taken, but not stored: the next run begins a new episode
        timestep += env.num_envs
        dones = environments.terminated | environments.truncated
        observations = np.where(dones[:, np.newaxis], environments.final_observations, environments.observations)
        require_finite(environments.rewards, "reward", timestep)
        require_finite(observations, "observation", timestep)
        require_finite(environments.observations, "observation after reset", timestep)
