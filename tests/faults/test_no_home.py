"""A user under a number, as in many containers: without a name, a home, or a home that can be written to."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_model import STRANGER, as_root, run

pytestmark = [pytest.mark.slow, as_root]

USE_ALL = """
become_another_user()
native = gymnasium.make("rl_tools/Pendulum-v0")
native.reset(seed=0)
model = make(1)
model.predict(model.observation_space.sample())
model.learn(30)
model.predict(model.observation_space.sample())
print("done")
"""


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder like /tmp, which is not full of what other tests leave."""
    folder = Path(tempfile.mkdtemp(prefix="sb3_tinyrl_test_")).resolve()
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("home", [None, "/"])
def test_a_user_without_a_home_gets_a_private_folder_and_one_warning(temporary: Path, home: str | None) -> None:
    output = run(USE_ALL, None, HOME=home, XDG_CACHE_HOME=None, TMPDIR=str(temporary))
    assert output.endswith("done\n")
    folder = temporary / f"sb3_tinyrl-{STRANGER}"
    assert [line for line in output.splitlines() if "UserWarning" in line and str(folder) in line]
    assert output.count("no home that can be written to") == 1
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len(list(folder.glob("*.so"))) == 2


def test_a_planted_temporary_folder_is_not_used(temporary: Path) -> None:
    planted = temporary / f"sb3_tinyrl-{STRANGER}"
    planted.mkdir(mode=0o777)
    os.chown(planted, STRANGER + 1, STRANGER + 1)
    program = """
become_another_user()
model = make(1, kernel="auto")
model.predict(model.observation_space.sample())
from sb3_tinyrl._native.jit.cache_directory import cache_directory
folder = cache_directory()
assert folder == cache_directory()
assert folder.stat().st_mode & 0o777 == 0o700 and folder.stat().st_uid == 54321
print(folder)
"""
    used = Path(run(program, None, HOME=None, XDG_CACHE_HOME=None, TMPDIR=str(temporary)).splitlines()[-1])
    assert used.parent == temporary
    assert used != planted
    assert not used.exists()  # as it ends with the process
    assert not list(planted.iterdir())
