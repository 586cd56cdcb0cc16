"""From the file of a shared library to functions that ctypes can call."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sb3_tinyrl._native.errors import KernelError
from sb3_tinyrl._native.jit.cache import note_use, remove_unless_used, require_trusted_library
from sb3_tinyrl._native.jit.cache_directory import VARIABLE

STALE_SOURCES = (
    "The first rl_tools on sys.path with interface/sb3/sac.cpp is taken, expected the one beside this sb3_tinyrl; "
    "remove the stale copy."
)

#: Result and arguments of each function, by name.
Signatures = Mapping[str, tuple[Any, tuple[Any, ...]]]


def load_library(path: Path, what: str, signatures: Signatures) -> ctypes.CDLL:
    """Load a compiled library and declare its functions.

    The layouts of the structures that they take were compared when the library was compiled; see ``structs``.

    :param what: names the library in messages
    :raises KernelError: when it can't be loaded, or lacks a function
    :raises UntrustedCacheError: when another user can write to it
    """
    library = _load_trusted(path, what)
    for name, (result, arguments) in signatures.items():
        try:
            function = getattr(library, name)
        except AttributeError as error:
            remove_unless_used(path)
            raise KernelError(
                f"The compiled {what} {path} has no function {name}, so it comes from a folder rl_tools of another "
                f"version. {STALE_SOURCES}"
            ) from error
        function.restype, function.argtypes = result, arguments
    note_use(path)
    return library


def _runs_no_programs(path: Path) -> bool:
    """Whether the file system refuses to run what lies on it."""
    if sys.platform != "linux":
        return False
    try:
        return bool(os.statvfs(path).f_flag & os.ST_NOEXEC)
    except OSError:  # as another process has removed it
        return False


def _load_trusted(path: Path, what: str) -> ctypes.CDLL:
    path = require_trusted_library(path)
    try:
        return ctypes.CDLL(os.fspath(path))
    except OSError as error:
        end = ""
        if _runs_no_programs(path):
            end = f". Its folder is mounted so that no program in it runs (noexec); set {VARIABLE} to another folder"
        elif remove_unless_used(path):
            end = ". It has been removed, so that the next try compiles it anew"
        raise KernelError(f"The compiled {what} {path} can't be loaded: {error}{end}") from error
