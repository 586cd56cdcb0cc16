"""From the file of a shared library to functions that ctypes can call."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sb3_tinyrl._native.errors import KernelError
from sb3_tinyrl._native.jit.cache import note_use, remove_unless_used, require_trusted_library

#: Result and arguments of each function, by name.
Signatures = Mapping[str, tuple[Any, tuple[Any, ...]]]


def load_library(
    path: Path, what: str, interface: str, signatures: Signatures, version_function: str, expected_version: int
) -> ctypes.CDLL:
    """Load a compiled library and declare its functions.

    :param what: names the library in messages
    :param interface: names its interface in messages
    :param version_function: the one among ``signatures`` that tells the version of the interface
    :param expected_version: the version that ``signatures`` describe
    :raises KernelError: when it can't be loaded, or comes from other sources than ours
    :raises UntrustedCacheError: when another user can write to it
    """
    library = _load_trusted(path, what)
    try:
        for name, (result, arguments) in signatures.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        version = getattr(library, version_function)()
    except AttributeError:
        version = None
    if version != expected_version:
        remove_unless_used(path)
        raise KernelError(
            f"The folder rl_tools is not the one of this sb3_tinyrl: its {interface} has version {version}, expected "
            f"{expected_version}. The first rl_tools on sys.path with interface/sb3/sac.cpp is taken; remove the stale "
            "copy."
        )
    note_use(path)
    return library


def _load_trusted(path: Path, what: str) -> ctypes.CDLL:
    path = require_trusted_library(path)
    try:
        return ctypes.CDLL(os.fspath(path))
    except OSError as error:
        end = ". It has been removed, so that the next try compiles it anew" if remove_unless_used(path) else ""
        raise KernelError(f"The compiled {what} {path} can't be loaded: {error}{end}") from error
