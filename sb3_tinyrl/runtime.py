"""The kernel of one model while it lives in this process: build, threads and binding. Never pickled."""

from __future__ import annotations

from stable_baselines3 import SAC

from sb3_tinyrl._native.abi.blas import Blas
from sb3_tinyrl._native.abi.kernel import Kernel
from sb3_tinyrl._native.abi.specs import KernelSpec
from sb3_tinyrl._native.abi.structs import AdamHyperParameters, HyperParameters
from sb3_tinyrl._native.errors import KernelError
from sb3_tinyrl._native.jit.build import find
from sb3_tinyrl._native.jit.jobs import BackgroundBuild
from sb3_tinyrl.binding import ActorBinding, Binding
from sb3_tinyrl.native_loop import NativeLoop
from sb3_tinyrl.support import kernel_spec

AdamValues = tuple[float, tuple[float, float], float, float, bool]
_OTHER_HYPER_PARAMETERS = ("gamma", "tau", "target_entropy", "entropy_coefficient", "target_update_interval")


def _adam_hyper_parameters(
    rate: float, betas: tuple[float, float], epsilon: float, weight_decay: float, is_decoupled: bool
) -> AdamHyperParameters:
    return AdamHyperParameters(
        learning_rate=rate,
        beta_1=betas[0],
        beta_2=betas[1],
        epsilon=epsilon,
        weight_decay=weight_decay,
        decoupled_weight_decay=is_decoupled,
    )


class Runtime:
    """Builds, loads and binds kernels as a model needs them."""

    def __init__(self) -> None:
        self.collects = False
        """Whether the model's own loop fills the replay buffer in the current call of ``learn``."""
        self.loop: NativeLoop | None = None
        """What takes steps without Python in the current call of ``learn``, where the environments are native."""
        self._build: BackgroundBuild | None = None
        self._binding: Binding | None = None
        self._actor_binding: ActorBinding | None = None
        self._may_find_kernel = True
        self._hyper_parameters: HyperParameters | None = None
        self._hyper_parameter_values: tuple[tuple[AdamValues, ...], tuple[float, ...]] = (), ()
        self._last_warning = ""

    def prepare(self, model: SAC, batch_size: int, blas: Blas | None) -> None:
        """Start to compile, or to look up, the kernel that a run of ``learn`` will need.

        :raises UnsupportedByKernelError: when no kernel can serve the model, or none any more
        """
        # Dropped first: a frozen parameter, say, moves no memory, and the binding would go on to train it.
        binding, self._binding = self._binding, None
        spec = kernel_spec(model, batch_size, blas is not None)
        self._binding = binding
        if self._build is not None and self._build.has_failed:
            self._build = None  # The user may have mended what was wrong.
        self._start_build(spec)

    def _start_build(self, spec: KernelSpec) -> None:
        if self._build is None or self._build.spec != spec or not self._build.is_alive:
            self._build = BackgroundBuild(spec)

    def binding(self, model: SAC, batch_size: int, n_threads: int | None, blas: Blas | None) -> Binding:
        """The kernel bound to the model's memory; waits for the build if need be.

        :raises UnsupportedByKernelError: when no kernel can serve the model
        :raises KernelError: when the kernel can't be built or loaded
        """
        binding = self._binding
        if binding is not None and binding.kernel.serves(batch_size, n_threads, blas) and binding.is_current(model):
            return binding
        spec = kernel_spec(model, batch_size, blas is not None)
        if binding is not None and binding.kernel.spec == spec and binding.kernel.serves(batch_size, n_threads, blas):
            kernel = binding.kernel
        else:
            self._start_build(spec)
            assert self._build is not None
            kernel = Kernel(spec, self._build.result(), n_threads, blas)
        # Dropped first, so that a binding that fails leaves none that writes to memory given up.
        self._binding = None
        self._binding = Binding(model, kernel)
        self._actor_binding = None
        return self._binding

    def binding_that_acts(self, model: SAC) -> Binding | None:
        """The binding so far if its actor is the model's, which takes less time to see than all that training needs."""
        binding = self._binding
        return binding if binding is not None and binding.acts_for(model) else None

    def predicting_kernel(self, model: SAC) -> Kernel | None:
        """A kernel that acts for the model, if there is one without compiling or waiting.

        A model that has not been trained in this process gets one if the cache has it.
        """
        binding = self._binding or self._actor_binding or self._found_binding(model)
        return binding.kernel if binding is not None and binding.acts_for(model) else None

    def _found_binding(self, model: SAC) -> ActorBinding | None:
        if self._may_find_kernel and self._build is None:
            self._may_find_kernel = False
            try:
                spec = kernel_spec(model, model.batch_size)
                if library := find(spec):
                    self._actor_binding = ActorBinding(model, Kernel(spec, library, n_threads=1))
            except KernelError:
                pass  # Stable-Baselines3 predicts without one.
        return self._actor_binding

    def hyper_parameters(self, adam: tuple[AdamValues, ...], *others: float) -> HyperParameters:
        """The structure for the kernel, made anew only when a value has changed.

        :param adam: learning rate, betas, epsilon, weight decay, and whether that is decoupled; of the actor, the
            critics and, where it is learned, the entropy coefficient
        :param others: the other fields, in their order
        """
        if self._hyper_parameters is None or self._hyper_parameter_values != (adam, others):
            actor, critic, *entropy_coefficient = (_adam_hyper_parameters(*values) for values in adam)
            self._hyper_parameters = HyperParameters(
                actor_optimizer=actor,
                critic_optimizer=critic,
                entropy_coefficient_optimizer=(entropy_coefficient or [actor])[0],
                **dict(zip(_OTHER_HYPER_PARAMETERS, others, strict=True)),
            )
            self._hyper_parameter_values = adam, others
        return self._hyper_parameters

    def is_new_warning(self, message: str) -> bool:
        """Whether ``message`` differs from the one before: a reason to fall back is told once."""
        is_new, self._last_warning = message != self._last_warning, message
        return is_new
