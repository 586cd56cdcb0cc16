"""Errors in C++ environments that only show when they run, found in a process of its own."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import gymnasium as gym
import pytest
from disks import mounted
from models import TIMEOUT
from written_environments import EXAMPLE

from sb3_tinyrl import register_environment
from sb3_tinyrl._native.errors import KernelBuildError, KernelError, NativeEnvironmentError
from sb3_tinyrl.environments.checking import check_environment

RETURN = "return ENV::TIME_STEP;"
INCLUDES = "".join(f"\n#include <{name}>" for name in ("cassert", "cmath", "random", "stdexcept", "vector"))
TORQUE = "get(action, 0, 0);\n        const T gravity"
FAULTS = {
    "read beyond the action": (
        TORQUE,
        "get(action, 0, TI(state.angle > 1));\n        const T gravity",
        "get(action, 0, TI",
        r"the index \(0, 1\) is beyond the elements",
    ),
    "write beyond the observation": (
        "set(observation, 0, 2, state",
        "set(observation, 0, 2 + TI(state.angle > 1), state",
        "set(observation, 0, 2 +",
        r"the index \(0, 3\) is beyond the elements",
    ),
    "write beyond an array": (
        "return -(angle",
        "int a[3]; volatile int* b = a; b[3 + int(torque > 1)] = 1; return -(angle",
        "b[3 +",
        "buffer-overflow|insufficient space",
    ),
    "write beyond the state": (
        RETURN,
        "T* p = &next_state.angle; p[next_state.velocity > 2 ? 2 : 1] = next_state.velocity; return ENV::TIME_STEP;",
        "T* p =",
        "memory beyond State or Parameters",
    ),
    "index beyond a vector that has room": (
        RETURN,
        "std::vector<T> v(4); v.reserve(8); v[state.angle > 2 ? 5 : 0] = 1; return ENV::TIME_STEP;",
        "v.reserve",
        "Assertion '__n < this->size",
    ),
    "float that no integer can be": (
        "return -(angle",
        "volatile int n = int(angle * T(1e12)); return n * 0 - (angle",
        "volatile int n",
        "outside the range of representable values",
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
        "too far",
        r"step\(\) threw an exception: too far",
    ),
    "exception of the library's": (
        RETURN,
        "std::vector<T> v(3); v.at(state.angle > 2 ? 3 : 0) = 1; return ENV::TIME_STEP;",
        "v.at",
        r"step\(\) threw an exception: vector",
    ),
    "exception that ends the process": (
        RETURN,
        'auto f = [&]() noexcept { if (state.angle > 2) { throw std::runtime_error("too far"); } }; f(); '
        "return ENV::TIME_STEP;",
        "noexcept",
        r"terminate called after throwing an instance of 'std::runtime_error' what\(\): too far",
    ),
    "assertion": (RETURN, "assert(state.angle < 2); return ENV::TIME_STEP;", "assert(", "Assertion `state.angle < 2'"),
    "exit": (
        RETURN,
        "if (state.angle > 2) { std::exit(0); } return ENV::TIME_STEP;",
        "std::exit",
        "ended the process, as by std::exit",
    ),
    "late in an episode": (
        "struct State {",
        "struct State { TI n; ",
        "state.n > 500",
        r"step\(\) threw an exception: late",
    ),
    "NaN": ("return -(angle", "return std::sqrt(angle) - (angle", None, r"reward\(\) returned NaN"),
    "unset element": ("set(observation, 0, 2, state.velocity);", "", None, "leaves elements of the observation unset"),
    "element that is not always set": (
        "set(observation, 0, 2, state.velocity);",
        "if (state.angle < 3) { set(observation, 0, 2, state.velocity); }",
        None,
        "leaves elements of the observation unset, the first of them 2",
    ),
    "observation beyond its bounds": (
        "set(observation, 0, 2, state.velocity);",
        "set(observation, 0, 2, 2 * state.velocity);",
        None,
        r"observe\(\) wrote -?\d+.* for element 2, which OBSERVATION_LOW and OBSERVATION_HIGH say .* -8 and 8",
    ),
    "randomness that follows no seed": (
        RETURN,
        "next_state.angle += T(std::random_device{}() % 100) / 1000; return ENV::TIME_STEP;",
        None,
        r"what (reward\(\) returns|observe\(\) writes) does not follow the seed",
    ),
    "state that environments share": (
        RETURN,
        "static int n = 0; n++; next_state.angle += T(n % 7) / 1000; return ENV::TIME_STEP;",
        None,
        "does not follow the seed.* keep all that changes in State",
    ),
    "member that environments share": (
        "struct State {",
        "mutable T n = 0; struct State {",
        None,
        "does not follow the seed.* keep all that changes in State",
    ),
    "variable that is never set": (
        RETURN,
        "T a; T* volatile b = &a; next_state.angle += *b / 1000; return ENV::TIME_STEP;",
        None,
        "does not follow the seed.* set each variable before it is read",
    ),
    "memory that is kept": (
        RETURN,
        "volatile T* v = new T[100]; v[0] = 0; return ENV::TIME_STEP;",
        None,
        "takes memory that it does not give back, 400 bytes in each step",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_where_it_is(name, changed_example):
    old, new, marker, message = FAULTS[name]
    late = (
        ("EPISODE_STEP_LIMIT = 200", "EPISODE_STEP_LIMIT = 1000"),
        (RETURN, 'next_state.n++; if (state.n > 500) { throw std::runtime_error("late"); } return ENV::TIME_STEP;'),
        ("state.angle = random", "state.n = 0; state.angle = random"),
        ("state = {rl_tools::math::PI<T>, 0}", "state = {0, rl_tools::math::PI<T>, 0}"),
    )
    shared = (
        ("T step(DEVICE& device, const Pendulum<T, TI>&,", "T step(DEVICE& device, const Pendulum<T, TI>& env,"),
        (RETURN, "next_state.angle += env.n / 1000; env.n = state.velocity; return ENV::TIME_STEP;"),
    )
    more = {"late in an episode": late, "member that environments share": shared}
    folder = changed_example((old, new), ("#pragma once", "#pragma once" + INCLUDES), *more.get(name, ()))
    with pytest.raises(NativeEnvironmentError, match=message) as error:
        check_environment(folder)
    if marker is not None:
        lines = (folder / "environment.h").read_text().splitlines()
        number = next(i for i, line in enumerate(lines, 1) if marker in line)
        assert str(error.value).startswith(f"{folder / 'environment.h'}:{number}: ")


@pytest.mark.slow
def test_an_environment_may_print(changed_example):
    printer = "struct Printer { ~Printer() { std::cout << value; } const char* value; };"
    folder = changed_example(
        ("#pragma once", f'#pragma once\n#include <iostream>\n{printer}\nstatic Printer at_the_end{{"end"}};'),
        (RETURN, 'std::cout << "step"; std::cerr << "check-env: step\\n"; return ENV::TIME_STEP;'),
    )
    assert check_environment(folder, 10).startswith("10 steps without an error; no episode ended, rewards from -")


def check_env(*arguments):
    command = [sys.executable, "-m", "sb3_tinyrl", "check-env", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)


@pytest.mark.slow
def test_the_command_line(changed_example, tmp_path):
    good = check_env(EXAMPLE, "--steps", 100)
    assert (good.returncode, good.stderr) == (0, "")
    assert re.fullmatch(
        rf"{EXAMPLE}: 100 steps without an error\n  no episode ended, rewards from -\d\S* to -\d\S*\n"
        r"  optional functions: initial_state\n  left out: init, sample_initial_parameters, .*, visit_info\n",
        good.stdout,
    )
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
    with pytest.raises(
        NativeEnvironmentError, match=r"environment.h:\d+: the steps did not end in time.*loop without an end"
    ) as error:
        check_environment(folder, seconds=1)
    line = int(re.search(rf"{re.escape(str(folder))}/environment.h:(\d+): ", str(error.value))[1])
    assert "for (volatile" in (folder / "environment.h").read_text().splitlines()[line - 1]


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
    with mounted(tmp_path / "disk", "noexec") as disk:
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        with pytest.raises(KernelError, match=r"can't be started: .*Permission denied; .*set TMPDIR"):
            check_environment(EXAMPLE)


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
