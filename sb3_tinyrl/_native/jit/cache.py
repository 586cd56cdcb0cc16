"""The folder that keeps compiled kernels, shared by processes that may run, wait, or be killed at any moment.

For each key it holds ``<key>.so``, the library; ``<key>.sha256``, the hash of its contents; ``<key>.lock``,
locked while the library is being built; and meanwhile ``<key>.<random>.build/``, the builder's workspace.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sb3_tinyrl._native.errors import CacheError, KernelBuildError

_VARIABLE = "SB3_TINYRL_CACHE_DIR"
_LIBRARY_SUFFIX = ".dll" if sys.platform == "win32" else ".so"
_WORKSPACE_SUFFIX = ".build"
_SECONDS_BETWEEN_LOOKS = 0.1


def cache_directory() -> Path:
    """Return ``$SB3_TINYRL_CACHE_DIR``, else the user's cache directory; it need not exist yet."""
    if chosen := os.environ.get(_VARIABLE):
        return Path(chosen).expanduser().absolute()
    from platformdirs import user_cache_path  # not needed where the variable is set

    return user_cache_path("sb3_tinyrl", appauthor=False)


def cache_key(ingredients: Mapping[str, object]) -> str:
    """Return a name for the library made of these ingredients (anything JSON can express)."""
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class KernelCache:
    """Compiled kernels in one folder. Methods raise ``CacheError`` when it can't be used."""

    directory: Path

    def find(self, key: str) -> Path | None:
        """Return the library for ``key``, or None if there is none or it is damaged.

        Takes no lock and writes nothing, so a cache that is full of libraries may be read-only.
        """
        library = self._library(key)
        with self._explained():
            try:
                intact = _hash(library) == self._checksum(key).read_bytes()
            except FileNotFoundError:
                return None
        return library if intact else None

    @contextmanager
    def lock(self, key: str, cancelled: threading.Event) -> Iterator[None]:
        """Wait until nobody else, in this or another process, builds ``key``; then keep others waiting.

        The operating system drops the lock of a process that dies.

        :raises KernelBuildError: when ``cancelled`` is set during the wait
        """
        from filelock import FileLock, Timeout  # slow to import, and only needed for building

        lock = FileLock(self._lock(key))
        try:
            with self._explained():
                self.directory.mkdir(parents=True, exist_ok=True)
                while not lock.is_locked:
                    if cancelled.is_set():
                        raise KernelBuildError("cancelled while another process builds the same kernel")
                    with suppress(Timeout):
                        lock.acquire(timeout=_SECONDS_BETWEEN_LOOKS)
            yield
        finally:
            lock.release()

    @contextmanager
    def workspace(self, key: str, files: Mapping[str, str]) -> Iterator[Path]:
        """Provide a new folder with these text files for as long as the context lasts.

        Needs the lock of ``key``. Removes what killed builders left behind, too.
        """
        with self._explained():
            self._remove_abandoned_workspaces(key)
            # A new name each time: the compiler of a killed builder may still be writing to the old folder.
            folder = Path(tempfile.mkdtemp(prefix=f"{key}.", suffix=_WORKSPACE_SUFFIX, dir=self.directory))
        try:
            with self._explained():
                for name, text in files.items():
                    (folder / name).write_text(text, encoding="utf-8")
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, key: str, library: Path) -> Path:
        """Move a library from its workspace to where ``find`` finds it, at once and for everyone.

        Needs the lock of ``key``.
        """
        with self._explained():
            checksum = library.with_suffix(".sha256")
            checksum.write_bytes(_hash(library))
            # Between the two steps the pair does not match, which `find` takes for damage: nobody loads it.
            os.replace(library, self._library(key))
            os.replace(checksum, self._checksum(key))
        return self._library(key)

    def error(self, reason: str) -> CacheError:
        """Return the error that says why the folder cannot be used."""
        return CacheError(
            f"cannot keep compiled kernels in {self.directory}: {reason}. Expected a writable folder on a "
            f"disk with some free megabytes; make it one, or set {_VARIABLE} to another folder"
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self.error(error.strerror or str(error)) from error

    def _library(self, key: str) -> Path:
        return self.directory / f"{key}{_LIBRARY_SUFFIX}"

    def _checksum(self, key: str) -> Path:
        return self.directory / f"{key}.sha256"

    def _lock(self, key: str) -> Path:
        return self.directory / f"{key}.lock"

    def _remove_abandoned_workspaces(self, own_key: str) -> None:
        from filelock import FileLock, Timeout

        for folder in self.directory.glob(f"*{_WORKSPACE_SUFFIX}"):
            key = folder.name.partition(".")[0]
            if key == own_key:  # we hold its lock, so whoever made the folder is gone
                shutil.rmtree(folder, ignore_errors=True)
                continue
            with suppress(Timeout), FileLock(self._lock(key)).acquire(timeout=0):
                shutil.rmtree(folder, ignore_errors=True)


def _hash(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).hexdigest().encode()
