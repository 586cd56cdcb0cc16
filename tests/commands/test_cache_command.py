"""``python -m sb3_tinyrl cache``, on a cache with libraries that no compiler has made."""

import json
import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from models import TIMEOUT, make

from sb3_tinyrl._native.jit.cache import KernelCache, cache_key

DAY = 86400


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("SB3_TINYRL_CACHE_DIR", str(folder))
    monkeypatch.setenv("COLUMNS", "200")
    kernels = KernelCache(folder)
    for days in (40, 10):
        key = cache_key({}, {"days": days})
        with kernels.lock(key, threading.Event(), 20), kernels.workspace(key, {}) as workspace:
            (workspace / "library").write_bytes(bytes(3 * 2**20))
            library = kernels.publish(key, workspace / "library", f"what was built {days} days ago")
        os.utime(library, (time.time() - days * DAY,) * 2)
    return folder


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(run_command: Command) -> Command:
    return partial(run_command, "cache")


def libraries(folder: Path) -> int:
    return len(list(folder.glob("*.so")))


def test_a_list_tells_size_age_use_and_purpose(folder: Path, command: Command) -> None:
    status, output, _ = command("list")
    assert status == 0
    assert str(folder) in output
    rows = [line.split() for line in output.splitlines() if "what was built" in line]
    assert [" ".join(row[1:]) for row in rows] == [
        "3.0 MiB 10 d ago never what was built 10 days ago",
        "3.0 MiB 40 d ago never what was built 40 days ago",
    ]


def test_a_purpose_may_hold_any_characters(folder: Path, command: Command) -> None:
    """As the name of an environment's folder."""
    key = cache_key({}, {})
    kernels = KernelCache(folder)
    with kernels.lock(key, threading.Event(), 20), kernels.workspace(key, {}) as workspace:
        (workspace / "library").touch()
        kernels.publish(key, workspace / "library", "the environment in my [red]folder[/no]")
    assert "the environment in my [red]folder[/no]" in command("list")[1]


def test_the_size_is_the_sum(folder: Path, command: Command) -> None:
    assert command("size") == (0, f"2 libraries with 6.0 MiB in {folder}\n", "")


def test_programs_read_the_list(folder: Path, command: Command) -> None:
    status, output, _ = command("list", "--json")
    assert status == 0
    report = json.loads(output)
    assert report["folder"] == str(folder)
    assert [library["purpose"] for library in report["libraries"]] == [
        "what was built 10 days ago",
        "what was built 40 days ago",
    ]
    for library, days in zip(report["libraries"], (10, 40), strict=True):
        assert (folder / f"{library['key']}.so").exists()
        assert library["size"] == 3 * 2**20
        assert library["used"] == 0
        assert library["built"] == pytest.approx(time.time() - days * DAY, abs=300)


def test_a_cache_without_libraries_is_no_error(folder: Path, command: Command) -> None:
    command("clear")
    assert command("list") == (0, f"no libraries in {folder}\n", "")
    assert json.loads(command("list", "--json")[1]) == {"folder": str(folder), "libraries": []}
    assert command("clear") == (0, f"removed 0 libraries with 0.0 MiB from {folder}\n", "")
    assert not list(folder.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="needs a shell of Unix")
def test_a_reader_that_has_had_enough_is_no_error(folder: Path) -> None:
    command = f"{shlex.quote(sys.executable)} -m sb3_tinyrl cache list; echo $? >&2"
    process = subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == "1\n"
    process.wait(TIMEOUT)


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("--older-than=x", "'x', expected a number of days, such as 30 or 0.5"),
        ("--older-than=-1", "'-1', expected a number of days"),
        ("--older-than=nan", "'nan', expected a number of days"),
        ("--max-size=5Q", "'5Q', expected a number of bytes"),
        ("--max-size=-1", "'-1', expected a number of bytes"),
    ],
)
def test_nothing_is_removed_for_a_limit_that_is_none(option: str, reason: str, folder: Path, command: Command) -> None:
    status, output, error = command("prune", option)
    assert (status, output) == (2, "")
    assert reason in error
    assert libraries(folder) == 2


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        (["--older-than", 50], 2),
        (["--older-than", 30], 1),
        (["--older-than", 0.5], 0),
        (["--max-size", "6M"], 2),
        (["--max-size", "3M"], 1),
        (["--max-size", "1K"], 0),
    ],
)
def test_pruning_by_age_and_size(folder: Path, command: Command, arguments: list[object], left: int) -> None:
    status, output, _ = command("prune", *arguments)
    assert status == 0
    assert output == f"removed {2 - left} libraries with {3 * (2 - left)}.0 MiB\n"
    assert libraries(folder) == left


def test_clearing(folder: Path, command: Command) -> None:
    status, output, _ = command("clear")
    assert (status, output) == (0, f"removed 2 libraries with 6.0 MiB from {folder}\n")
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["prune"], "pass --older-than DAYS, --max-size SIZE, or both"),
        (["build"], "pass MODEL.zip, --env ID, or both"),
        (["build", "no-model.zip"], "no-model.zip"),
        (["build", os.devnull], "expected a model that SAC or TinySAC has saved"),
        (["build", os.curdir], "directory"),
        (["build", "--env", "Pendulum-v1"], "is no native environment"),
    ],
)
def test_what_can_not_be_done_is_an_error(folder: Path, command: Command, arguments: list[str], reason: str) -> None:
    status, output, error = command(*arguments)
    assert (status, output) == (1, "")
    assert error.startswith("error: ")
    assert reason in error


def test_a_file_is_no_cache(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SB3_TINYRL_CACHE_DIR", str(tmp_path / "file"))
    for action in (["list"], ["list", "--json"], ["size"], ["clear"], ["prune", "--max-size=1"]):
        status, output, error = command(*action)
        assert (status, output) == (1, "")
        assert error.startswith(f"error: cannot keep compiled kernels in {tmp_path / 'file'}: ")


def test_a_cache_that_others_can_write_is_an_error(folder: Path, command: Command) -> None:
    folder.chmod(0o777)
    status, _, error = command("clear")
    assert status == 1
    assert "chmod go-w" in error
    assert libraries(folder) == 2


def test_what_was_built_ahead_is_what_training_looks_for(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make()
    model.save(tmp_path / "model")
    status, output, _ = command("build", tmp_path / "model.zip")
    assert status == 0
    library = Path(output.strip().rpartition(": ")[2])
    assert library.exists()
    used = library.with_suffix(".json").stat().st_mtime
    monkeypatch.setenv("CXX", "/no/such/compiler")
    make().learn(30)
    assert library.with_suffix(".json").stat().st_mtime > used
