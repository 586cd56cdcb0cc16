"""Compilers that are killed, starved and interrupted, and the processes that have started them."""

import os
import random
import re
import shlex
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
from small_model import run, start

pytestmark = pytest.mark.slow

LEARN = "make(1).learn(40)\nprint('learned')\n"


def processes_in(folder: Path) -> list[int]:
    """Processes that work in a folder or below it, as compilers do in their workspace."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(process / "cwd").startswith(f"{folder}/"):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def named_processes_in(folder: Path) -> dict[str, int]:
    """The same, by the name of the program."""
    names = {}
    for process_id in processes_in(folder):
        with suppress(OSError):  # it has ended meanwhile
            names[Path(f"/proc/{process_id}/comm").read_text().strip()] = process_id
    return names


def assert_no_compiler_is_left(cache: Path) -> None:
    deadline = time.monotonic() + 20
    while left := processes_in(cache):
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.05)


def wait_for_compiler(cache: Path) -> None:
    deadline = time.monotonic() + 60
    while not processes_in(cache):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_a_killed_ninja_leaves_no_compiler_behind(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    process = start("make(1, kernel='auto').learn(30)", cache)
    deadline = time.monotonic() + 60
    while "ninja" not in (names := named_processes_in(cache)) or not {"cc1plus", "clang++"} & names.keys():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    os.kill(names["ninja"], signal.SIGKILL)
    output, _ = process.communicate(timeout=120)
    assert "PyTorch update: the C++ compiler failed: it was killed by signal 9 (SIGKILL)" in output
    assert_no_compiler_is_left(cache)
    assert not list(cache.glob("*.build"))


def test_a_compiler_without_memory_says_so(tmp_path: Path) -> None:
    compiler = tmp_path / "c++"
    real = shlex.quote(str(shutil.which("c++")))
    compiler.write_text(
        f'#!/bin/sh\ncase "$*" in *--version) exec {real} "$@"; esac\nulimit -v 150000\nexec {real} "$@"\n'
    )
    compiler.chmod(0o755)
    output = run("make(1, kernel='auto').learn(30)", tmp_path / "cache", CXX=str(compiler))
    assert "out of memory" in output or "virtual memory exhausted" in output, output
    assert "The machine ran out of memory or of processes. Free some" in output


def test_predict_never_asks_a_compiler(cache: Path, tmp_path: Path) -> None:
    compiler = tmp_path / "c++"
    compiler.write_text(f"#!/bin/sh\ntouch {shlex.quote(str(tmp_path / 'asked'))}\nsleep 1000\n")
    compiler.chmod(0o755)
    run(
        """
model = make(1)
for net_arch in ([16, 16], [17]):  # with a library in the cache, and without
    model = make(1, policy_kwargs={"net_arch": net_arch})
    model.predict(model.observation_space.sample())
    assert (model._session.for_predicting(model) is not None) == (net_arch == [16, 16])
""",
        cache,
        CXX=str(compiler),
    )
    assert not (tmp_path / "asked").exists()


def test_builders_killed_at_random_moments(tmp_path: Path) -> None:
    cache, moments = tmp_path / "cache", random.Random(0)
    for _ in range(8):
        process = start(LEARN, cache)
        wait_for_compiler(cache)
        time.sleep(moments.uniform(0, 3))
        process.kill()
        process.communicate()
        assert_no_compiler_is_left(cache)
        for library in cache.glob("*.so"):  # it was killed later than at its build
            library.unlink()
    assert "learned" in run(LEARN, cache)
    assert not list(cache.glob("*.build"))


def test_interrupts_at_random_moments(tmp_path: Path) -> None:
    """One process takes twenty, each in another build or in the run of ``learn`` that follows."""
    cache = tmp_path / "cache"
    output = run(
        """
import random, threading
moments = random.Random(0)
signal.signal(signal.SIGINT, signal.default_int_handler)
interrupted = 0
for n in range(20):
    model = make(1, policy_kwargs={"net_arch": [8 + n % 4]})
    timer = threading.Timer(moments.uniform(0.05, 2.5), os.kill, (os.getpid(), signal.SIGINT))
    try:
        timer.start()
        model.learn(10**6)
    except KeyboardInterrupt:
        interrupted += 1
    timer.join()
    assert all(p.isfinite().all() for p in model.policy.parameters())
print("interrupted", interrupted)
make(1).learn(40)
""",
        cache,
    )
    assert "interrupted 20" in output
    assert_no_compiler_is_left(cache)
    assert not list(cache.glob("*.build"))


def test_nonsense_in_variables_is_told_once_and_does_not_reach_predict(tmp_path: Path) -> None:
    program = """
model = make(1, kernel="auto")
model.predict(model.observation_space.sample())
print("predicted", flush=True)
model.learn(30)
model.predict(model.observation_space.sample())
"""
    for name, value in (("SB3_TINYRL_COMPILE_TIMEOUT", "soon"), ("SB3_TINYRL_CACHE_SIZE", "9" * 400)):
        output = run(program, tmp_path / "cache", **{name: value})
        warned = re.findall(rf"PyTorch update: \${name} is '{value}', expected a number of", output)
        assert output.startswith("predicted\n")
        assert len(warned) == 1


def test_a_process_that_can_open_no_file_predicts_and_trains(tmp_path: Path) -> None:
    output = run(
        """
model = make(1, kernel="auto")
make(1, kernel="torch").learn(30)  # imports all that PyTorch's update needs
n_open = len(os.listdir("/proc/self/fd")) - 1
resource.setrlimit(resource.RLIMIT_NOFILE, (n_open, n_open))
model.predict(model.observation_space.sample())
print("predicted", flush=True)
model.learn(30)
model.predict(model.observation_space.sample())
""",
        tmp_path / "cache",
    )
    assert output.startswith("predicted\n")
    assert len(re.findall("PyTorch update: .*Too many open files", output)) == 1
