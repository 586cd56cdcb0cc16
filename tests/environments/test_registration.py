"""Ids: cheap to make, and wrong ones explained."""

import os
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import pytest
from written_environments import EXAMPLE

from sb3_tinyrl import register_environment
from sb3_tinyrl.environments import NativeEnv


def test_importing_and_registering_compile_and_load_nothing(tmp_path: Path):
    program = (
        "import sys, sb3_tinyrl\n"
        f"sb3_tinyrl.register_environment('test/Lazy-v0', {str(EXAMPLE)!r})\n"
        "import gymnasium\n"
        "assert 'rl_tools/Pendulum-v0' in gymnasium.registry\n"
        "assert 'sb3_tinyrl.environments.rendering' not in sys.modules\n"
    )
    environment = {**os.environ, "SB3_TINYRL_CACHE_DIR": str(tmp_path / "cache"), "CXX": "/no/compiler"}
    result = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert not (tmp_path / "cache").exists()


def test_making_tells_a_terminal_that_it_compiles(
    tmp_path: Path, walk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("SB3_TINYRL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    for is_first in (True, False):
        NativeEnv(walk)
        captured = capsys.readouterr()
        assert ("Compiling, once on this machine: the environment in " in captured.err) == is_first
        assert not captured.out


def test_a_missing_folder(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere, expected one with a C\+\+ environment"):
        register_environment("test/Missing-v0", tmp_path / "nowhere")
    assert "test/Missing-v0" not in gym.registry


def test_a_folder_without_the_header(tmp_path: Path):
    (tmp_path / "pendulum.h").touch()
    with pytest.raises(FileNotFoundError, match=r"has no environment\.h \(it has pendulum\.h\); add that header"):
        register_environment("test/Missing-v0", tmp_path)


def test_a_folder_that_is_gone_later(changed_example):
    folder = changed_example()
    register_environment("test/Gone-v0", folder)
    (folder / "environment.h").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no environment\.h"):
        gym.make("test/Gone-v0")
