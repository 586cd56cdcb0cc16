"""Folders that other users may look into, and a kernel for the models of these tests."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_model import run


@pytest.fixture(scope="session")
def public_folder() -> Iterator[Path]:
    """A folder that every user may read, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp(prefix="sb3_tinyrl_test_")).resolve()
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def built(public_folder: Path) -> Path:
    """A cache with the kernel of the small model, which every user may read."""
    cache = public_folder / "cache"
    run("make(1).learn(30)", cache)
    assert list(cache.glob("*.so"))
    cache.chmod(0o755)
    return cache


@pytest.fixture
def cache(built: Path, tmp_path: Path) -> Path:
    """A copy of that cache of this test's own."""
    shutil.copytree(built, tmp_path / "cache")
    os.chmod(tmp_path / "cache", 0o700)
    return tmp_path / "cache"
