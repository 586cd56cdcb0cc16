import os
import re
import sys
import time
from pathlib import Path

import pytest

from sb3_tinyrl._native.jit.waiting import WaitingLine


def test_a_line_is_begun_once_and_completed(capsys: pytest.CaptureFixture[str]) -> None:
    line = WaitingLine("a test")
    since = time.monotonic() - 61
    line.show("Compiling", since)
    assert capsys.readouterr().err == "Compiling, once on this machine: a test..."
    line.show("Compiling", since)
    assert capsys.readouterr().err == ""
    line.end(True)
    assert re.fullmatch(r" took 61\.\d s\n", capsys.readouterr().err)


def test_what_is_never_waited_for_is_never_shown(capsys: pytest.CaptureFixture[str]) -> None:
    WaitingLine("a test").end(True)
    assert capsys.readouterr() == ("", "")


def test_another_activity_begins_another_line(capsys: pytest.CaptureFixture[str]) -> None:
    line = WaitingLine("a test")
    for activity in ("Waiting for another process that compiles", "Compiling"):
        line.show(activity, time.monotonic())
    line.end(False)
    first, second, end = capsys.readouterr().err.split("\n")
    assert first == "Waiting for another process that compiles, once on this machine: a test..."
    assert re.fullmatch(r"Compiling, once on this machine: a test\.\.\. stopped after 0\.\d s", second)
    assert end == ""


@pytest.mark.parametrize("is_there", [True, False], ids=["closed", "none"])
def test_without_stderr_nothing_fails(is_there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = open(tmp_path / "closed", "w")  # noqa: SIM115
    closed.close()
    monkeypatch.setattr("sys.stderr", closed if is_there else None)
    line = WaitingLine("a test")
    line.show("Compiling", time.monotonic())
    line.end(True)


@pytest.mark.skipif(os.name == "nt", reason="needs a terminal of Unix")
def test_a_narrow_terminal_shows_one_line() -> None:
    from terminal import run, screen

    program = (
        "import time; from sb3_tinyrl._native.jit.waiting import WaitingLine\n"
        "line = WaitingLine('a kernel ' * 30)\n"
        "for seconds in (9, 10):\n    line.show('Compiling', time.monotonic() - seconds)\n"
        "line.end(True)\n"
    )
    status, written = run([sys.executable, "-c", program])
    assert status == 0
    assert all(len(line) < 120 for line in re.split(r"[\r\n]+", written)), "a line that wraps can't be replaced"
    line, end = screen(written)
    assert re.match(r"Compiling, once on this machine \(took 10\.\d s\): a kernel .*\.\.\.$", line)
    assert end == ""
