import os
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest

from sb3_tinyrl._native.errors import KernelBuildError
from sb3_tinyrl._native.jit.headers import Headers, digest, find_headers, source_files


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


def install(folder: Path, version: str) -> None:
    """Lay out an installed package rltools of some version."""
    (folder / "rltools" / "external" / "rl_tools" / "include").mkdir(parents=True)
    (folder / "rltools" / "__init__.py").touch()
    metadata = folder / f"rltools-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: rltools\nVersion: {version}\n")


@pytest.mark.parametrize("version", ["2.1.0", "2.20.0", "3.0"])
def test_another_version_of_rltools_is_refused(
    overlay: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    install(tmp_path / "site", version)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "rltools", raising=False)
    with pytest.raises(
        KernelBuildError, match=rf'has version {version}, expected 2\.2, .*pip install "rltools~=2\.2\.0"'
    ):
        find_headers()


@pytest.mark.parametrize("version", ["2.2", "2.2.9"])
def test_each_release_of_our_version_is_taken(
    overlay: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    install(tmp_path / "site", version)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "rltools", raising=False)
    assert find_headers().rltools.is_relative_to(tmp_path)


def test_a_clone_of_rltools_that_is_not_installed_is_taken(
    overlay: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version of the package that is installed beside it says nothing about it."""
    (tmp_path / "rltools" / "external" / "rl_tools" / "include").mkdir(parents=True)
    (tmp_path / "rltools" / "__init__.py").touch()
    install(tmp_path / "site", "2.1.0")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "rltools", raising=False)
    assert find_headers().rltools.parents[2] == tmp_path / "rltools"


def test_the_version_of_rltools_is_the_one_that_is_installed_with_us() -> None:
    [requirement] = [line for line in requires("sb3-tinyrl") or () if line.startswith("rltools")]
    assert requirement == "rltools~=2.2.0"


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


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
def test_what_is_no_file_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "environment.h").touch()
    (tmp_path / "nothing.h").symlink_to("no such file")
    (tmp_path / "folder.h").mkdir()
    os.mkfifo(tmp_path / "pipe.h")
    files = source_files(tmp_path)
    assert list(files) == ["environment.h"]
    assert digest(files)
