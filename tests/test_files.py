"""Files that exist as a whole or not at all."""

import errno
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sb3_tinyrl.files import atomic_folder, atomic_write


def write(path: Path, content: bytes) -> None:
    with atomic_write(path) as file:
        file.write(content)


def test_permissions_follow_the_umask_and_links_stay(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("target")
    umask = os.umask(0o027)
    try:
        write(link, b"content")
    finally:
        os.umask(umask)
    assert link.is_symlink()
    assert (tmp_path / "target").read_bytes() == b"content"
    assert stat.S_IMODE((tmp_path / "target").stat().st_mode) == 0o640


def test_permissions_of_an_earlier_file_stay(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    path.chmod(0o604)
    write(path, b"content")
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write to any file")
def test_a_write_protected_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"earlier")
    path.chmod(0o444)
    with pytest.raises(PermissionError, match=r"can't write .*file: Permission denied"):
        write(path, b"later")
    assert path.read_bytes() == b"earlier"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=r"can't write .*policy\.h: .*file is no folder"):
        write(tmp_path / "file" / "policy.h", b"content")
    with pytest.raises(NotADirectoryError, match="is no folder"):
        write(tmp_path / "file" / "deeper" / "policy.h", b"content")


@pytest.mark.parametrize("error", [OSError(errno.EIO, "broken"), KeyboardInterrupt(), RuntimeError("broken")])
def test_what_fails_half_way_leaves_the_earlier_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "file"
    write(path, b"earlier")

    def fail() -> None:
        with atomic_write(path) as file:
            file.write(b"lat")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert path.read_bytes() == b"earlier"
    assert [*tmp_path.iterdir()] == [path]


def test_a_full_disk_leaves_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "policy.h"
    write(path, b"earlier")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"can't write .*policy\.h: No space left on device"):
        write(path, b"later")
    assert path.read_bytes() == b"earlier"
    assert [*tmp_path.iterdir()] == [path]


def test_a_name_that_is_as_long_as_names_may_be(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    write(path, b"content")
    assert path.read_bytes() == b"content"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(path.read_bytes()))
    reader.start()
    write(path, b"content")
    reader.join()
    assert received == [b"content"]
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_standard_output_is_written_to(tmp_path: Path) -> None:
    """Which is a pipe here, and has no name that could be replaced."""
    program = "from sb3_tinyrl.files import atomic_write\nwith atomic_write('/dev/stdout') as f: f.write(b'content')"
    if not Path("/dev/stdout").exists():
        pytest.skip("needs /dev/stdout")
    assert subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout == b"content"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")
def test_the_owner_of_an_earlier_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    os.chown(path, 54321, 54322)
    path.chmod(0o640)
    write(path, b"content")
    now = path.stat()
    assert (now.st_uid, now.st_gid, stat.S_IMODE(now.st_mode)) == (54321, 54322, 0o640)


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EPERM, errno.EACCES])
def test_what_can_not_be_replaced_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    path = tmp_path / "file"
    write(path, b"an earlier, longer content")
    inode = path.stat().st_ino

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", refuse)
    write(path, b"content")
    assert path.read_bytes() == b"content"
    assert path.stat().st_ino == inode
    assert [*tmp_path.iterdir()] == [path]
    with pytest.raises(OSError, match=r"can't write .*new: "):
        write(tmp_path / "new", b"content")
    assert [*tmp_path.iterdir()] == [path]


# --- folders ---


def test_a_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b"
    with atomic_folder(target) as partial:
        (partial / "file").write_text("content")
        assert not target.exists()
    assert [*target.parent.iterdir()] == [target]
    assert (target / "file").read_text() == "content"
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o777 & ~umask


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")])
def test_what_is_there_is_not_replaced_by_a_folder(tmp_path: Path, make: Callable[[Path], None]) -> None:
    target = tmp_path / "target"
    make(target)
    with pytest.raises(FileExistsError, match=r"target exists already; choose another"), atomic_folder(target):
        raise AssertionError("the block must not run")
    assert [*tmp_path.iterdir()] == [target]


def test_what_another_process_has_made_meanwhile_stays(tmp_path: Path) -> None:
    target = tmp_path / "target"

    def race() -> None:
        with atomic_folder(target) as partial:
            (partial / "file").write_text("ours")
            target.mkdir()
            (target / "file").write_text("theirs")

    with pytest.raises(OSError, match=r"can't write .*target: "):
        race()
    assert (target / "file").read_text() == "theirs"
    assert [*tmp_path.iterdir()] == [target]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt(), RuntimeError("broken")])
def test_what_fails_half_way_leaves_no_folder(tmp_path: Path, error: BaseException) -> None:
    def fail() -> None:
        with atomic_folder(tmp_path / "target") as partial:
            (partial / "file").write_text("cont")
            raise error

    with pytest.raises(type(error), match=r"can't write .*target: full" if isinstance(error, OSError) else None):
        fail()
    assert [*tmp_path.iterdir()] == []


def test_a_file_has_no_folders(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for target in (tmp_path / "file" / "target", tmp_path / "file" / "deeper" / "target"):
        with pytest.raises(NotADirectoryError, match="is no folder"), atomic_folder(target):
            raise AssertionError("the block must not run")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write to any folder")
@pytest.mark.parametrize("name", ["target", "deeper/target"])
def test_a_write_protected_folder_is_named(tmp_path: Path, name: str) -> None:
    tmp_path.chmod(0o555)
    with (
        pytest.raises(PermissionError, match=r"can't write .*target: Permission denied"),
        atomic_folder(tmp_path / name),
    ):
        raise AssertionError("the block must not run")
