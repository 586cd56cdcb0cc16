"""The folder that keeps compiled kernels, shared by processes that may run, wait, or be killed at any moment.

For each key it holds ``<key>.so``, the library; ``<key>.json``, the hash of its contents and what it is for, modified
when the library is loaded; ``<key>.lock``, locked while the library is being built; and meanwhile
``<key>.<machine>.<random>.build/``, the builder's workspace. ``<key>.<random>.held`` was replaced while a process had
it loaded.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shlex
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from sb3_tinyrl._native.errors import CacheError, KernelBuildError, UntrustedCacheError
from sb3_tinyrl._native.jit.cache_directory import VARIABLE
from sb3_tinyrl._native.jit.description import NEVER, file_hash, read_description, write_description
from sb3_tinyrl._native.jit.locks import LOCK_MODE, has_locks
from sb3_tinyrl._native.jit.replacing import HELD_SUFFIX, replace
from sb3_tinyrl._native.jit.trust import UntrustedError, make_private_folder, open_trusted, require_trusted_folder

_SIZE_VARIABLE = "SB3_TINYRL_CACHE_SIZE"
_DEFAULT_SIZE = "2G"
_SIZE = re.compile(r"(\d+(?:\.\d*)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_LIBRARY_SUFFIX = ".dll" if sys.platform == "win32" else ".so"
_WORKSPACE_SUFFIX = ".build"
_SECONDS_BETWEEN_LOOKS = 0.1
_FILE_MODE = 0o644  # whatever the umask
#: Of this machine, in the names of workspaces.
_MACHINE = re.sub("[^0-9A-Za-z]", "-", socket.gethostname())
#: No compiler takes that long. Locks do not tell of builders on other machines.
_SECONDS_UNTIL_ABANDONED = 86400
#: Libraries this new are not removed to make room: the process that has asked for them may be about to load them.
_SECONDS_IN_USE = 600
#: What names our files, today and in earlier versions: a folder that a user chose may hold others.
_KEY = re.compile(r"[0-9a-f]{40}-[0-9a-f]{16}|[0-9a-f]{64}")


def cache_size_limit() -> int:
    """Return the bytes that libraries may take up together, from ``$SB3_TINYRL_CACHE_SIZE``.

    :raises CacheError: when that is no size
    """
    text = os.environ.get(_SIZE_VARIABLE) or _DEFAULT_SIZE
    try:
        return parse_size(text)
    except ValueError as error:
        raise CacheError(f"${_SIZE_VARIABLE} is {text!r}, {error}") from error


def parse_size(text: str) -> int:
    """Return a number of bytes, written as ``1000``, ``500M`` or ``1.5 GiB``; units are powers of 1024.

    :raises ValueError: when it is not written so
    """
    match = _SIZE.fullmatch(text.strip())
    size = float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " ") if match else math.inf
    if math.isinf(size):
        raise ValueError("expected a number of bytes, or one with a unit, such as 500M or 2G")
    return int(size)


def digest_of(ingredients: Mapping[str, object]) -> str:
    """Return a hash over ingredients (anything JSON can express)."""
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()


def cache_key(content: Mapping[str, object], compiler: Mapping[str, object]) -> str:
    """Return a name for the library made of this content by this compiler."""
    return f"{content_key(content)}-{digest_of(compiler)[:16]}"


def content_key(content: Mapping[str, object]) -> str:
    """Return what the names of all libraries made of this content begin with, whichever compiler made them."""
    return digest_of(content)[:40]


@dataclass(frozen=True)
class Entry:
    """A library in the cache.

    :param key: its name without the suffix
    :param size: in bytes
    :param built: when it was compiled, in seconds since the epoch
    :param used: when it was last loaded, 0 for never; as far as the folder can be written to
    :param purpose: what it was compiled for
    """

    key: str
    size: int
    built: float
    used: float
    purpose: str

    @property
    def last_needed(self) -> float:
        """When it was last loaded, or built if that was later, in seconds since the epoch."""
        return max(self.used, self.built)


@dataclass(frozen=True)
class KernelCache:
    """Compiled kernels in one folder. Methods raise ``CacheError`` when it can't be used or trusted.

    :param directory: without symbolic links on the way to it
    """

    directory: Path

    def require_usable(self) -> None:
        """Make the folder if there is none, and see whether libraries can be kept in it."""
        with self._explained():
            make_private_folder(self.directory)
            require_trusted_folder(self.directory)
            with tempfile.TemporaryFile(dir=self.directory):
                pass

    def find(self, key: str) -> Path | None:
        """Return the library for ``key``, or None if there is none or it is damaged.

        Takes no lock and writes nothing, so a cache that is full of libraries may be read-only.
        """
        library = self._library(key)
        with self._explained():
            try:
                require_trusted_folder(self.directory)
                description = read_description(self._description(key))
                with open(open_trusted(library), "rb") as file:
                    is_intact = description is not None and file_hash(file) == description.sha256
            except FileNotFoundError:
                return None
        return library if is_intact else None

    def find_any(self, content: str) -> Path | None:
        """Return the library made of this content that was used last, by whichever compiler it was made."""
        for entry in sorted(self.entries(content), key=lambda entry: (entry.used, entry.built), reverse=True):
            if library := self.find(entry.key):
                return library
        return None

    @contextmanager
    def lock(self, key: str, cancelled: threading.Event, seconds: float) -> Iterator[None]:
        """Wait until nothing else, in this or another process, builds ``key``; then keep others waiting.

        The operating system drops the lock of a process that dies. Where it has none, two may build the same, each in
        its workspace.

        :param seconds: how long to wait; a process that is stopped does not die
        :raises KernelBuildError: when ``cancelled`` is set during the wait, or it has been too long
        """
        from filelock import FileLock, Timeout  # slow to import, and only needed for building

        lock = FileLock(self._lock(key), mode=LOCK_MODE)
        deadline = time.monotonic() + seconds
        try:
            with self._explained():
                make_private_folder(self.directory)
                require_trusted_folder(self.directory)
                is_without = not has_locks(self._lock(key))
                while not (lock.is_locked or is_without):
                    if cancelled.is_set():
                        raise KernelBuildError("cancelled while another process builds the same kernel")
                    if time.monotonic() > deadline:
                        raise KernelBuildError(
                            f"another process has been building the same kernel for {seconds:g} s, or is stopped; find "
                            f"out which with: fuser {shlex.quote(lock.lock_file)}"
                        )
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
            for held in self._own(HELD_SUFFIX):
                with suppress(OSError):  # as a process still has it loaded
                    held.unlink()
            # A new name each time: the compiler of a killed builder may still be writing to the old folder.
            folder = Path(tempfile.mkdtemp(prefix=f"{key}.{_MACHINE}.", suffix=_WORKSPACE_SUFFIX, dir=self.directory))
        try:
            with self._explained():
                for name, text in files.items():
                    (folder / name).write_text(text, encoding="utf-8")
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, key: str, library: Path, purpose: str) -> Path:
        """Move a library from its workspace to where ``find`` finds it, at once and for everyone.

        Needs the lock of ``key``.

        :param purpose: what it was compiled for, to be shown to the user
        """
        with self._explained():
            description = library.with_suffix(".json")
            with open(library, "rb") as contents:
                write_description(description, file_hash(contents), purpose)
            for file in (library, description):
                file.chmod(_FILE_MODE)
            # Between the two steps the pair does not match, which `find` takes for damage: nothing loads it.
            replace(library, self._library(key))
            replace(description, self._description(key))
        return self._library(key)

    def entries(self, content: str = "") -> list[Entry]:
        """Return what the folder holds, in no particular order.

        :param content: what keys begin with
        """
        entries = []
        with self._explained(), suppress(FileNotFoundError):
            for name in os.listdir(self.directory):
                key = name.removesuffix(_LIBRARY_SUFFIX)
                if key != name and key.startswith(content) and _KEY.fullmatch(key):
                    with suppress(FileNotFoundError):  # removed meanwhile
                        status = self._library(key).lstat()
                        used, purpose = self._described(key)
                        entries.append(Entry(key, status.st_size, status.st_mtime, used, purpose))
        return entries

    def prune(
        self, max_bytes: int | None = None, max_seconds: float | None = None, keep: str | None = None
    ) -> list[Entry]:
        """Remove libraries, those first that were not used for the longest time; return which.

        None that was built or loaded in the last ten minutes; processes that have loaded one go on with it.

        :param max_bytes: how much may stay
        :param max_seconds: how long a library may have been without use
        :param keep: the key of one that stays
        """
        now = time.time()
        entries = sorted(self.entries(), key=attrgetter("last_needed"))
        total = sum(entry.size for entry in entries)
        removed = []
        for entry in entries:
            idle = now - entry.last_needed
            is_too_much = max_bytes is not None and total > max_bytes
            is_too_old = max_seconds is not None and idle > max_seconds
            is_in_use = abs(idle) <= _SECONDS_IN_USE  # by clocks that may differ
            if (is_too_much or is_too_old) and not is_in_use and entry.key != keep and self._remove(entry.key):
                total -= entry.size
                removed.append(entry)
        return removed

    def clear(self) -> None:
        """Remove everything that is ours and not being built; on Windows, nor loaded."""
        from filelock import FileLock, Timeout

        with self._explained():
            names = sorted(os.listdir(self.directory)) if self.directory.is_dir() else []
            if names:
                require_trusted_folder(self.directory)
            for key in sorted({key for name in names if _KEY.fullmatch(key := name.partition(".")[0])}):
                lock = FileLock(self._lock(key), mode=LOCK_MODE)
                with suppress(Timeout), lock.acquire(timeout=0) if has_locks(self._lock(key)) else nullcontext():
                    for path in self.directory.glob(f"{key}.*"):
                        if path.suffix == _WORKSPACE_SUFFIX:
                            shutil.rmtree(path, ignore_errors=True)
                            continue
                        try:
                            path.unlink(missing_ok=True)
                        except PermissionError:
                            if sys.platform != "win32":  # where a library may be loaded, and our own lock is open
                                raise

    def error(self, reason: str) -> CacheError:
        """Return the error that says why the folder cannot be used."""
        return CacheError(
            f"cannot keep compiled kernels in {self.directory}: {reason}. Expected a writable folder on a "
            f"disk with some free megabytes; make it one, or set {VARIABLE} to another folder"
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except UntrustedError as error:
            raise _untrusted(error) from error
        except OSError as error:
            raise self.error(error.strerror or str(error)) from error

    def _library(self, key: str) -> Path:
        return self.directory / f"{key}{_LIBRARY_SUFFIX}"

    def _description(self, key: str) -> Path:
        return self.directory / f"{key}.json"

    def _lock(self, key: str) -> Path:
        return self.directory / f"{key}.lock"

    def _described(self, key: str) -> tuple[float, str]:
        try:
            description = read_description(self._description(key))
        except (OSError, UntrustedError):
            description = None
        if description and description.purpose:
            return description.used, description.purpose
        return NEVER, "unknown: made by an earlier version, or damaged"

    def _own(self, suffix: str) -> list[Path]:
        return [path for path in self.directory.glob(f"*{suffix}") if _KEY.fullmatch(path.name.partition(".")[0])]

    def _remove(self, key: str) -> bool:
        try:
            self._library(key).unlink()
        except OSError:  # as Windows says of a library that is loaded
            return False
        for suffix in (".json", ".sha256"):  # the latter in earlier versions
            with suppress(OSError):
                self._library(key).with_suffix(suffix).unlink()
        return True

    def _remove_abandoned_workspaces(self, own_key: str) -> None:
        from filelock import FileLock, Timeout

        for folder in self._own(_WORKSPACE_SUFFIX):
            key, machine = folder.name.split(".")[:2]
            if machine != _MACHINE or not has_locks(self._lock(key)):
                with suppress(FileNotFoundError):
                    if time.time() - folder.stat().st_mtime > _SECONDS_UNTIL_ABANDONED:
                        shutil.rmtree(folder, ignore_errors=True)
            elif key == own_key:  # we hold its lock, so the process that made the folder is gone
                shutil.rmtree(folder, ignore_errors=True)
            else:
                with suppress(Timeout), FileLock(self._lock(key), mode=LOCK_MODE).acquire(timeout=0):
                    shutil.rmtree(folder, ignore_errors=True)


def require_trusted_library(library: Path) -> Path:
    """Return the path of a library that may be loaded, without symbolic links on the way to it.

    :raises UntrustedCacheError: when another user can write to it, or put something else in its place
    :raises CacheError: when it can't be read
    """
    try:
        library = library.parent.resolve() / library.name
        require_trusted_folder(library.parent)
        os.close(open_trusted(library))
    except UntrustedError as error:
        raise _untrusted(error) from error
    except OSError as error:
        raise CacheError(
            f"the compiled library {library} can't be read: {error.strerror or error}; try again, which makes it anew"
        ) from error
    return library


def note_use(library: Path) -> None:
    """Remember that a library was loaded now, where its folder may be written to."""
    with suppress(OSError):
        os.utime(library.with_suffix(".json"))


def remove_unless_used(library: Path) -> bool:
    """Remove a library from its cache if it has never been loaded: what the compiler made is of no use.

    :return: whether it was removed
    """
    description = library.with_suffix(".json")
    try:
        if description.stat().st_mtime != NEVER:
            return False
        library.unlink()
        description.unlink()
    except OSError:
        return False
    return True


def _untrusted(error: UntrustedError) -> UntrustedCacheError:
    return UntrustedCacheError(
        f"{error}. What lies there would run as this user, so nothing of it is loaded: expected files and folders that "
        f"only this user or root can write to. Or set {VARIABLE} to a folder of your own"
    )
