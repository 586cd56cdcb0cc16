"""Soft actor-critic with Stable-Baselines3's interface and a compiled training loop."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from functools import lru_cache
from operator import itemgetter
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch as th
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule
from stable_baselines3.sac.policies import SACPolicy

from sb3_tinyrl import contract, saving, sb3_names
from sb3_tinyrl._native.abi import blas
from sb3_tinyrl._native.abi.blas import Blas
from sb3_tinyrl._native.abi.structs import AdamHyperParameters, HyperParameters
from sb3_tinyrl._native.abi.thread_tuner import available_threads, require_n_threads
from sb3_tinyrl._native.errors import UnsupportedByKernelError
from sb3_tinyrl.contract import training
from sb3_tinyrl.export import QuantizationErrors, export_cpp, export_cpp_int8, export_onnx, export_policy
from sb3_tinyrl.export.calibration import Observations
from sb3_tinyrl.fused_collection import PendingUpdates
from sb3_tinyrl.off_policy import NativeOffPolicy
from sb3_tinyrl.session import KernelSession

sb3_names.require()

KernelChoice = Literal["auto", "native", "torch"]
Backend = Literal["simd", "blas", "mkl", "openblas", "accelerate"]
SelfTinySAC = TypeVar("SelfTinySAC", bound="TinySAC")

_ADAM_VALUES = itemgetter("lr", "betas", "eps", "weight_decay", "decoupled_weight_decay")

_KERNEL_CHOICES = ("auto", "native", "torch")
_BACKENDS = ("simd", "blas", *blas.LIBRARIES)


class TinySAC(NativeOffPolicy, SAC):
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

    :param overlap: whether the gradient steps that follow a rollout are taken while the environment takes the steps of
        the next one, so that a step takes as long as the longer of the two. It changes the algorithm: an action comes
        from the weights before the gradient steps beside it, and their batch lacks the transition that they run beside.
        The results still depend on nothing but the seed. One thread less shares an update by default, which leaves a
        core to the environment.

    The other parameters are those of :class:`stable_baselines3.SAC`.

    :raises ValueError: for a ``kernel``, ``n_threads``, ``backend`` or ``overlap`` that is not one of the above
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
        overlap: bool = False,
    ) -> None:
        self.kernel = kernel
        self.overlap = overlap
        self.n_threads = n_threads
        self.backend = backend
        self._check_kernel_arguments()
        # The state of the kernel's random numbers; plain numbers, so that any SB3 can read the zip file.
        self._kernel_key: int | None = None
        self._n_sampled_batches = 0
        self._n_sampled_actions = 0
        self._session = KernelSession()
        self._fused_loop = None
        self._pending = None
        self._is_after_rollout = False
        self._beside = None
        self._told = set()
        self._device_is_auto = device == "auto"
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
        require_n_threads(self.n_threads)
        if self.backend is not None and self.backend not in _BACKENDS:
            raise ValueError(f"backend={self.backend!r}; expected one of {', '.join(map(repr, _BACKENDS))}, or None")
        if not isinstance(self.overlap, bool):
            raise ValueError(f"overlap={self.overlap!r}; expected True or False")
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

    def _n_threads(self) -> int | None:
        if self.overlap and self.n_threads is None:
            return max(1, available_threads() - 1)
        return self.n_threads

    def _setup_model(self) -> None:
        on_gpu = self.device
        if self._device_is_auto and self.kernel != "torch":
            self.device = th.device("cpu")
        super()._setup_model()
        if self.device == on_gpu:
            return
        try:
            contract.require_training(self)
            if self.verbose >= 1:
                print(f'On the CPU, where the kernel trains this model; pass device="{on_gpu.type}" for the GPU')
        except UnsupportedByKernelError:
            # No kernel will serve this model: it belongs where SB3 would have put it.
            self.device, self.replay_buffer = on_gpu, None
            super()._setup_model()

    def learn(
        self: SelfTinySAC,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 4,
        tb_log_name: str = "SAC",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> SelfTinySAC:
        """Train for some steps of the environment, see :meth:`stable_baselines3.SAC.learn`.

        :param total_timesteps: steps of all environments together
        :param callback: called at each step
        :param log_interval: log each so many episodes
        :param tb_log_name: name of the run for TensorBoard
        :param reset_num_timesteps: whether to count from 0
        :param progress_bar: whether to show one
        :return: the model
        """
        self._check_kernel_arguments()  # ``load`` sets attributes past the constructor
        is_over = reset_num_timesteps or self._pending is None  # pending are those of another run, or none
        self._pending = None if is_over else PendingUpdates.read(self._pending)
        with self._session.learning():
            super().learn(total_timesteps, callback, log_interval, tb_log_name, reset_num_timesteps, progress_bar)
        if self.verbose >= 1:
            n_steps = self.num_timesteps - self._num_timesteps_at_start
            seconds = max((time.time_ns() - self.start_time) / 1e9, sys.float_info.epsilon)
            print(f"TinySAC took {n_steps:,} steps in {seconds:.1f} s, {n_steps / seconds:,.0f} steps/s")
        return self

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_device_is_auto", "_is_after_rollout", "_beside"]

    def _kernel_hyper_parameters(self) -> HyperParameters:
        if self.target_update_interval == 0:
            raise ZeroDivisionError("target_update_interval is 0, expected at least 1 gradient step")
        learns = training.learns_entropy_coefficient(self)
        groups = [optimizer.param_groups[0] for optimizer in self._trained_optimizers()]
        return _hyper_parameters(
            tuple(map(_ADAM_VALUES, groups)),
            float(self.gamma),
            float(self.tau),
            float(self.target_entropy),
            0.0 if learns else float(self.ent_coef_tensor.item()),
            int(self.target_update_interval),
        )

    def _record_losses(self, losses: npt.NDArray[np.float64]) -> None:
        means = losses[0] if len(losses) == 1 else losses.mean(axis=0)
        ent_coef, ent_coef_loss, critic_loss, actor_loss = means.tolist()
        record = self.logger.record
        record("train/n_updates", self._n_updates, exclude="tensorboard")
        record("train/ent_coef", ent_coef)
        record("train/actor_loss", actor_loss)
        record("train/critic_loss", critic_loss)
        if training.learns_entropy_coefficient(self):
            record("train/ent_coef_loss", ent_coef_loss)

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
        cls: type[SelfTinySAC],
        path: saving.SavePath,
        env: GymEnv | None = None,
        device: th.device | str = "auto",
        custom_objects: dict[str, Any] | None = None,
        print_system_info: bool = False,
        force_reset: bool = True,
        *,
        weights_only: bool = False,
        **kwargs: Any,
    ) -> SelfTinySAC:
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
        stream, custom_objects, kwargs, limit = saving.without_pickles(path, env, custom_objects, kwargs)
        try:
            with limit:
                return super().load(stream, env, device, custom_objects, print_system_info, force_reset, **kwargs)
        except Exception as error:  # whatever numbers, words and tensors from anywhere lead to
            raise ValueError(
                f"the settings or parameters in {path} do not fit together, or not the environment: {error}"
            ) from error

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

    def export_cpp_int8(
        self, path: str | os.PathLike[str], namespace: str = "policy", calibration: Observations | None = None
    ) -> QuantizationErrors:
        """Write the deterministic policy as C++ in integers, see :func:`sb3_tinyrl.export.export_cpp_int8`.

        :param path: the header
        :param namespace: of everything in the header
        :param calibration: observations as the environment gives them, shape ``(n, *observation_shape)``; by default
            those of the replay buffer
        :return: the differences from ``predict``, as fractions of the action's range
        """
        return export_cpp_int8(self, path, namespace, calibration)

    def export_onnx(self, path: str | os.PathLike[str]) -> float:
        """Write the deterministic policy as an ONNX model, see :func:`sb3_tinyrl.export.export_onnx`.

        :param path: the file
        :return: the largest difference from ``predict``, as a fraction of the action's range
        """
        return export_onnx(self, path)


_AdamValues = tuple[float, tuple[float, float], float, float, bool]


@lru_cache(maxsize=8)  # the same for most calls, and a structure takes longer to fill than a look-up
def _hyper_parameters(
    adam: tuple[_AdamValues, ...],
    gamma: float,
    tau: float,
    target_entropy: float,
    entropy_coefficient: float,
    target_update_interval: int,
) -> HyperParameters:
    """The structure for the kernel.

    :param adam: of the actor, the critics and, where it is learned, the entropy coefficient
    """
    optimizers = [
        AdamHyperParameters(
            learning_rate=learning_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            weight_decay=weight_decay,
            decoupled_weight_decay=decoupled,
        )
        for learning_rate, (beta_1, beta_2), epsilon, weight_decay, decoupled in adam
    ]
    return HyperParameters(
        actor_optimizer=optimizers[0],
        critic_optimizer=optimizers[1],
        entropy_coefficient_optimizer=optimizers[-1],
        gamma=gamma,
        tau=tau,
        target_entropy=target_entropy,
        entropy_coefficient=entropy_coefficient,
        target_update_interval=target_update_interval,
    )
