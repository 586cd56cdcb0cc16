"""SB3's off-policy loop with a kernel: what any algorithm needs to collect, act, train and predict natively.

An algorithm adds what is its own: the spec of its kernel, its hyperparameters, and what it logs.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.noise import ActionNoise, VectorizedActionNoise
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.type_aliases import MaybeCallback, RolloutReturn, TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.utils import should_collect_more_steps, update_learning_rate
from stable_baselines3.common.vec_env import VecEnv

from sb3_tinyrl import contract, memory
from sb3_tinyrl._native.abi.blas import Blas
from sb3_tinyrl._native.abi.kernel import MAX_STEPS, Kernel
from sb3_tinyrl._native.abi.structs import Engine, HyperParameters, LoopState, LoopStatus
from sb3_tinyrl._native.errors import BlasError, KernelError, UnsupportedByKernelError
from sb3_tinyrl.callback_schedule import idle_steps, is_known_schedule, skip
from sb3_tinyrl.environments.vec_env import NativeVecEnv, as_native_vec_env
from sb3_tinyrl.fused_loop import FusedLoop, LoopRequest, LoopResult
from sb3_tinyrl.memory import InPlaceReplay
from sb3_tinyrl.observations import features, require_finite
from sb3_tinyrl.session import Bound, KernelSession

#: Methods that SB3's loop would call at each step: where a user has replaced one, steps are taken from Python.
_LOOP_METHODS = (
    *("train", "collect_rollouts", "predict", "dump_logs", "_dump_logs"),
    *("_sample_action", "_store_transition", "_on_step", "_update_info_buffer"),
    *("_update_learning_rate", "_update_current_progress_remaining"),
)
_LIBRARIES = ("sb3_tinyrl.", "stable_baselines3.")


@dataclass(frozen=True)
class KernelStatus:
    """What computes a model's updates now, and why.

    :param native: whether a kernel does, or will as soon as it is compiled
    :param reason: why none does
    :param backend: what computes the kernel's matrix products
    :param n_threads: that share an update; ``None`` while that is not known yet
    :param batches: where they come from; ``None`` while no kernel is bound
    """

    native: bool
    reason: str | None = None
    backend: str | None = None
    n_threads: int | None = None
    batches: str | None = None

    def __str__(self) -> str:
        if not self.native:
            return f"trains through Stable-Baselines3's PyTorch update: {self.reason}"
        if self.batches is None:
            return f"trains in a kernel ({self.backend}), which is loaded or compiled when learn starts"
        threads = "1 thread" if self.n_threads == 1 else f"up to {self.n_threads} threads"
        return f"trains in a kernel ({self.backend}, {threads}), batches {self.batches}"


class NativeOffPolicy(SAC):
    """Hooks of SB3's off-policy algorithms, served by a kernel wherever it computes what they would.

    An algorithm derives from this class, and gives ``_kernel_hyper_parameters`` and ``_record_losses``.
    """

    kernel: str
    n_threads: int | None
    _session: KernelSession
    _fused_loop: FusedLoop | None
    _told: set[str]
    _kernel_key: int | None
    _n_sampled_batches: int
    _n_sampled_actions: int

    # --- what an algorithm gives ---

    def _blas(self) -> Blas | None:
        """What computes the kernel's matrix products, or ``None`` for the kernel itself."""
        raise NotImplementedError

    def _kernel_hyper_parameters(self) -> HyperParameters:
        """Hyperparameters as they are now."""
        raise NotImplementedError

    def _record_losses(self, losses: npt.NDArray[np.float64]) -> None:
        """Log what SB3's ``train`` logs, given one row of losses for each gradient step."""
        raise NotImplementedError

    def _trained_optimizers(self) -> list[th.optim.Optimizer]:
        """Those whose learning rate SB3 sets in an update."""
        return [optimizer for optimizer, _ in contract.optimizers(self).values()]

    # --- life of the kernel ---

    def _setup_model(self) -> None:
        # SB3 seeds anew when it loads a model; the kernel's random numbers go on where they were.
        sampled = self._n_sampled_batches, self._n_sampled_actions
        super()._setup_model()
        self._n_sampled_batches, self._n_sampled_actions = sampled

    @staticmethod
    def _wrap_env(env: Any, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
        native = as_native_vec_env(env) if isinstance(env, gym.Env) else None
        return BaseAlgorithm._wrap_env(native or env, verbose, monitor_wrapper)

    def set_random_seed(self, seed: int | None = None) -> None:
        """Seed Python's, numpy's, torch's, the environment's and the kernel's random numbers.

        :param seed: nothing happens for ``None``
        """
        super().set_random_seed(seed)
        if seed is not None:
            self._kernel_key = seed
            self._n_sampled_batches = self._n_sampled_actions = 0

    def _setup_learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        reset_num_timesteps: bool = True,
        tb_log_name: str = "run",
        progress_bar: bool = False,
    ) -> tuple[int, BaseCallback]:
        prepared = super()._setup_learn(total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar)
        self._session.reason = None
        if self.kernel != "torch":
            try:
                self._session.prepare(self, self.batch_size, self._blas())
            except KernelError as error:
                self._fall_back(error)
            else:
                assert self._last_obs is not None
                require_finite(self._last_obs, "observation after reset", self.num_timesteps)
        return prepared

    def _bound(self, batch_size: int) -> Bound | None:
        """The kernel bound to this model's memory, or ``None`` where SB3's own update serves."""
        if self.kernel == "torch":
            return None
        try:
            bound = self._session.for_training(self, batch_size, self.n_threads, self._blas())
        except KernelError as error:
            self._fall_back(error)
            return None
        if self._session.reason is not None:  # what stood in the way is gone
            self._session.reason = None
            self._told.clear()
        if self._kernel_key is None:
            # From torch's generator, which seeds SB3's own noise: with it seeded, the run is the same again.
            self._kernel_key = int(th.randint(2**62, ()).item())
        return bound

    def _fall_back(self, error: KernelError) -> None:
        if self.kernel == "native" or isinstance(error, BlasError):
            raise error
        # A failed build raises the same error at each try: without this, it would keep the frames of all of them.
        error.__traceback__ = None
        self._session.reason = str(error)
        message = f"TinySAC trains through Stable-Baselines3's PyTorch update: {error}"
        if message not in self._told:
            self._told.add(message)
            warnings.warn(message, UserWarning, stacklevel=4)

    def _is_native(self) -> bool:
        """Whether a kernel serves as far as is known: what it can't take is refused before it is stored."""
        return self.kernel != "torch" and self._session.reason is None

    def kernel_status(self) -> KernelStatus:
        """Tell what computes this model's updates now, and why; ``str()`` of it is one line."""
        if self.kernel == "torch":
            return KernelStatus(False, 'kernel="torch" asks for it')
        try:
            blas = self._blas()
            bound = self._session.bound
            if bound is None or not bound.watch.holds_thoroughly():
                self._session.require_served(self, blas)
        except KernelError as error:
            return KernelStatus(False, str(error))
        if self._session.reason is not None:
            return KernelStatus(False, self._session.reason)
        backend = "simd" if blas is None else blas.name
        if bound is None:
            return KernelStatus(True, backend=backend)
        return KernelStatus(True, None, backend, bound.kernel.largest_n_threads, bound.replay.description)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_session", "_fused_loop", "_told"]

    def __getstate__(self) -> dict[str, Any]:
        # Copies and pickles bind a kernel of their own when they first need one.
        return {**self.__dict__, "_session": KernelSession(), "_fused_loop": None}

    # --- acting ---

    def predict(
        self,
        observation: np.ndarray | dict[str, np.ndarray],
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """Choose actions, in a kernel if there is one already; a call never waits for a compiler.

        :param observation: one observation, or several of them along a first axis
        :param state: returned as it is
        :param episode_start: not used
        :param deterministic: whether to take the most likely actions rather than draw them, with the random numbers of
            torch's generator as SB3 does
        :return: actions, with a first axis if the observation has one; and ``state``
        """
        if self.kernel != "torch":
            actions = self._predict_natively(observation, deterministic)
            if actions is not None:
                return actions, state
        return super().predict(observation, state, episode_start, deterministic)

    def _predict_natively(self, observation: object, deterministic: bool) -> npt.NDArray[Any] | None:
        """Compute what ``policy.predict`` returns, to within rounding and with the same random numbers.

        :return: the actions; ``None`` where only SB3 knows what to do, or there is no kernel
        """
        observation_space, action_space = self.observation_space, self.action_space
        if type(observation) is not np.ndarray or not isinstance(observation_space, spaces.Box):
            return None
        assert isinstance(action_space, spaces.Box)
        is_batch = observation.ndim > len(observation_space.shape)
        observations = observation if is_batch else observation[np.newaxis]
        if observations.shape[1:] != observation_space.shape or is_image_space(observation_space):
            return None  # an error, whose message is SB3's, or channels to be moved
        kernel = self._session.for_predicting(self)
        if kernel is None or kernel.spec.scalar_type != "float32":
            return None

        if self.policy.training:
            self.policy.set_training_mode(False)
        n = len(observations)
        noise: tuple[Any, ...] = ()
        if not deterministic and self.actor.use_sde:
            try:
                noise = (None, None, *memory.exploration_matrices(self.actor, n))
            except UnsupportedByKernelError:
                return None
        elif not deterministic:
            noise = (None, th.randn(n, kernel.spec.action_dim).numpy())
        scaled_actions, actions, is_finite = kernel.act(observations, *noise)
        if not is_finite:
            return None  # SB3 has an error for that, too
        shape = (n, *action_space.shape) if is_batch else action_space.shape
        if action_space.dtype != np.float32:
            actions = self.policy.unscale_action(scaled_actions.reshape(-1, *action_space.shape))
        return actions.reshape(shape)

    def _sample_action(
        self,
        learning_starts: int,
        action_noise: ActionNoise | None = None,
        n_envs: int = 1,
    ) -> tuple[np.ndarray, np.ndarray]:
        bound = self._acting(learning_starts)
        if bound is None:
            return super()._sample_action(learning_starts, action_noise, n_envs)
        assert self._last_obs is not None
        assert self._kernel_key is not None
        observations = self._last_obs
        if not isinstance(self.observation_space, spaces.Box):
            observations = features(self, self.policy.obs_to_tensor(observations)[0]).numpy()
        try:
            matrices = memory.exploration_matrices(self.actor, n_envs)
        except UnsupportedByKernelError as error:
            self._fall_back(error)
            return super()._sample_action(learning_starts, action_noise, n_envs)
        scaled_action, action, is_finite = bound.kernel.act(
            np.asarray(observations), Engine(self._kernel_key, self._n_sampled_actions), None, *matrices
        )
        self._n_sampled_actions += 1
        if not is_finite:
            require_finite(scaled_action, "action of the policy", self.num_timesteps)
        assert isinstance(self.action_space, spaces.Box)
        shape = (n_envs, *self.action_space.shape)
        scaled_action = scaled_action.reshape(shape)
        if action_noise is not None:
            scaled_action = np.clip(scaled_action + action_noise(), -1, 1)
        elif self.action_space.dtype == np.float32:
            return action.reshape(shape), scaled_action
        return self.policy.unscale_action(scaled_action), scaled_action

    def _acting(self, learning_starts: int) -> Bound | None:
        """The kernel that acts in this step: after the warm-up, unless SB3's own policy acts."""
        is_warm_up = self.num_timesteps < learning_starts and not (self.use_sde and self.use_sde_at_warmup)
        if is_warm_up or not self._is_native() or self._has_own("predict"):
            return None
        return self._session.for_acting(self) or self._bound(self.batch_size)

    def _reset_noise(self, n_envs: int, learning_starts: int) -> None:
        """Draw the matrices of state-dependent exploration noise where SB3's policy keeps them."""
        bound = self._acting(learning_starts)
        if bound is None:
            self.actor.reset_noise(n_envs)
            return
        assert self._kernel_key is not None
        matrices = th.from_numpy(bound.kernel.sample_matrices(1 + n_envs, self._kernel_key, self._n_sampled_actions))
        self._n_sampled_actions += 1
        distribution = self.actor.action_dist
        distribution.exploration_mat, distribution.exploration_matrices = matrices[0], matrices[1:]

    def _has_own(self, *methods: str) -> bool:
        """Whether one of these methods is the user's: of a subclass, or put onto the model."""
        return any(
            name in self.__dict__ or not getattr(type(self), name).__module__.startswith(_LIBRARIES) for name in methods
        )

    # --- collecting ---

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
            new_obs, rewards, dones, infos = env.step(actions)
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

    # --- collecting and training with compiled environments ---

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
            and (loop := self._loop_for(env, replay_buffer, action_noise))
            and (bound := self._acting(learning_starts))
            and (request := self._loop_request(bound, loop, callback, train_freq, log_interval, *collected))
        ):
            result = LoopResult.of(request, env.num_envs)
            try:
                loop.run(bound.kernel, request, result)
            finally:  # A KeyboardInterrupt comes as soon as the kernel returns.
                self._absorb(loop.env, result, callback, log_interval)
            if result.status != LoopStatus.DONE:
                self._raise_not_finite(loop.env, bound.kernel, result.status)
            collected = result.state.n_collected_steps, result.state.n_collected_episodes
        return collected

    def _loop_for(
        self, env: NativeVecEnv, replay_buffer: ReplayBuffer, action_noise: ActionNoise | None
    ) -> FusedLoop | None:
        """The loop that does what SB3's would with this environment; ``None`` if the user has a hand in a step."""
        if (
            action_noise is not None
            or env is not self.env
            or replay_buffer is not self.replay_buffer
            or self._has_own(*_LOOP_METHODS)
            or contract.replaced_on_instance(env)
            or type(self.logger) is not Logger
            or contract.replaced_on_instance(self.logger)
        ):
            return None
        if self._fused_loop is None or self._fused_loop.env is not env:
            self._fused_loop = FusedLoop(env)
        return self._fused_loop

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
        if buffer.optimize_memory_usage and buffer.buffer_size < 2:
            return None  # there is never anything to draw: `train` says so
        assert self._kernel_key is not None
        return LoopRequest(
            hyper_parameters=self._kernel_hyper_parameters(),
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
            state=LoopState(
                n_collected_steps=n_collected_steps,
                n_collected_episodes=n_collected_episodes,
                position=buffer.pos,
                is_full=buffer.full,
                n_sampled_batches=self._n_sampled_batches,
                n_sampled_actions=self._n_sampled_actions,
            ),
        )

    def _learning_rates(self, n_steps: int) -> npt.NDArray[np.float64]:
        """What the schedule says after each of the next steps, shape ``(n_steps,)``."""
        timesteps = self.num_timesteps + np.arange(1, n_steps + 1) * self.n_envs
        remaining = 1.0 - timesteps / float(self._total_timesteps)
        return np.array([self.lr_schedule(progress) for progress in remaining.tolist()], np.float64)

    def _absorb(self, env: NativeVecEnv, result: LoopResult, callback: BaseCallback, log_interval: int | None) -> None:
        """Leave the model as SB3's loop would after the steps of the result."""
        buffer, state = self.replay_buffer, result.state
        assert buffer is not None
        buffer.pos, buffer.full = state.position, bool(state.is_full)
        self._n_sampled_batches, self._n_sampled_actions = state.n_sampled_batches, state.n_sampled_actions
        if state.n_steps == 0:
            return
        self.num_timesteps += state.n_steps * env.num_envs
        self._update_current_progress_remaining(self.num_timesteps, self._total_timesteps)
        self._last_original_obs = buffer.observations[buffer.pos - 1].copy()
        self._last_obs = env.environments.observations.copy()
        skip(callback, state.n_steps)
        if state.n_updates:
            self._n_updates += state.n_updates
            for optimizer in self._trained_optimizers():
                update_learning_rate(optimizer, state.learning_rate)
            self.logger.record("train/learning_rate", state.learning_rate)
            self._record_losses(np.frombuffer(state.losses, np.float64)[np.newaxis])
        infos = [{"episode": env.episode_info(e.episode_return, e.length)} for e in result.ended_episodes()]
        self._update_info_buffer(infos)
        for _ in infos:
            self._end_episode(0, None, log_interval)

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

    # --- training ---

    def train(self, gradient_steps: int, batch_size: int = 64) -> None:
        """Take gradient steps on batches from the replay buffer.

        :param gradient_steps: how many
        :param batch_size: samples in each
        """
        bound = self._bound(batch_size)
        if bound is None:
            super().train(gradient_steps, batch_size)
            return
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
        except UnsupportedByKernelError as error:  # of a batch that came from Python
            self._session.refuse(self, error)
            self._fall_back(error)
            super().train(n_left, batch_size)
            return
        if losses:
            self._record_losses(losses[0] if len(losses) == 1 else np.concatenate(losses))

    def _train_natively(self, bound: Bound, first_step: int, n_steps: int) -> npt.NDArray[np.float64]:
        """Take some of the gradient steps of a call of ``train``; return their losses, a row for each."""
        assert self._kernel_key is not None
        hyper_parameters = self._kernel_hyper_parameters()
        batches = bound.replay.batches(self)
        counter = self._n_sampled_batches
        # Counted first: a KeyboardInterrupt comes as soon as the kernel returns.
        self._n_sampled_batches += n_steps
        self._n_updates += n_steps
        return bound.kernel.train(hyper_parameters, batches, self._kernel_key, counter, first_step, n_steps)


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
    next_obs = new_obs.copy()
    for i in ended:
        next_obs[i] = infos[i]["terminal_observation"]
    return next_obs
