"""The most that the machine's FMA units can do, as measured by a small C++ program."""

from __future__ import annotations

import ctypes
from pathlib import Path

from sb3_tinyrl.bench.probe import compiled

_SECONDS = 0.2


class FmaPeak:
    """Measures when called.

    :param folder: where the compiled program goes
    :param n_threads: how many run at once
    :raises CompilerNotFoundError: without a compiler
    :raises KernelBuildError: when it fails
    """

    def __init__(self, folder: Path, n_threads: int) -> None:
        self._function = compiled("fma_peak", folder, ctypes.c_int, ctypes.c_double)
        self._n_threads = n_threads

    def __call__(self) -> float:
        """Return floating-point operations per second, of all threads together."""
        return float(self._function(self._n_threads, _SECONDS))
