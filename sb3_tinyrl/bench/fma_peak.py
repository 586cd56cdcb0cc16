"""The most that the machine's FMA units can do, as measured by a small C++ program."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

from sb3_tinyrl._native.errors import KernelBuildError
from sb3_tinyrl._native.jit.compiler import find_compiler
from sb3_tinyrl._native.jit.headers import find_headers

_SOURCE = Path(__file__).with_name("fma_peak.cpp")
_SECONDS = 0.2


class FmaPeak:
    """Measures when called. Compiled with the compiler and the flags of the kernels.

    :param folder: where the compiled program goes
    :param n_threads: how many run at once
    :raises CompilerNotFoundError: without a compiler
    :raises KernelBuildError: when it fails
    """

    def __init__(self, folder: Path, n_threads: int) -> None:
        library = folder / "fma_peak.so"
        command = find_compiler().library_command(
            _SOURCE, library, includes=(find_headers().include_root,), system_includes=()
        )
        compilation = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if compilation.returncode != 0:
            raise KernelBuildError(
                f"the C++ compiler failed on {_SOURCE.name}, expected one that knows GCC's flags; choose another "
                f"one with $CXX. It said:\n{compilation.stderr}"
            )
        self._function = ctypes.CDLL(str(library)).fma_peak
        self._function.argtypes, self._function.restype = (ctypes.c_int, ctypes.c_double), ctypes.c_double
        self._n_threads = n_threads

    def __call__(self) -> float:
        """Return floating-point operations per second, of all threads together."""
        return float(self._function(self._n_threads, _SECONDS))
