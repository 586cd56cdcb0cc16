"""The C interface of compiled checkpoints (``rl_tools/interface/checkpoint/checkpoint.cpp``), called through ctypes."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sb3_tinyrl._native.abi.libraries import Signatures, load_library
from sb3_tinyrl._native.abi.structs import CheckpointMetadata

_SIGNATURES: Signatures = {
    "checkpoint_metadata": (None, (ctypes.POINTER(CheckpointMetadata),)),
    "checkpoint_evaluate": (None, (ctypes.c_void_p, ctypes.c_void_p)),
}


class CheckpointLibrary:
    """A compiled checkpoint. Several may live side by side.

    :param path: of the shared library
    :raises KernelError: when it can't be loaded, or comes from other sources than ours
    """

    def __init__(self, path: Path) -> None:
        self._library = load_library(path, "checkpoint", _SIGNATURES)
        metadata = CheckpointMetadata()
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
