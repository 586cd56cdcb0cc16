"""The kernel in the life of a model: when it is made, when SB3 takes over, and how it acts and predicts."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.type_aliases import MaybeCallback
from stable_baselines3.common.vec_env import VecEnv

from sb3_tinyrl import memory
from sb3_tinyrl._native.abi.blas import Blas
from sb3_tinyrl._native.abi.structs import Engine
from sb3_tinyrl._native.abi.thread_tuner import available_threads
from sb3_tinyrl._native.errors import BlasError, KernelError, UnsupportedByKernelError, UntrustedCacheError
from sb3_tinyrl._native.jit.compiler import known_instruction_set
from sb3_tinyrl.environments.vec_env import as_native_vec_env
from sb3_tinyrl.fused_loop import FusedLoop
from sb3_tinyrl.observations import features, joined_entries, require_finite
from sb3_tinyrl.session import Bound, KernelSession
from sb3_tinyrl.status import KernelStatus, text_outputs, write_line

_LIBRARIES = ("sb3_tinyrl.", "stable_baselines3.")

if TYPE_CHECKING:
    Base = SAC  # the one algorithm there is so far
else:
    Base = OffPolicyAlgorithm


class NativeActor(Base):
    """A model with a kernel: falls back to SB3 where none serves, acts and predicts natively where one does."""

    kernel: str
    _session: KernelSession
    _fused_loop: FusedLoop | None
    _told: set[str]
    _kernel_key: int | None
    _n_sampled_batches: int
    _n_sampled_actions: int

    def _blas(self) -> Blas | None:
        """What computes the kernel's matrix products, or ``None`` for the kernel itself."""
        raise NotImplementedError

    def _n_threads(self) -> int | None:
        """Threads for an update, ``None`` for as many as turn out to be fastest."""
        raise NotImplementedError

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
        outputs = text_outputs(self.logger)
        if self.verbose >= 1 or outputs:
            line = f"TinySAC {self.kernel_status()}"
            for output in outputs:
                write_line(output, line, self.num_timesteps)
            if self.verbose >= 1:
                print(line)
        return prepared

    def _bound(self, batch_size: int) -> Bound | None:
        """The kernel bound to this model's memory, or ``None`` where SB3's own update serves."""
        if self.kernel == "torch":
            return None
        try:
            bound = self._session.for_training(self, batch_size, self._n_threads(), self._blas())
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
        self._tell(f"TinySAC trains through Stable-Baselines3's PyTorch update: {error}")

    def _tell(self, message: str) -> None:
        """Warn of what becomes of the model, once."""
        if message not in self._told:
            self._told.add(message)
            warnings.warn(message, UserWarning, stacklevel=5)

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
            is_new = self._session.is_kernel_new()
        except KernelError as error:
            return KernelStatus(False, str(error))
        if self._session.reason is not None:
            return KernelStatus(False, self._session.reason)
        backend = "simd" if blas is None else blas.name
        if bound is None:
            n_threads = self._n_threads() or available_threads()
            return KernelStatus(True, None, backend, n_threads, None, known_instruction_set(), is_new)
        n_threads, batches = bound.kernel.largest_n_threads, bound.replay.description
        return KernelStatus(True, None, backend, n_threads, batches, known_instruction_set(), is_new)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_session", "_fused_loop", "_told"]

    def __getstate__(self) -> dict[str, Any]:
        # Copies and pickles bind a kernel of their own, in a session of their own, when they first need one.
        return {**self.__dict__, "_fused_loop": None, "_beside": None}

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
        action_space = self.action_space
        assert isinstance(action_space, spaces.Box)
        rows = self._rows(observation)
        if rows is None:
            return None
        observations, is_batch = rows
        try:
            kernel = self._session.for_predicting(self)
        except UntrustedCacheError as error:
            if self.kernel == "native":
                raise
            self._tell(f"TinySAC predicts without a kernel: {error}")
            return None
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

    def _rows(self, observation: object) -> tuple[npt.NDArray[Any], bool] | None:
        """Observations for the kernel along a first axis, and whether they had it.

        :return: ``None`` for an error, whose message is SB3's, and for what only SB3's extractor can flatten
        """
        space = self.observation_space
        if isinstance(space, spaces.Dict):
            return joined_entries(observation, space, getattr(self.actor.features_extractor, "extractors", ()))
        if type(observation) is not np.ndarray or not isinstance(space, spaces.Box):
            return None
        shape = space.shape
        is_batch = observation.ndim > len(shape)
        observations = observation if is_batch else observation[np.newaxis]
        if observations.shape[1:] != shape or (len(shape) == 3 and is_image_space(space)):
            return None  # of images, channels may have to be moved
        return observations, is_batch

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
        rows = self._rows(observations)
        if rows is not None:
            observations = rows[0]
        elif not isinstance(self.observation_space, spaces.Box):
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
        own, cls = self.__dict__, type(self)
        for name in methods:
            # The globals, as a decorator may have copied the name of the module.
            written_in = getattr(getattr(cls, name), "__globals__", {}).get("__name__", "")
            if name in own or not written_in.startswith(_LIBRARIES):
                return True
        return False
