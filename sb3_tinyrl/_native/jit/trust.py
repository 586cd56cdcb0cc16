"""Whose files may be loaded: a library that another user can write is code of that user that runs as this one.

Trusted are this user and root. A file is checked where it is opened, never through a symbolic link, and so is each
folder on the way to it, as who may write to one of them may put something else in its place between the check and the
moment when the operating system loads the library, by its name. Windows keeps other users out by other means (access
lists, inherited from the user's profile); nothing is checked there.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path

_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class UntrustedError(Exception):
    """Another user can write to a file or a folder; the message says how, and what mends it."""


def require_trusted_folder(folder: Path) -> None:
    """Refuse a folder that others can write to, or in whose place they can put another.

    :param folder: an existing one, without symbolic links on the way to it
    :raises UntrustedError: when it is not trusted
    :raises OSError: when it can't be looked at
    """
    if sys.platform == "win32":
        return
    _require_trusted(folder, os.stat(folder, follow_symlinks=False), stat.S_ISDIR, "folder")
    for parent in folder.parents:
        _require_trusted_parent(parent, os.stat(parent, follow_symlinks=False))


def open_trusted(path: Path) -> int:
    """Open a file to be read, in a folder that is trusted, and return its descriptor.

    :raises UntrustedError: when others can write to it, or it is anything but a file, such as a symbolic link
    :raises OSError: when it can't be opened
    """
    if sys.platform == "win32":
        return os.open(path, os.O_RDONLY | os.O_BINARY)
    if path.is_symlink():
        raise UntrustedError(f"{path} is a symbolic link, expected a file; remove it")
    # The link that takes its place now is refused by the operating system; a pipe would hold us up.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        _require_trusted(path, os.fstat(descriptor), stat.S_ISREG, "file")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def make_private_folder(folder: Path) -> None:
    """Make a folder, and those on the way to it that are missing, for this user alone, whatever the umask.

    :raises OSError: when that is not possible
    """
    for path in reversed([*takewhile(lambda path: not path.is_dir(), (folder, *folder.parents))]):
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            if not path.is_dir():  # another process was faster
                raise


def _require_trusted(path: Path, status: os.stat_result, is_kind: Callable[[int], bool], kind: str) -> None:
    if not is_kind(status.st_mode):
        raise UntrustedError(f"{path} is no {kind}; remove it")
    if status.st_uid not in (0, _own_user()):
        raise UntrustedError(f"the {kind} {path} belongs to user {status.st_uid}, expected user {_own_user()} or root")
    if status.st_mode & _WRITABLE_BY_OTHERS:
        raise UntrustedError(
            f"other users can write to the {kind} {path} (its mode is {stat.S_IMODE(status.st_mode):o}); if none of "
            f"them has, run: chmod go-w {path}"
        )


def _require_trusted_parent(parent: Path, status: os.stat_result) -> None:
    if not (status.st_uid in (0, _own_user()) or _may_be_root(status.st_uid)):
        raise UntrustedError(
            f"the folder {parent} on the way belongs to user {status.st_uid}, expected user {_own_user()} or root"
        )
    if status.st_mode & stat.S_ISVTX:
        return  # as /tmp, where each user may remove and rename what is theirs
    # A group of the same number as its only user is what distributions make for each user; root's group is root.
    is_group_trusted = status.st_gid in (0, _own_user()) and not _has_access_list(parent)
    others = stat.S_IWOTH if is_group_trusted else _WRITABLE_BY_OTHERS
    if status.st_mode & others:
        raise UntrustedError(
            f"other users can write to the folder {parent} on the way (its mode is {stat.S_IMODE(status.st_mode):o})"
        )


def _has_access_list(folder: Path) -> bool:
    """Whether the mode's bits for the group tell the most that any user or group of a list may do."""
    if sys.platform != "linux":
        return False
    try:
        return "system.posix_acl_access" in os.listxattr(folder)
    except OSError:  # of a file system that has no such thing
        return False


def _own_user() -> int:
    if sys.platform == "win32":
        raise NotImplementedError("Windows has no numbers for users, and nothing is checked there")
    return os.geteuid()


def _may_be_root(user: int) -> bool:
    """Whether a container of a user's own shows the files of root under this number, as it has no name for root."""
    try:
        overflow = int(Path("/proc/sys/kernel/overflowuid").read_text())
        mapped = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
    except (OSError, ValueError):
        return False  # not Linux
    return user == overflow and not any(int(outside) == 0 for _, outside, _ in mapped)
