"""A look whether there are locks disturbs none, and does no harm."""

from pathlib import Path

import pytest

from sb3_tinyrl._native.jit.locks import has_locks

fcntl = pytest.importorskip("fcntl", reason="Windows has locks of its own")


def test_the_file_is_the_users_own(tmp_path: Path) -> None:
    assert has_locks(tmp_path / "a.lock")
    assert (tmp_path / "a.lock").stat().st_mode & 0o777 == 0o600


def test_a_lock_that_is_held_stays_held(tmp_path: Path) -> None:
    with open(tmp_path / "a.lock", "w") as held, open(tmp_path / "a.lock") as another:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert has_locks(tmp_path / "a.lock")
        with pytest.raises(BlockingIOError):
            fcntl.flock(another, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic"):
        has_locks(tmp_path / "a.lock")
    assert not (tmp_path / "victim").exists()
