"""The command line as such: how it is called, what it calls itself, and what its help waits for."""

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from imports import HEAVY, imported_by
from models import TIMEOUT

from sb3_tinyrl.__main__ import main

ROOT = Path(__file__).parents[1]
COMMANDS = (
    "bench",
    "scaling",
    "seeds-or-threads",
    "env-speed",
    "cache",
    "new-env",
    "check-env",
    "doctor",
    "export",
    "train",
    "enjoy",
)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """The program that pip makes of the entry point in pyproject.toml."""
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    match = re.search(r'^\[project\.scripts\]\nsb3-tinyrl = "([\w.]+):(\w+)"$', pyproject, re.MULTILINE)
    assert match
    script = tmp_path / "sb3-tinyrl"
    script.write_text(f"import sys\nfrom {match[1]} import {match[2]}\nsys.exit({match[2]}())\n")
    return script


def run(*command: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, *map(str, command))
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, cwd=cwd)


def test_the_help_names_the_program_as_it_was_called(script: Path) -> None:
    for command, name in (([script], "sb3-tinyrl"), (["-m", "sb3_tinyrl"], "python -m sb3_tinyrl")):
        finished = run(*command, "--help")
        assert finished.returncode == 0
        assert finished.stdout.startswith(f"usage: {name} [-h] ")
        assert re.findall(r"^    ([a-z-]+)", finished.stdout, re.MULTILINE) == [*COMMANDS]


def test_the_version_is_that_of_the_package(script: Path) -> None:
    assert run(script, "--version").stdout == f"sb3-tinyrl {version('sb3-tinyrl')}\n"


def test_a_command_that_is_not_there_is_an_error_of_usage(script: Path) -> None:
    finished = run(script, "walk")
    assert finished.returncode == 2
    assert "invalid choice: 'walk'" in finished.stderr
    finished = run(script, "cache", "size", "--fast")
    assert finished.returncode == 2
    assert "unrecognized arguments: --fast" in finished.stderr


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)], ids=lambda command: " ".join(command))
def test_no_help_waits_for_heavy_packages(command: tuple[str, ...]) -> None:
    arguments = ["sb3-tinyrl", *command, "--help"]
    program = f"import sys\nsys.argv = {arguments}\nfrom sb3_tinyrl.__main__ import main\ntry:\n    main()\n"
    imported = imported_by(f"{program}except SystemExit as error:\n    assert error.code == 0")
    assert imported & HEAVY == set()
    assert "sb3_tinyrl.__main__" in imported


@pytest.mark.parametrize("command", COMMANDS)
def test_defaults_are_shown_as_one_types_them(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sb3-tinyrl", command, "--help"])
    with pytest.raises(SystemExit, match="0"):
        main()
    text = capsys.readouterr().out
    assert ("(default: 256,256)" in text) is (command == "bench")
    for written in ("None", "False", "Path", "[]", "=="):
        assert written not in text


def test_modules_in_the_current_folder_are_found_and_hide_no_other(script: Path, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "numpy.py").write_text("raise AssertionError('not this one')")
    (tmp_path / "here" / "mine.py").write_text(
        "import gymnasium\ngymnasium.register('Mine-v0', 'gymnasium.envs.classic_control:PendulumEnv')\n"
    )
    finished = run(script, "env-speed", "--env", "mine:Mine-v0", cwd=tmp_path / "here")
    assert finished.returncode == 1
    assert finished.stderr.startswith("error: mine:Mine-v0 is no native environment")
