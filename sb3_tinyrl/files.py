"""Files and folders that exist as a whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing that replaces an earlier one only when the block has ended and all of it is on the disk.

    Any number of threads and processes may write to one path; one of them wins. Permissions are those that ``open``
    would leave: of the earlier file, or by the umask; so is the owner, where this user may set it. A symbolic link at
    ``path`` stays one, and what it points to is replaced. What is no regular file, such as a pipe, is written to
    directly. Where an earlier file may be written to, but not be replaced (a file that is mounted into a container, a
    folder of another user's), the complete content is copied over the earlier one.

    :param path: folders that are missing are created, as by SB3's ``save``
    :raises OSError: naming the path, when it can't be written; an earlier file stays what it was then, and when the
        block raises anything else
    """
    target = Path(os.path.realpath(path))
    try:
        earlier = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        earlier = None
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder; expected the name of a file to write")
    if earlier is None:
        _make_parents(target)
    try:
        if earlier is not None and not stat.S_ISREG(earlier.st_mode):
            with open(path, "wb") as file:  # not `target`: what /dev/stdout leads to may have no name
                yield file
            return
        if earlier is not None and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        yield from _replacement(target, earlier)
    except OSError as error:
        raise _naming(target, error) from error


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Make a folder that gets its name only when the block has ended; it must not exist before.

    :param path: folders above it that are missing are created
    :return: where it is meanwhile, for the block to write to
    :raises OSError: naming the path, when it exists or can't be written; then, and when the block raises anything
        else, nothing is left of it
    """
    target = Path(path).absolute()
    if os.path.lexists(target):
        raise FileExistsError(f"{target} exists already; choose another folder, or remove it first")
    _make_parents(target)
    partial = _partial(target)
    try:
        partial.mkdir()
        yield partial
        partial.rename(target)  # which fails where another process has made one with something in it
    except OSError as error:
        raise _naming(target, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _make_parents(target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise NotADirectoryError(f"can't write {target}: {error.filename} is no folder") from error
    except OSError as error:
        raise _naming(target, error) from error


def _naming(target: Path, error: OSError) -> OSError:
    return OSError(error.errno, f"can't write {target}: {error.strerror or error}")


def _partial(target: Path) -> Path:
    # A name that can't be guessed: nothing planted there is opened or followed.
    return target.with_name(f".{secrets.token_hex(8)}.partial")


def _replacement(target: Path, earlier: os.stat_result | None) -> Iterator[BinaryIO]:
    partial = _partial(target)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    try:  # from before it is opened, as Ctrl-C may come in between
        try:
            descriptor = os.open(partial, flags, 0o666)
        except PermissionError:
            if earlier is None:
                raise
            descriptor, name = tempfile.mkstemp(suffix=".partial")
            partial = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            if earlier is not None:
                _give_owner_and_mode(descriptor, earlier)
            yield file
            file.flush()
            os.fsync(descriptor)
        # The folder is not synchronised: after a power cut it has the earlier file or this one, and both are complete.
        _take_place(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _give_owner_and_mode(descriptor: int, earlier: os.stat_result) -> None:
    """Some file systems have one owner and one mode for all files, and refuse any change; Windows has neither."""
    if sys.platform == "win32":
        return
    now = os.fstat(descriptor)
    for uid, gid in ((-1, earlier.st_gid), (earlier.st_uid, -1)):
        if uid not in (-1, now.st_uid) or gid not in (-1, now.st_gid):
            with suppress(PermissionError):
                os.fchown(descriptor, uid, gid)
    if (mode := stat.S_IMODE(earlier.st_mode) & 0o777) != stat.S_IMODE(now.st_mode):
        os.fchmod(descriptor, mode)


def _take_place(partial: Path, target: Path) -> None:
    try:
        os.replace(partial, target)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EBUSY, errno.EXDEV) or not target.exists():
            raise
        with open(partial, "rb") as complete, open(target, "r+b") as file:
            shutil.copyfileobj(complete, file)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
