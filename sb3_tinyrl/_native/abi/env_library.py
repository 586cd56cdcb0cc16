"""The library of compiled environments (``rl_tools/interface/environment/environment.cpp``): its functions, in C.

ctypes releases the GIL during each call.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

from sb3_tinyrl._native.abi.libraries import Signatures, load_library
from sb3_tinyrl._native.abi.structs import EnvironmentMetadata, StepResults

#: By the values of ``Flaw`` in ``episode.h``.
FLAWS = {
    1: "observe() leaves elements of the observation unset: it declares more of them than it writes",
    2: "observe() writes beyond the observation: it declares fewer elements than it writes",
}

#: By the values of ``Function`` in ``episode.h``.
FUNCTIONS = (
    "",
    "init",
    "sample_initial_parameters or initial_parameters",
    "sample_initial_state or initial_state",
    "step",
    "reward",
    "terminated",
    "observe",
    "visit_parameters",
    "visit_state",
    "visit_info",
    "the constructor State, Parameters or Environment",
)

_SIGNATURES: Signatures = {
    "environment_metadata": (None, (ctypes.POINTER(EnvironmentMetadata),)),
    "environment_bounds": (None, (ctypes.c_void_p,) * 4),
    "environment_create": (ctypes.c_void_p, (ctypes.c_int64,)),
    "environment_destroy": (None, (ctypes.c_void_p,)),
    "environment_check": (ctypes.c_int32, (ctypes.c_void_p,)),
    "environment_episodes": (ctypes.c_void_p, (ctypes.c_void_p,)),
    "environment_describe": (ctypes.c_int32, (ctypes.c_void_p,)),
    "environment_field": (
        ctypes.c_char_p,
        (ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64, ctypes.POINTER(ctypes.c_int64)),
    ),
    "environment_read": (ctypes.c_int32, (ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p)),
    "environment_fix": (
        None,
        (ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p),
    ),
    "environment_ended": (None, (ctypes.c_void_p, ctypes.c_void_p)),
    "environment_seed": (None, (ctypes.c_void_p, ctypes.c_int64, ctypes.c_uint64)),
    "environment_failure": (ctypes.c_char_p, (ctypes.c_void_p, ctypes.POINTER(ctypes.c_int32))),
    "environment_reset": (
        ctypes.c_int32,
        (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int64)),
    ),
    "environment_step": (
        ctypes.c_int32,
        (
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_int64,
            ctypes.c_int32,
            ctypes.POINTER(StepResults),
            ctypes.POINTER(ctypes.c_int64),
        ),
    ),
}


def load_environment(path: Path) -> ctypes.CDLL:
    """Load a compiled environment and declare its functions.

    :raises KernelError: when it can't be loaded, or comes from other sources than ours
    """
    return load_library(path, "environment", _SIGNATURES)
