"""What the kernel draws for a gradient step, from a library of its own: production kernels do not tell."""

from __future__ import annotations

import ctypes
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sb3_tinyrl._native.abi.libraries import load_library
from sb3_tinyrl._native.abi.specs import KernelSpec
from sb3_tinyrl._native.abi.structs import Engine, ReplayBufferView
from sb3_tinyrl._native.jit.build import build

MAX_DIM = 32  # as in draw.cpp
ACTION_NOISE, NEXT_ACTION_NOISE, NOISE_MATRIX = 1, 2, 4
"""Values of ``Stream`` in ``rl_tools/random/philox/philox.h``."""

_ENGINE = ctypes.POINTER(Engine)
_SIGNATURES = {
    "draw_transitions": (
        None,
        (ctypes.POINTER(ReplayBufferView), _ENGINE, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p),
    ),
    **{
        f"draw_normal_{scalar}": (None, (_ENGINE, ctypes.c_uint32, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p))
        for scalar in ("float32", "float64")
    },
}


class _DrawSpec:
    """The library, for the kernels' own build and cache."""

    source = str(Path(__file__).with_name("rl_tools") / "draw.cpp")
    advice = "draw.cpp is a test's; mend it."
    folder = None

    def summary(self) -> str:
        """Return what it is called."""
        return "a test's draws"

    def header(self) -> str:
        """Return nothing but what has the cache notice an edited source."""
        return f"// {sha256(Path(self.source).read_bytes()).hexdigest()}\n"


@cache
def _library() -> ctypes.CDLL:
    return load_library(build(_DrawSpec()), "library of draw.cpp", _SIGNATURES)


def draw(
    spec: KernelSpec, buffer: ReplayBufferView, key: int, counter: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], list[npt.NDArray[Any]]]:
    """What the gradient step with this key and counter draws.

    :return: rows and environments of the transitions, shape ``(batch_size,)``; standard normal noise: of actions
        and of next actions, shape ``(batch_size, action_dim)`` each, or with ``use_sde`` that of the matrix, shape
        ``(latent_dim, action_dim)``
    """
    assert spec.action_dim <= MAX_DIM, f"draw.cpp draws vectors of {MAX_DIM} at most; raise MAX_DIM in both files"
    engine = ctypes.byref(Engine(key=key, counter=counter))
    rows, environments = np.empty((2, spec.batch_size), np.int64)
    _library().draw_transitions(
        ctypes.byref(buffer), engine, spec.batch_size, rows.ctypes.data, environments.ctypes.data
    )
    n = spec.latent_dim if spec.use_sde else spec.batch_size
    noise = []
    for stream in [NOISE_MATRIX] if spec.use_sde else [ACTION_NOISE, NEXT_ACTION_NOISE]:
        noise.append(np.empty((n, spec.action_dim), spec.scalar_type))
        draw_normal = getattr(_library(), f"draw_normal_{spec.scalar_type}")
        draw_normal(engine, stream, n, spec.action_dim, noise[-1].ctypes.data)
    return rows, environments, noise
