"""Training in which the environments are compiled, too: no Python between the steps that somebody listens to."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.utils import update_learning_rate

from sb3_tinyrl import rollout
from sb3_tinyrl._native.abi.kernel import MAX_STEPS
from sb3_tinyrl._native.abi.structs import (
    Engine,
    EpisodeStatistics,
    ExplorationMatrices,
    LoopSchedule,
    LoopState,
    LoopStatus,
)
from sb3_tinyrl.binding import Binding
from sb3_tinyrl.environments.vec_env import NativeVecEnv
from sb3_tinyrl.listeners import idle_steps, skip
from sb3_tinyrl.transitions import StoredTransitions

if TYPE_CHECKING:
    from sb3_tinyrl.sac import TinySAC

# Between two calls Python gets to see a KeyboardInterrupt.
_SECONDS_PER_CALL = 0.02
_MOST_STEPS_PER_CALL = 4096

# A subclass that overrides one of these wants it called.
_METHODS = ("train", "collect_rollouts", "_collect_rollouts", "_sample_action", "_store_transition", "_on_step")


class NativeLoop:
    """Runs a model's loop in the kernel, for as many steps as its callback does not need to see.

    The results are those of the loop in Python, bit for bit.

    :param env: the model's environment
    """

    def __init__(self, env: NativeVecEnv) -> None:
        self._env = env
        self._environments = env.environments.compiled(env.step_limit)
        self._steps_per_call = 16

    @classmethod
    def of(cls, model: TinySAC) -> NativeLoop | None:
        """Return the loop of a model whose environments are native, or ``None``."""
        from sb3_tinyrl.sac import TinySAC

        overridden = [name for name in _METHODS if getattr(type(model), name) is not getattr(TinySAC, name)]
        if type(model.env) is not NativeVecEnv or model.action_noise is not None or overridden:
            return None
        return cls(model.env)

    def run(
        self,
        model: TinySAC,
        binding: Binding,
        callback: BaseCallback,
        train_freq: TrainFreq,
        log_interval: int | None,
        n_collected_steps: int,
        n_collected_episodes: int,
    ) -> tuple[int, int] | None:
        """Go on until ``callback`` or the logger has to be called, or for a short time.

        :param n_collected_steps: steps of each environment in the current rollout
        :param n_collected_episodes: episodes that ended in it
        :return: both numbers afterwards, of a rollout whose gradient steps are still to be taken if it is complete;
            ``None`` when the next step must be taken in Python
        :raises NonFiniteError: when the environment or the policy produced NaN or an infinite value
        :raises NativeEnvironmentError: when the environment threw an exception
        """
        buffer = model.replay_buffer
        assert buffer is not None
        n_envs = self._env.num_envs
        n_remaining = math.ceil((model._total_timesteps - model.num_timesteps) / n_envs)
        max_steps = int(min(idle_steps(callback), n_remaining, self._steps_per_call))
        max_episodes = log_interval - model._episode_num % log_interval if log_interval else 0
        in_episodes = train_freq.unit == TrainFrequencyUnit.EPISODE
        n_gradient_steps = model.gradient_steps
        if not 0 <= n_gradient_steps <= MAX_STEPS:
            # Too long for one call: the gradient steps are left to the model.
            if in_episodes:
                n_episodes = train_freq.frequency - n_collected_episodes
                max_episodes = min(max_episodes, n_episodes) if max_episodes else n_episodes
            else:
                max_steps = min(max_steps, train_freq.frequency - n_collected_steps)
        matrices = self._exploration_matrices(model)
        if max_steps < 1 or matrices is None or not isinstance(binding.transitions, StoredTransitions):
            return None

        learning_rates = self._learning_rates(model, max_steps)
        schedule = LoopSchedule(
            train_frequency=train_freq.frequency,
            train_frequency_is_in_episodes=in_episodes,
            gradient_steps=n_gradient_steps,
            sde_sample_frequency=model.sde_sample_freq,
            handle_timeout_termination=buffer.handle_timeout_termination,
            max_steps=max_steps,
            max_episodes=max_episodes,
            max_seconds=_SECONDS_PER_CALL,
            learning_rates=learning_rates.ctypes.data,
        )
        state = LoopState(
            n_collected_steps=n_collected_steps,
            n_collected_episodes=n_collected_episodes,
            position=buffer.pos,
            is_full=buffer.full,
            n_sampled_batches=model._n_sampled_batches,
            n_sampled_actions=model._n_sampled_actions,
        )
        episodes = (EpisodeStatistics * (max_steps * n_envs))()
        assert model._kernel_key is not None
        start = time.perf_counter()
        status = LoopStatus.DONE
        try:
            status = binding.kernel.run(
                model._hyper_parameters(),
                binding.transitions.view(model),
                self._environments,
                schedule,
                model._kernel_key,
                matrices,
                state,
                episodes,
            )
        finally:  # A KeyboardInterrupt comes as soon as the kernel returns.
            self._take_over(model, callback, log_interval, state, episodes)
        if status == LoopStatus.ENVIRONMENT_THREW:
            model._last_obs = None  # the next run begins a new episode
            self._env.environments.raise_failure()
        if status != LoopStatus.DONE:
            self._raise_not_finite(model, binding, status)
        steps_per_second = state.n_steps / (time.perf_counter() - start)
        self._steps_per_call = min(max(1, int(_SECONDS_PER_CALL * steps_per_second)), _MOST_STEPS_PER_CALL)
        return state.n_collected_steps, state.n_collected_episodes

    def _exploration_matrices(self, model: TinySAC) -> ExplorationMatrices | None:
        """The matrices of gSDE; ``None`` where somebody has put others there than the loop can draw anew."""
        if not model.actor.use_sde:
            return ExplorationMatrices()
        distribution = model.actor.action_dist
        matrix, matrices = distribution.exploration_mat, distribution.exploration_matrices
        kinds = {(tensor.dtype, tensor.is_contiguous(), tensor.requires_grad) for tensor in (matrix, matrices)}
        if kinds != {(model.actor.log_std.dtype, True, False)} or len(matrices) != self._env.num_envs:
            return None
        return ExplorationMatrices(matrix.data_ptr(), matrices.data_ptr())

    def _learning_rates(self, model: TinySAC, n_steps: int) -> np.ndarray:
        """What the schedule says after each of the next steps."""
        timesteps = model.num_timesteps + np.arange(1, n_steps + 1) * self._env.num_envs
        remaining = 1.0 - timesteps / float(model._total_timesteps)
        return np.array([model.lr_schedule(progress) for progress in remaining.tolist()], np.float64)

    def _take_over(
        self, model: TinySAC, callback: BaseCallback, log_interval: int | None, state: LoopState, episodes: Any
    ) -> None:
        """Leave the model as the loop in Python would."""
        buffer = model.replay_buffer
        assert buffer is not None
        buffer.pos, buffer.full = state.position, bool(state.is_full)
        model._n_sampled_batches, model._n_sampled_actions = state.n_sampled_batches, state.n_sampled_actions
        if state.n_steps == 0:
            return
        model.num_timesteps += state.n_steps * self._env.num_envs
        model._update_current_progress_remaining(model.num_timesteps, model._total_timesteps)
        model._last_original_obs = buffer.observations[buffer.pos - 1].copy()
        model._last_obs = self._env.environments.observations.copy()
        skip(callback, state.n_steps)
        if state.n_updates:
            model._n_updates += state.n_updates
            self._record_updates(model, state)
        infos = [
            {"episode": self._env.episode_info(episode.episode_return, episode.length)}
            for episode in episodes[: state.n_episodes]
        ]
        model._update_info_buffer(infos)
        for _ in infos:
            model._end_episode(0, None, log_interval)

    @staticmethod
    def _record_updates(model: TinySAC, state: LoopState) -> None:
        for optimizer in model._optimizers():
            update_learning_rate(optimizer, state.learning_rate)
        model.logger.record("train/learning_rate", state.learning_rate)
        model._record_losses(np.frombuffer(state.losses, np.float64)[np.newaxis])

    def _raise_not_finite(self, model: TinySAC, binding: Binding, status: LoopStatus) -> None:
        environments, timestep = self._env.environments, model.num_timesteps
        if status == LoopStatus.ACTION_NOT_FINITE:
            assert model._kernel_key is not None
            engine = Engine(model._kernel_key, model._n_sampled_actions)
            matrices = rollout.exploration_matrices(model.actor, self._env.num_envs)
            scaled_action, *_ = binding.kernel.act(environments.observations, engine, None, *matrices)
            rollout.require_finite(scaled_action, "action of the policy", timestep)
        model._last_obs = None  # the step has been taken, but not stored: the next run begins a new episode
        timestep += self._env.num_envs
        dones = environments.terminated | environments.truncated
        observations = np.where(dones[:, np.newaxis], environments.final_observations, environments.observations)
        rollout.require_finite(environments.rewards, "reward", timestep)
        rollout.require_finite(observations, "observation", timestep)
        rollout.require_finite(environments.observations, "observation after reset", timestep)
