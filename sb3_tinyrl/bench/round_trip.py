"""How long two threads take to answer each other, as measured by a small C++ program.

Each phase of a gradient step ends with such an answer, and its data go the same way. A host may move the cores of a
virtual machine apart and together again, which changes this several times over while the FMA peak stays.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

from sb3_tinyrl.bench.probe import compiled

_SECONDS = 0.1  # so long that the threads get a core each


class RoundTrip:
    """Measures when called.

    :param folder: where the compiled program goes
    :raises CompilerNotFoundError: without a compiler
    :raises KernelBuildError: when it fails
    """

    def __init__(self, folder: Path) -> None:
        self._function = compiled("round_trip", folder, ctypes.c_double)

    def __call__(self) -> float:
        """Return the seconds from one thread's message to its sight of the answer."""
        return float(self._function(_SECONDS))
