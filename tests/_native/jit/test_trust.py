"""Whose files are loaded: each kind of stranger is refused, and what systems commonly look like is not."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from sb3_tinyrl._native.jit.trust import UntrustedError, make_private_folder, open_trusted, require_trusted_folder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has access lists instead of modes")
as_root = pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root can give files to others")
STRANGER = 54321


def look(path: Path) -> None:
    """Check what a library's file must pass, with the folders on the way to it."""
    require_trusted_folder(path.parent)
    os.close(open_trusted(path))


@pytest.fixture
def library(tmp_path: Path) -> Path:
    folder = tmp_path / "above" / "cache"
    make_private_folder(folder)
    library = folder / "kernel.so"
    library.touch(0o644)
    look(library)
    return library


@pytest.mark.parametrize("place", ["file", "folder", "above"])
@pytest.mark.parametrize("fault", ["group", "everyone", pytest.param("owner", marks=as_root)])
def test_what_others_can_write_is_refused(library: Path, place: str, fault: str) -> None:
    path = {"file": library, "folder": library.parent, "above": library.parent.parent}[place]
    if fault == "owner":
        os.chown(path, STRANGER, STRANGER)
    else:
        if place == "above" and os.geteuid() == 0:
            os.chown(path, 0, STRANGER)  # as root's own group is trusted there
        path.chmod(path.stat().st_mode | (0o020 if fault == "group" else 0o002))
    with pytest.raises(UntrustedError) as error:
        look(library)
    assert str(path) in str(error.value)
    assert (str(STRANGER) in str(error.value)) == (fault == "owner")


@pytest.mark.parametrize("place", ["file", "folder", "above"])
def test_a_symbolic_link_is_not_followed(library: Path, place: str) -> None:
    path = {"file": library, "folder": library.parent, "above": library.parent.parent}[place]
    moved = path.rename(path.with_name("moved"))
    path.symlink_to(moved)
    with pytest.raises(UntrustedError):
        look(library)


@pytest.mark.skipif(sys.platform != "linux", reason="access lists of Linux")
@pytest.mark.parametrize("place", ["file", "folder", "above"])
def test_an_access_list_that_lets_another_user_write_is_refused(library: Path, place: str) -> None:
    path = {"file": library, "folder": library.parent, "above": library.parent.parent}[place]
    if os.geteuid() != path.stat().st_gid:
        pytest.skip("this user's group has another number, and is refused for that")
    nobody, everything = 2**32 - 1, 7
    entries = [(1, everything, nobody), (2, everything, STRANGER), (4, 0, nobody), (16, everything, nobody)]
    access_list = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in [*entries, (32, 0, nobody)])
    try:
        os.setxattr(path, "system.posix_acl_access", access_list)
    except OSError as error:
        pytest.skip(f"this file system has no access lists: {error}")
    with pytest.raises(UntrustedError, match=f"other users can write to the (file|folder) {path} "):
        look(library)


def test_a_pipe_holds_nothing_up(library: Path) -> None:
    library.unlink()
    os.mkfifo(library)
    with pytest.raises(UntrustedError, match="is no file"):
        look(library)


@as_root
def test_a_folder_of_root_below_a_sticky_one_is_trusted(library: Path) -> None:
    library.parent.parent.chmod(0o1777)  # as /tmp
    look(library)


def test_a_group_of_the_users_own_may_write_to_folders_above(library: Path) -> None:
    if os.geteuid() != os.getegid():
        pytest.skip("this user's group has another number")
    library.parent.parent.chmod(0o775)
    look(library)


def test_a_private_folder_may_lie_deep(tmp_path: Path) -> None:
    folder = Path(tmp_path, *["a"] * 1200)
    make_private_folder(folder)
    assert folder.is_dir()
    with pytest.raises(OSError, match="too long"):
        make_private_folder(Path(folder, *["a"] * 1200))
    subprocess.run(["rm", "-r", tmp_path / "a"], check=True)  # as Python's own would call itself too often


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o077])
def test_a_private_folder_is_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        make_private_folder(tmp_path / "a" / "b")
        make_private_folder(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "a", tmp_path / "a" / "b")] == [0o700, 0o700]
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        make_private_folder(tmp_path / "file")
