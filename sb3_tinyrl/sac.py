"""Soft actor-critic with Stable-Baselines3's interface and a compiled training loop."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from numbers import Integral
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, RolloutReturn, Schedule, TrainFreq
from stable_baselines3.common.utils import should_collect_more_steps
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.sac.policies import SACPolicy

from sb3_tinyrl import prediction, rollout, saving
from sb3_tinyrl._native.abi import blas
from sb3_tinyrl._native.abi.blas import Blas
from sb3_tinyrl._native.abi.structs import Engine, HyperParameters
from sb3_tinyrl._native.abi.thread_tuner import MAX_THREADS
from sb3_tinyrl._native.errors import BlasError, KernelError, NativeEnvironmentError
from sb3_tinyrl.binding import Binding
from sb3_tinyrl.environments.vec_env import as_native_vec_env
from sb3_tinyrl.export import export_cpp, export_onnx, export_policy
from sb3_tinyrl.native_loop import NativeLoop
from sb3_tinyrl.runtime import Runtime
from sb3_tinyrl.transitions import features

if TYPE_CHECKING:
    from typing_extensions import Self

KernelChoice = Literal["auto", "native", "torch"]
Backend = Literal["simd", "blas", "mkl", "openblas", "accelerate"]

_ADAM_VALUES = itemgetter("lr", "betas", "eps", "weight_decay", "decoupled_weight_decay")

_KERNEL_CHOICES = ("auto", "native", "torch")
_BACKENDS = ("simd", "blas", *blas.LIBRARIES)


class TinySAC(SAC):
    """:class:`stable_baselines3.SAC` whose actions and gradient steps are computed by a compiled kernel.

    Everything else is Stable-Baselines3's: the constructor, ``learn``, ``predict``, ``save``, ``load``, callbacks,
    logs and zip files, which either class loads. The kernel computes SB3's update on SB3's own tensors and samples
    from SB3's replay buffer in place; its random numbers are its own (counter-based, from ``seed``), so a run has the
    distribution of SB3's, not its draws.

    The kernel is compiled for the sizes of the networks and the batch when ``learn`` starts, in the background while
    the warm-up steps run, and then kept on disk. Learning rate, ``gamma``, ``tau`` and all frequencies may change
    without a new one.

    :param kernel: ``"auto"`` trains in the kernel where it can and through SB3's own PyTorch update where it can't,
        with one warning that says why; ``"native"`` raises instead; ``"torch"`` is SB3's own update.
    :param n_threads: threads that share an update, 1 to 16; by default as many as updates turn out to be fastest with,
        at most those the process may use. The results do not depend on it.
    :param backend: what computes the kernel's matrix products: ``"simd"``, code that is compiled for their sizes, or a
        library: ``"accelerate"``, ``"mkl"``, ``"openblas"``, or ``"blas"`` for the first of these that is there. By
        default Accelerate on macOS and ``"simd"`` elsewhere. The results differ in rounding. Nothing takes the place of
        a library that is missing: that is an error, unless ``kernel="torch"``.

    The other parameters are those of :class:`stable_baselines3.SAC`.

    :raises ValueError: for a ``kernel``, ``n_threads`` or ``backend`` that is not one of the above
    :raises KernelError: when the library that ``backend`` names is not installed
    """

    def __init__(
        self,
        policy: str | type[SACPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule = 3e-4,
        buffer_size: int = 1_000_000,
        learning_starts: int = 100,
        batch_size: int = 256,
        tau: float = 0.005,
        gamma: float = 0.99,
        train_freq: int | tuple[int, str] = 1,
        gradient_steps: int = 1,
        action_noise: ActionNoise | None = None,
        replay_buffer_class: type[ReplayBuffer] | None = None,
        replay_buffer_kwargs: dict[str, Any] | None = None,
        optimize_memory_usage: bool = False,
        n_steps: int = 1,
        ent_coef: str | float = "auto",
        target_update_interval: int = 1,
        target_entropy: str | float = "auto",
        use_sde: bool = False,
        sde_sample_freq: int = -1,
        use_sde_at_warmup: bool = False,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: th.device | str = "auto",
        _init_setup_model: bool = True,
        kernel: KernelChoice = "auto",
        n_threads: int | None = None,
        backend: Backend | None = None,
    ) -> None:
        self.kernel = kernel
        self.n_threads = n_threads
        self.backend = backend
        self._check_kernel_arguments()
        # The state of the kernel's random numbers; plain numbers, so that any SB3 can read the zip file.
        self._kernel_key: int | None = None
        self._n_sampled_batches = 0
        self._n_sampled_actions = 0
        self._runtime = Runtime()
        super().__init__(
            policy,
            env,
            learning_rate=learning_rate,
            buffer_size=buffer_size,
            learning_starts=learning_starts,
            batch_size=batch_size,
            tau=tau,
            gamma=gamma,
            train_freq=train_freq,
            gradient_steps=gradient_steps,
            action_noise=action_noise,
            replay_buffer_class=replay_buffer_class,
            replay_buffer_kwargs=replay_buffer_kwargs,
            optimize_memory_usage=optimize_memory_usage,
            n_steps=n_steps,
            ent_coef=ent_coef,
            target_update_interval=target_update_interval,
            target_entropy=target_entropy,
            use_sde=use_sde,
            sde_sample_freq=sde_sample_freq,
            use_sde_at_warmup=use_sde_at_warmup,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs=policy_kwargs,
            verbose=verbose,
            seed=seed,
            device=device,
            _init_setup_model=_init_setup_model,
        )

    def _check_kernel_arguments(self) -> None:
        if self.kernel not in _KERNEL_CHOICES:
            raise ValueError(f"kernel={self.kernel!r}; expected one of {', '.join(map(repr, _KERNEL_CHOICES))}")
        if self.n_threads is not None and not (
            isinstance(self.n_threads, Integral) and 1 <= self.n_threads <= MAX_THREADS
        ):
            raise ValueError(
                f"n_threads={self.n_threads!r}; expected 1 to {MAX_THREADS}, or None for as many as are fastest"
            )
        if self.backend is not None and self.backend not in _BACKENDS:
            raise ValueError(f"backend={self.backend!r}; expected one of {', '.join(map(repr, _BACKENDS))}, or None")
        if self.kernel != "torch" and self.backend not in (None, "simd"):
            blas.require(self._library_name())

    def _library_name(self) -> str | None:
        """The library that ``backend`` names; ``None`` where it names none."""
        return self.backend if self.backend in blas.LIBRARIES else None

    def _blas(self) -> Blas | None:
        """What computes the kernel's matrix products, or ``None`` for the kernel itself."""
        if self.backend == "simd":
            return None
        return blas.default() if self.backend is None else blas.load(self._library_name())

    def _setup_model(self) -> None:
        # SB3 seeds anew when it loads a model; the kernel's random numbers go on where they were.
        sampled = self._n_sampled_batches, self._n_sampled_actions
        super()._setup_model()
        self._n_sampled_batches, self._n_sampled_actions = sampled

    @staticmethod
    def _wrap_env(env: GymEnv, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
        native = as_native_vec_env(env) if isinstance(env, gym.Env) else None
        return SAC._wrap_env(native or env, verbose, monitor_wrapper)

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
        self._check_kernel_arguments()  # ``load`` sets attributes past the constructor
        prepared = super()._setup_learn(total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar)
        self._runtime.collects, self._runtime.loop = False, None
        if self.kernel != "torch":
            try:
                self._runtime.prepare(self, self.batch_size, self._blas())
            except KernelError as error:
                self._fall_back(error)
            else:
                self._runtime.collects = True
                self._runtime.loop = NativeLoop.of(self)
                assert self._last_obs is not None
                rollout.require_finite(self._last_obs, "observation after reset", self.num_timesteps)
        return prepared

    def _binding(self, batch_size: int) -> Binding | None:
        """The kernel bound to this model's memory, or ``None`` where SB3's own update serves."""
        if self.kernel == "torch":
            return None
        try:
            binding = self._runtime.binding(self, batch_size, self.n_threads, self._blas())
        except KernelError as error:
            self._fall_back(error)
            return None
        if self._kernel_key is None:
            # From torch's generator, which seeds SB3's own noise: whoever seeded that gets the same run again.
            self._kernel_key = int(th.randint(2**62, ()).item())
        return binding

    def _fall_back(self, error: KernelError) -> None:
        if self.kernel == "native" or isinstance(error, BlasError):
            raise error
        self._runtime.collects = False
        # A failed build raises the same error at each try: without this, it would keep the frames of all of them.
        error.__traceback__ = None
        message = f"TinySAC trains through Stable-Baselines3's PyTorch update: {error}"
        if self._runtime.is_new_warning(message):
            warnings.warn(message, UserWarning, stacklevel=4)

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
            actions = prediction.predict(self, self._runtime, observation, deterministic)
            if actions is not None:
                return actions, state
        return super().predict(observation, state, episode_start, deterministic)

    def train(self, gradient_steps: int, batch_size: int = 64) -> None:
        """Take gradient steps on batches from the replay buffer.

        :param gradient_steps: how many
        :param batch_size: samples in each
        """
        binding = self._binding(batch_size)
        if binding is None:
            super().train(gradient_steps, batch_size)
            return
        assert self.replay_buffer is not None
        if self.replay_buffer.size() == 0:
            raise ValueError("The replay buffer is empty; collect or load transitions before calling train().")
        self._update_learning_rate(self._optimizers())

        hyper_parameters = self._hyper_parameters()
        assert self._kernel_key is not None
        losses = []
        transitions = binding.transitions
        for first_step in range(0, gradient_steps, transitions.steps_per_view):
            n_steps = min(transitions.steps_per_view, gradient_steps - first_step)
            view = transitions.view(self)
            counter = self._n_sampled_batches
            # Counted first: a KeyboardInterrupt comes as soon as the kernel returns.
            self._n_sampled_batches += n_steps
            self._n_updates += n_steps
            losses.append(binding.kernel.train(hyper_parameters, view, self._kernel_key, counter, first_step, n_steps))
        if losses:
            self._record_losses(losses[0] if len(losses) == 1 else np.concatenate(losses))

    def _optimizers(self) -> list[th.optim.Optimizer]:
        optimizers = [self.actor.optimizer, self.critic.optimizer]
        return optimizers if self.ent_coef_optimizer is None else [*optimizers, self.ent_coef_optimizer]

    def _hyper_parameters(self) -> HyperParameters:
        groups = [optimizer.param_groups[0] for optimizer in self._optimizers()]
        return self._runtime.hyper_parameters(
            tuple(map(_ADAM_VALUES, groups)),
            self.gamma,
            self.tau,
            float(self.target_entropy),
            0.0 if self.log_ent_coef is not None else self.ent_coef_tensor.item(),
            self.target_update_interval,
        )

    def _record_losses(self, losses: npt.NDArray[np.float64]) -> None:
        means = losses[0] if len(losses) == 1 else losses.mean(axis=0)
        ent_coef, ent_coef_loss, critic_loss, actor_loss = means.tolist()
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/ent_coef", ent_coef)
        self.logger.record("train/actor_loss", actor_loss)
        self.logger.record("train/critic_loss", critic_loss)
        if self.ent_coef_optimizer is not None:
            self.logger.record("train/ent_coef_loss", ent_coef_loss)

    def _sample_action(
        self,
        learning_starts: int,
        action_noise: ActionNoise | None = None,
        n_envs: int = 1,
    ) -> tuple[np.ndarray, np.ndarray]:
        binding = self._acting_binding(learning_starts)
        if binding is None:
            return super()._sample_action(learning_starts, action_noise, n_envs)
        assert self._last_obs is not None
        assert self._kernel_key is not None
        observations = self._last_obs
        if not isinstance(self.observation_space, spaces.Box):
            observations = features(self, self.policy.obs_to_tensor(observations)[0]).numpy()
        assert isinstance(observations, np.ndarray)
        scaled_action, action, is_finite = binding.kernel.act(
            observations,
            Engine(self._kernel_key, self._n_sampled_actions),
            None,
            *rollout.exploration_matrices(self.actor, n_envs),
        )
        self._n_sampled_actions += 1
        if not is_finite:
            rollout.require_finite(scaled_action, "action of the policy", self.num_timesteps)
        assert isinstance(self.action_space, spaces.Box)
        shape = (n_envs, *self.action_space.shape)
        scaled_action = scaled_action.reshape(shape)
        if action_noise is not None:
            scaled_action = np.clip(scaled_action + action_noise(), -1, 1)
        elif self.action_space.dtype == np.float32:
            return action.reshape(shape), scaled_action
        return self.policy.unscale_action(scaled_action), scaled_action

    def _acts_natively(self, learning_starts: int) -> bool:
        """Whether a kernel acts in this step, that is after the warm-up, and unless SB3's own policy acts."""
        is_warm_up = self.num_timesteps < learning_starts and not (self.use_sde and self.use_sde_at_warmup)
        return self._runtime.collects and not is_warm_up

    def _acting_binding(self, learning_starts: int) -> Binding | None:
        if not self._acts_natively(learning_starts):
            return None
        return self._runtime.binding_that_acts(self) or self._binding(self.batch_size)

    def _reset_noise(self, n_envs: int, learning_starts: int) -> None:
        """Draw the matrices of state-dependent exploration noise where SB3's policy keeps them."""
        binding = self._acting_binding(learning_starts)
        if binding is None:
            self.actor.reset_noise(n_envs)
            return
        assert self._kernel_key is not None
        matrices = th.from_numpy(binding.kernel.sample_matrices(1 + n_envs, self._kernel_key, self._n_sampled_actions))
        self._n_sampled_actions += 1
        distribution = self.actor.action_dist
        distribution.exploration_mat, distribution.exploration_matrices = matrices[0], matrices[1:]

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
        collect = self._collect_rollouts if self._runtime.collects else super().collect_rollouts
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
        rollout.require_collectable(env, train_freq)
        if self.policy.training:
            self.policy.set_training_mode(False)
        num_collected_steps, num_collected_episodes = 0, 0
        if self.use_sde:
            self._reset_noise(env.num_envs, learning_starts)
        continue_training = True
        callback.on_rollout_start()
        while should_collect_more_steps(train_freq, num_collected_steps, num_collected_episodes):
            num_collected_steps, num_collected_episodes = self._collect_natively(
                callback, train_freq, learning_starts, log_interval, num_collected_steps, num_collected_episodes
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
            self.num_timesteps += env.num_envs
            num_collected_steps += 1

            callback.update_locals(locals())
            if not callback.on_step():
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
            callback.on_rollout_end()
        return RolloutReturn(num_collected_steps * env.num_envs, num_collected_episodes, continue_training)

    def _collect_natively(
        self,
        callback: BaseCallback,
        train_freq: TrainFreq,
        learning_starts: int,
        log_interval: int | None,
        *collected: int,
    ) -> tuple[int, ...]:
        """Collect in the kernel up to a step that must be taken in Python, or to the end of the rollout.

        :param collected: steps and episodes so far
        :return: the same afterwards
        """
        loop = self._runtime.loop
        while (
            loop
            and should_collect_more_steps(train_freq, *collected)
            and self._acts_natively(learning_starts)
            and (binding := self._binding(self.batch_size))
            and (reached := loop.run(self, binding, callback, train_freq, log_interval, *collected))
        ):
            collected = reached
        return collected

    def _end_episode(self, env_index: int, action_noise: ActionNoise | None, log_interval: int | None) -> None:
        self._episode_num += 1
        if action_noise is not None:
            rollout.reset_noise(action_noise, env_index, self.n_envs)
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
        if not self._runtime.collects:
            super()._store_transition(replay_buffer, buffer_action, new_obs, reward, dones, infos)
            return
        rollout.require_finite(reward, "reward", self.num_timesteps)
        if not isinstance(new_obs, np.ndarray) or self._vec_normalize_env is not None:
            rollout.require_finite(new_obs, "observation", self.num_timesteps)
            super()._store_transition(replay_buffer, buffer_action, new_obs, reward, dones, infos)
            return
        next_obs = rollout.next_observations(new_obs, dones, infos)
        rollout.require_finite(next_obs, "observation", self.num_timesteps)
        if next_obs is not new_obs:
            rollout.require_finite(new_obs, "observation after reset", self.num_timesteps)
        self._last_original_obs = self._last_obs
        replay_buffer.add(self._last_obs, next_obs, buffer_action, reward, dones, infos)  # type: ignore[arg-type]
        self._last_obs = new_obs

    def save(
        self,
        path: saving.SavePath,
        exclude: Iterable[str] | None = None,
        include: Iterable[str] | None = None,
    ) -> None:
        """Save attributes and parameters as SB3 does; an earlier file is replaced when the new one is complete.

        :param path: where to; ``.zip`` is added where there is no suffix. Or a stream
        :param exclude: attributes to leave out beyond those that SB3 leaves out
        :param include: attributes to save although SB3 leaves them out
        """
        with saving.replaced_as_a_whole(path, "zip") as file:
            super().save(file, exclude, include)

    def save_replay_buffer(self, path: saving.SavePath) -> None:
        """Save the replay buffer as SB3 does; an earlier file is replaced when the new one is complete.

        :param path: where to; ``.pkl`` is added where there is no suffix. Or a stream
        """
        with saving.replaced_as_a_whole(path, "pkl", self.verbose) as file:
            super().save_replay_buffer(file)

    @classmethod
    def load(
        cls,
        path: saving.SavePath,
        env: GymEnv | None = None,
        device: th.device | str = "auto",
        custom_objects: dict[str, Any] | None = None,
        print_system_info: bool = False,
        force_reset: bool = True,
        *,
        weights_only: bool = False,
        **kwargs: Any,
    ) -> Self:
        """Load a saved model of SB3's SAC or of TinySAC.

        The zip file holds pickles, and reading one of those runs whatever code is in it: load files of people you
        trust, or with ``weights_only``.

        :param path: the zip file, or a stream
        :param env: the environment to go on in; none is needed to predict
        :param device: of the networks
        :param custom_objects: values for attributes, in place of those in the file
        :param print_system_info: whether to print what the model was saved with
        :param force_reset: whether training begins with a reset of the environment
        :param weights_only: whether to read nothing but parameters and plain settings, and no pickle. ``env`` is needed
            then, and whatever was passed to the constructor that is no number, word, list or dictionary of these, such
            as ``policy_kwargs`` with a class in it.
        :param kwargs: attributes to change, such as ``learning_starts``
        :raises ValueError: with ``weights_only``, when something has to be passed that only a pickle has, or when the
            file is damaged
        """
        if not weights_only:
            return super().load(path, env, device, custom_objects, print_system_info, force_reset, **kwargs)
        env = None if env is None else cls._wrap_env(env, verbose=0)
        stream, custom_objects, kwargs = saving.without_pickles(path, env, custom_objects, kwargs)
        try:
            return super().load(stream, env, device, custom_objects, print_system_info, force_reset, **kwargs)
        except Exception as error:  # whatever numbers, words and tensors from anywhere lead to
            raise ValueError(
                f"the settings or parameters in {path} do not fit together, or not the environment: {error}"
            ) from error

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_runtime"]

    def __getstate__(self) -> dict[str, Any]:
        # Copies and pickles bind a kernel of their own when they first need one.
        return {**self.__dict__, "_runtime": Runtime()}

    def export_policy(self, path: str | os.PathLike[str]) -> float:
        """Write the deterministic policy for RLtools and TinyRL, see :func:`sb3_tinyrl.export.export_policy`.

        :param path: the header
        :return: the largest difference from ``predict``, as a fraction of the action's range
        """
        return export_policy(self, path)

    def export_cpp(self, path: str | os.PathLike[str], namespace: str = "policy") -> float:
        """Write the deterministic policy as dependency-free C++, see :func:`sb3_tinyrl.export.export_cpp`.

        :param path: the header
        :param namespace: of everything in the header
        :return: the largest difference from ``predict``, as a fraction of the action's range
        """
        return export_cpp(self, path, namespace)

    def export_onnx(self, path: str | os.PathLike[str]) -> float:
        """Write the deterministic policy as an ONNX model, see :func:`sb3_tinyrl.export.export_onnx`.

        :param path: the file
        :return: the largest difference from ``predict``, as a fraction of the action's range
        """
        return export_onnx(self, path)
