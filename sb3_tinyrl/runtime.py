"""The kernel of one model while it lives in this process: build, threads and binding. Never pickled."""

from __future__ import annotations

import os

from stable_baselines3 import SAC

from sb3_tinyrl._native.background import BackgroundBuild
from sb3_tinyrl._native.library import Kernel
from sb3_tinyrl._native.spec import KernelSpec
from sb3_tinyrl.binding import Binding
from sb3_tinyrl.support import kernel_spec

MAX_THREADS = 16


def default_n_threads() -> int:
    """As many threads as the process may use."""
    try:
        available = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this platform
        available = os.cpu_count() or 1
    return min(available, MAX_THREADS)


class Runtime:
    """Builds, loads and binds kernels as a model needs them."""

    def __init__(self) -> None:
        self.collects = False
        """Whether the model's own loop fills the replay buffer in the current call of ``learn``."""
        self._build: BackgroundBuild | None = None
        self._binding: Binding | None = None
        self._last_warning = ""

    def start_build(self, spec: KernelSpec) -> None:
        """Start to compile, or to look up, the kernel for ``spec`` unless that is under way or done."""
        if self._build is None or self._build.spec != spec or not self._build.is_alive:
            self._build = BackgroundBuild(spec)

    def binding(self, model: SAC, batch_size: int, n_threads: int | None) -> Binding:
        """The kernel bound to the model's memory; waits for the build if need be.

        :raises UnsupportedByKernelError: when no kernel can serve the model
        :raises KernelError: when the kernel can't be built or loaded
        """
        n_threads = n_threads or default_n_threads()
        binding = self._binding
        if binding is not None and binding.kernel.serves(batch_size, n_threads) and binding.is_current(model):
            return binding
        spec = kernel_spec(model, batch_size)
        if binding is not None and binding.kernel.spec == spec and binding.kernel.serves(batch_size, n_threads):
            kernel = binding.kernel
        else:
            self.start_build(spec)
            assert self._build is not None
            kernel = Kernel(spec, self._build.result(), n_threads)
        # Dropped first, so that a binding that fails leaves none that writes to memory given up.
        self._binding = None
        self._binding = Binding(model, kernel)
        return self._binding

    def is_new_warning(self, message: str) -> bool:
        """Whether ``message`` differs from the one before: a reason to fall back is told once."""
        is_new, self._last_warning = message != self._last_warning, message
        return is_new
