"""Where compiled kernels are kept: where the user says, in the user's cache directory, or among temporary files."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import warnings
from functools import cache
from pathlib import Path

from sb3_tinyrl._native.errors import CacheError
from sb3_tinyrl._native.jit.trust import UntrustedError, make_private_folder, require_trusted_folder

VARIABLE = "SB3_TINYRL_CACHE_DIR"
"""The environment variable that names the folder."""


def cache_directory() -> Path:
    """Return ``$SB3_TINYRL_CACHE_DIR``, else the user's cache directory, without symbolic links on the way to it.

    It need not exist yet. Where the user has no home, or one that nothing can be written to, it is a private folder
    among the temporary ones, and a ``UserWarning`` says so, once in a process.

    :raises CacheError: when there is no such folder
    """
    if chosen := os.environ.get(VARIABLE):
        try:
            return Path(chosen).expanduser().resolve()
        except (RuntimeError, OSError) as error:
            raise CacheError(f"${VARIABLE} is {chosen!r}, which can't be found: {error}; set it to a folder") from error
    from platformdirs import user_cache_path  # not needed where the variable is set

    try:
        folder = user_cache_path("sb3_tinyrl", appauthor=False)
        if folder.is_absolute():
            folder = folder.resolve()
            existing = next(path for path in (folder, *folder.parents) if path.exists())
            if existing == folder or os.access(existing, os.W_OK | os.X_OK):
                return folder
    except (RuntimeError, KeyError, OSError):
        pass  # This user has no home, or may not look into it.
    if sys.platform == "win32":
        return _temporary_directory(0)  # users have folders of their own there for temporary files
    return _temporary_directory(os.getuid())


@cache
def _temporary_directory(user: int) -> Path:
    try:
        folder = Path(tempfile.gettempdir()).resolve() / f"sb3_tinyrl-{user}"
        try:
            make_private_folder(folder)
            require_trusted_folder(folder)
        except (UntrustedError, OSError):  # Another user was there first.
            folder = Path(tempfile.mkdtemp(prefix="sb3_tinyrl-")).resolve()
            atexit.register(_remove_in_process, os.getpid(), folder)
    except OSError as error:
        raise CacheError(
            f"there is no folder for compiled kernels: this user has no home that can be written to, nor temporary "
            f"files ({error.strerror or error}); set {VARIABLE} to a folder"
        ) from error
    warnings.warn(
        f"This user has no home that can be written to: compiled kernels are kept in {folder}. Set {VARIABLE} to a "
        "folder that lasts.",
        UserWarning,
        stacklevel=2,
    )
    return folder


def _remove_in_process(process_id: int, folder: Path) -> None:
    if os.getpid() == process_id:  # not in a forked child that ends
        shutil.rmtree(folder, ignore_errors=True)
