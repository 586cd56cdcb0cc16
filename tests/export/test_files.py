"""Files that exist as a whole or not at all."""

import errno
import os
import stat
from pathlib import Path

import pytest
from policies import PolicyKind

from sb3_tinyrl.export import export_cpp, export_onnx, export_policy
from sb3_tinyrl.export.files import write_atomically

EVERY_FORMAT = pytest.mark.parametrize("export", [export_cpp, export_policy, export_onnx])


@EVERY_FORMAT
def test_folders_are_created_and_files_replaced(export, tmp_path: Path) -> None:
    path = tmp_path / "a" / "b c" / "policy"
    export(PolicyKind(seed=1).model(), str(path))
    first = path.read_bytes()
    export(PolicyKind(seed=2).model(), path)
    assert path.read_bytes() != first
    assert [*path.parent.iterdir()] == [path]


def test_permissions_follow_the_umask_and_links_stay(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("target")
    umask = os.umask(0o027)
    try:
        write_atomically(link, b"content")
    finally:
        os.umask(umask)
    assert link.is_symlink()
    assert (tmp_path / "target").read_bytes() == b"content"
    assert stat.S_IMODE((tmp_path / "target").stat().st_mode) == 0o640


@EVERY_FORMAT
def test_a_folder_is_no_file(export, tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a folder; expected the name of a file"):
        export(PolicyKind().model(), tmp_path)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=r"can't write .*policy\.h: .*file is no folder"):
        write_atomically(tmp_path / "file" / "policy.h", b"content")
    with pytest.raises(NotADirectoryError, match="is no folder"):
        write_atomically(tmp_path / "file" / "deeper" / "policy.h", b"content")


def test_a_full_disk_leaves_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "policy.h"
    write_atomically(path, b"earlier")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"can't write .*policy\.h: No space left on device"):
        write_atomically(path, b"later")
    assert path.read_bytes() == b"earlier"
    assert [*tmp_path.iterdir()] == [path]
