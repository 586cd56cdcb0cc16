"""Errors in C++ environments that only show when they run, found in a process of its own."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import gymnasium as gym
import pytest
from models import TIMEOUT
from written_environments import EXAMPLE

from sb3_tinyrl import register_environment
from sb3_tinyrl._native.errors import KernelBuildError, KernelError, NativeEnvironmentError
from sb3_tinyrl.environments.checking import check_environment

TORQUE = "get(action, 0, 0);\n        const T gravity"
FAULTS = {
    "read beyond the action": (
        TORQUE,
        "get(action, 0, TI(state.angle > 1));\n        const T gravity",
        "get(action, 0, TI",
        "buffer-overflow",
    ),
    "write beyond the observation": (
        "set(observation, 0, 2, state",
        "set(observation, 0, 2 + TI(state.angle > 1), state",
        "set(observation, 0, 2 +",
        "buffer-overflow",
    ),
    "write beyond an array": (
        "return -(angle",
        "int a[3]; volatile int* b = a; b[3 + int(torque > 1)] = 1; return -(angle",
        "b[3 +",
        "buffer-overflow|insufficient space",
    ),
    "integer division by zero": (
        "return -(angle",
        "volatile int n = int(angle / 10); return n / n * -(angle",
        "return n / n",
        "division by zero",
    ),
    "overflow": (
        "return -(angle",
        "volatile int n = 2147483647; n = n + int(angle * angle + 1); return -(angle",
        "n = n + int",
        "signed integer overflow",
    ),
    "exception": (
        "return ENV::TIME_STEP;",
        'if (state.angle > 2) { throw std::runtime_error("too far"); } return ENV::TIME_STEP;',
        None,
        r"step\(\) threw an exception: too far",
    ),
    "NaN": ("return -(angle", "return std::sqrt(angle) - (angle", None, r"reward\(\) returned NaN"),
    "unset element": ("set(observation, 0, 2, state.velocity);", "", None, "leaves elements of the observation unset"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_where_it_is(name, changed_example):
    old, new, marker, message = FAULTS[name]
    folder = changed_example((old, new), ("#pragma once", "#pragma once\n#include <cmath>\n#include <stdexcept>"))
    with pytest.raises(NativeEnvironmentError, match=message) as error:
        check_environment(folder)
    if marker is not None:
        lines = (folder / "environment.h").read_text().splitlines()
        number = next(i for i, line in enumerate(lines, 1) if marker in line)
        assert str(error.value).startswith(f"{folder / 'environment.h'}:{number}: ")


def check_env(*arguments):
    command = [sys.executable, "-m", "sb3_tinyrl", "check-env", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)


@pytest.mark.slow
def test_the_command_line(changed_example, tmp_path):
    good = check_env(EXAMPLE, "--steps", 100)
    assert (good.returncode, good.stdout, good.stderr) == (0, f"{EXAMPLE}: 100 steps without an error\n", "")
    folder = changed_example(("return -(angle", "volatile int n = 0; return 1 / n - (angle"))
    bad = check_env(folder)
    assert bad.returncode == 1
    assert bad.stderr.startswith(f"error: {folder / 'environment.h'}:")
    assert "division by zero" in bad.stderr.splitlines()[0]
    missing = check_env(tmp_path / "nothing")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "there is no folder" in missing.stderr
    assert check_env(EXAMPLE, "--steps", 0).returncode == 2
    assert check_env(EXAMPLE, "--seconds", "nan").returncode == 2


def test_a_checked_environment_is_registered_only_if_it_is_good(changed_example):
    register_environment("checked/Good-v0", EXAMPLE, checked=True)
    assert gym.make("checked/Good-v0").observation_space.shape == (3,)
    folder = changed_example(("return ENV::TIME_STEP;", "throw 5;"))
    with pytest.raises(NativeEnvironmentError, match="something that is no std::exception"):
        register_environment("checked/Bad-v0", folder, checked=True)
    assert "checked/Bad-v0" not in gym.registry


def test_what_does_not_compile_is_told_with_its_line(changed_example):
    folder = changed_example(("return ENV::TIME_STEP;", "return nothing;"))
    with pytest.raises(
        KernelBuildError, match=r"does not compile with sanitizers .*environment\.h:\d+:\d+: error: .*nothing"
    ):
        check_environment(folder)


def test_a_loop_without_an_end_has_a_time_limit(changed_example):
    folder = changed_example(("return ENV::TIME_STEP;", "for (volatile int i = 0; i >= 0;) {} return 0;"))
    with pytest.raises(NativeEnvironmentError, match=r"did not end within 1 s.*loop without an end") as error:
        check_environment(folder, seconds=1)
    assert str(folder) in str(error.value)


def test_prints_hide_no_fault(changed_example):
    folder = changed_example(
        ("return ENV::TIME_STEP;", 'for (int i = 0; i < 99; i++) { std::puts("debug"); } throw 5;'),
        ("#pragma once", "#pragma once\n#include <cstdio>"),
    )
    with pytest.raises(NativeEnvironmentError, match="something that is no std::exception") as error:
        check_environment(folder)
    assert "debug" not in str(error.value)


def test_a_compiler_that_hangs_has_a_time_limit(tmp_path, monkeypatch):
    compiler = tmp_path / "c++"
    compiler.write_text('#!/bin/sh\ntest "$1" = --version || exec sleep 60\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("SB3_TINYRL_COMPILE_TIMEOUT", "0.5")
    with pytest.raises(KernelBuildError, match=r"did not end within 0\.5 s"):
        check_environment(EXAMPLE)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root can mount a file system")
def test_a_temporary_folder_that_runs_no_programs_is_named(tmp_path, monkeypatch):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr}")
    try:
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        with pytest.raises(KernelError, match=r"can't be started: .*Permission denied; .*set TMPDIR"):
            check_environment(EXAMPLE)
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("moment", ["compiling", "running"])
def test_an_interrupt_leaves_nothing_behind(changed_example, tmp_path, number, moment):
    started = tmp_path / "started"
    loop = (
        f'if (FILE* file = std::fopen("{started}", "w")) {{ std::fprintf(file, "%d", getpid()); std::fclose(file); }} '
        "for (;;) { sleep(1); }"
    )
    folder = changed_example(
        ("return ENV::TIME_STEP;", f"{loop} return ENV::TIME_STEP;"),
        ("#pragma once", "#pragma once\n#include <cstdio>\n#include <unistd.h>"),
    )
    compiler = tmp_path / "c++"
    compiler.write_text(f'#!/bin/sh\ntest "$1" = --version && exec c++ "$@"\necho $$ > {started}; exec sleep 60\n')
    compiler.chmod(0o755)
    environment = {**os.environ, "TMPDIR": str(tmp_path)} | ({"CXX": str(compiler)} if moment == "compiling" else {})
    command = [sys.executable, "-m", "sb3_tinyrl", "check-env", str(folder)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (started.exists() and started.read_text()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    while Path("/proc", started.read_text().strip()).exists():
        assert time.monotonic() < deadline, "it is still running"
        time.sleep(0.01)
    if number == signal.SIGINT:
        assert (process.returncode, errors) == (130, "interrupted\n")
        assert not list(tmp_path.glob("sb3_tinyrl_check_*"))
