"""The C interface of compiled checkpoints (``rl_tools/interface/checkpoint/checkpoint.cpp``), called through ctypes."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sb3_tinyrl._native.abi.libraries import Signatures, load_library

#: What ``checkpoint_abi_version`` in ``checkpoint.cpp`` returns when its functions and structures are the ones below.
ABI_VERSION = 1


class _Metadata(ctypes.Structure):
    _fields_ = (
        ("observation_dim", ctypes.c_int64),
        ("output_dim", ctypes.c_int64),
        ("scalar_bytes", ctypes.c_int64),
    )


_SIGNATURES: Signatures = {
    "checkpoint_abi_version": (ctypes.c_uint32, ()),
    "checkpoint_metadata": (None, (ctypes.POINTER(_Metadata),)),
    "checkpoint_evaluate": (None, (ctypes.c_void_p, ctypes.c_void_p)),
}


class CheckpointLibrary:
    """A compiled checkpoint. Several may live side by side.

    :param path: of the shared library
    :raises KernelError: when it can't be loaded, or comes from other sources than ours
    """

    def __init__(self, path: Path) -> None:
        interface = "C interface of checkpoints"
        self._library = load_library(path, "checkpoint", interface, _SIGNATURES, "checkpoint_abi_version", ABI_VERSION)
        metadata = _Metadata()
        self._library.checkpoint_metadata(ctypes.byref(metadata))
        self.observation_dim = int(metadata.observation_dim)
        self.output_dim = int(metadata.output_dim)
        self.dtype = np.dtype(f"f{metadata.scalar_bytes}")

    def evaluate(self, observation: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Evaluate the model.

        :param observation: shape ``(observation_dim,)``
        :return: shape ``(output_dim,)``
        """
        values = np.ascontiguousarray(observation, self.dtype)
        output = np.empty(self.output_dim, self.dtype)
        self._library.checkpoint_evaluate(values.ctypes.data, output.ctypes.data)
        return output
