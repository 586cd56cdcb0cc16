import os
import sys
from pathlib import Path

import pytest

from sb3_tinyrl._native.errors import KernelBuildError
from sb3_tinyrl._native.jit.headers import Headers, find_headers


def test_finds_both_folders_without_importing_rltools(overlay: Path) -> None:
    imported = "rltools" in sys.modules
    headers = find_headers()
    assert headers.overlay == overlay
    assert headers.include_root == overlay.parent
    assert (headers.rltools / "rl_tools" / "rl_tools.h").is_file()
    assert ("rltools" in sys.modules) == imported


def test_another_folder_of_the_same_name_does_no_harm(
    overlay: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rl_tools").mkdir()  # such as a clone beside the user's script
    monkeypatch.syspath_prepend(tmp_path)
    assert find_headers().overlay == overlay


def test_missing_overlay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rl_tools", None)
    with pytest.raises(KernelBuildError, match=r"rl_tools/interface/sb3/sac\.cpp .*expected .*reinstall"):
        find_headers()


def test_missing_rltools(overlay: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rltools", None)
    with pytest.raises(KernelBuildError, match=r"headers of RLtools are missing, expected .*pip install"):
        find_headers()


def test_rltools_without_headers(overlay: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rltools").mkdir()
    (tmp_path / "rltools" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "rltools", raising=False)
    with pytest.raises(KernelBuildError, match="headers of RLtools are missing"):
        find_headers()


@pytest.fixture
def headers(tmp_path: Path) -> Headers:
    for folder in ("ours", "theirs"):
        (tmp_path / folder / "deep").mkdir(parents=True)
        (tmp_path / folder / "deep" / "a.h").write_text("one")
    return Headers(tmp_path / "ours", tmp_path / "theirs")


@pytest.mark.parametrize("folder", ["overlay", "rltools"])
def test_digest_sees_every_change(headers: Headers, folder: str) -> None:
    file = getattr(headers, folder) / "deep" / "a.h"
    seen = [headers.digest()]
    stat = file.stat()
    file.write_text("two")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # same size, same time
    seen.append(headers.digest())
    file.rename(file.with_name("b.h"))
    seen.append(headers.digest())
    file.with_name("c.h").touch()
    seen.append(headers.digest())
    assert len(set(seen)) == len(seen)


def test_digest_does_not_depend_on_place_or_time(headers: Headers, tmp_path: Path) -> None:
    before = headers.digest()
    moved = Headers(headers.overlay.rename(tmp_path / "elsewhere"), headers.rltools)
    os.utime(moved.overlay / "deep" / "a.h", (1, 1))
    assert moved.digest() == before
