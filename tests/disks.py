"""File systems that are full or run no programs, for tests."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """Mount a file system in memory on a new folder; skip the test where that is not allowed.

    :param folder: must not exist
    :param options: of ``mount``, such as ``size=64k`` or ``noexec``
    :return: the folder, which only its owner may look into
    """
    folder.mkdir()
    try:
        mount = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if mount.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mount.stderr}")
    try:
        folder.chmod(0o700)
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)
