"""``sb3-tinyrl doctor`` on this machine, on one without a compiler, and on others that lack something."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from compilers import wrapped
from models import TIMEOUT

if os.name == "nt":
    pytest.skip("needs a terminal of Unix", allow_module_level=True)
from terminal import run, screen

DOCTOR = (sys.executable, "-m", "sb3_tinyrl", "doctor")
NAMES = (
    *("system", "packages", "compiler", "instruction set", "C++ sources", "cache", "kernel", "FMA peak"),
    *("backends", "threads", "GPU"),
)
TRAINS = "TinySAC trains natively on this machine."
DOES_NOT = "TinySAC can't train natively on this machine before that is mended, and trains through torch meanwhile."


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SB3_TINYRL_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def marks(written: str) -> dict[str, str]:
    """The mark of each line that has one, by name."""
    found = [re.match(r"([✓✗-]) (.{15}\S*) ", line) for line in screen(written)]
    return {match[2].strip(): match[1] for match in found if match}


@pytest.mark.slow
def test_a_healthy_machine_is_found_healthy(cache: Path) -> None:
    status, written = run(DOCTOR)
    assert status == 0
    assert marks(written) == dict.fromkeys(NAMES, "✓")
    lines = screen(written)
    assert lines[-2:] == [TRAINS, ""]
    assert len(lines) == len(NAMES) + 2, "each finding is a line"
    text = "\n".join(lines)
    for package in ("sb3-tinyrl", "stable-baselines3", "gymnasium", "torch", "numpy", "rltools", "ninja"):
        assert f"{package} {version(package)}" in text
    assert f"{cache}, of " in text
    match = re.search(
        r"kernel +compiled in [\d.]+ s; beside torch, 10 updates .* (\S+) in 2498 weights, .* (\S+)", text
    )
    assert match
    assert 0 < float(match[1]) < 2e-5
    assert 0 < float(match[2]) < 2e-5
    assert list(cache.iterdir()) == [], "what it compiled is gone"


def test_without_a_compiler_the_ways_out_are_told(cache: Path, tmp_path: Path) -> None:
    program = (
        "import runpy, sys; sys.modules['ziglang'] = None; sys.argv = ['sb3_tinyrl', 'doctor'];"
        "runpy.run_module('sb3_tinyrl', run_name='__main__')"
    )
    status, written = run([sys.executable, "-c", program], PATH=str(tmp_path), CXX=None)
    assert status == 1
    bad = {"compiler": "✗", **dict.fromkeys(("instruction set", "kernel", "FMA peak", "backends"), "-")}
    assert marks(written) == {**dict.fromkeys(NAMES, "✓"), **bad}
    text = "\n".join(screen(written))
    for way_out in ("sudo apt install g++", 'pip install "sb3-tinyrl[compiler]"', 'kernel="torch"', DOES_NOT):
        assert way_out in text
    assert "Traceback" not in text


@pytest.mark.slow
def test_a_broken_compiler_is_told_from_a_missing_one(cache: Path, tmp_path: Path) -> None:
    broken = wrapped(tmp_path, 'set -- "$@" -nostdinc')
    status, written = run(DOCTOR, CXX=broken)
    assert status == 1
    found = marks(written)
    assert (found["compiler"], found["kernel"], found["FMA peak"]) == ("✓", "✗", "-")
    text = "\n".join(screen(written))
    assert f"{broken}, from $CXX" in text
    for part in ("the C++ compiler failed: ", "No such file or directory", "Choose another one with $CXX", DOES_NOT):
        assert part in text
    assert "Traceback" not in text


@pytest.mark.slow
def test_a_kernel_that_crashes_leaves_the_doctor_alive(cache: Path, tmp_path: Path) -> None:
    crash = tmp_path / "crash.cpp"
    crash.write_text("#include <cstdlib>\n__attribute__((constructor)) static void crash() { std::abort(); }\n")
    status, written = run(DOCTOR, CXX=wrapped(tmp_path, f'set -- "$@" {shlex.quote(str(crash))}'))
    assert status == 1
    assert marks(written)["kernel"] == "✗"
    assert "it was killed by signal 6 (SIGABRT)" in "\n".join(screen(written))


@pytest.mark.slow
def test_an_interrupt_ends_the_doctor_and_the_compiler(cache: Path, tmp_path: Path) -> None:
    started = tmp_path / "started"
    new = shlex.quote(f"{started}.new")
    compiler = wrapped(tmp_path, f"echo $$ >{new}; mv {new} {shlex.quote(str(started))}; exec sleep 300")
    doctor = subprocess.Popen(
        DOCTOR,
        env={**os.environ, "CXX": compiler},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(started.exists)
    doctor.send_signal(signal.SIGINT)
    _, error = doctor.communicate(timeout=TIMEOUT)
    assert (doctor.returncode, error) == (130, "interrupted\n")
    wait_until(lambda: not Path(f"/proc/{started.read_text().strip()}").exists())
    assert list(cache.iterdir()) == []


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_a_cache_that_others_can_write_is_bad(cache: Path) -> None:
    cache.mkdir()
    cache.chmod(0o777)
    status, written = run(DOCTOR, CXX="/no/such/compiler")
    assert status == 1
    assert marks(written)["cache"] == "✗"
    assert f"chmod go-w {cache}" in "\n".join(screen(written))


def test_programs_read_the_findings(cache: Path) -> None:
    variables = {**os.environ, "CXX": "/no/such/compiler"}
    finished = subprocess.run([*DOCTOR, "--json"], env=variables, capture_output=True, text=True, timeout=TIMEOUT)
    assert finished.returncode == 1
    report = json.loads(finished.stdout)
    assert report["trains_natively"] is False
    findings = {finding["name"]: finding for finding in report["findings"]}
    assert [*findings] == [*NAMES]
    assert findings["compiler"]["result"] == "bad"
    assert "/no/such/compiler" in findings["compiler"]["text"]
    assert findings["kernel"]["result"] == "skipped"
    assert findings["kernel"]["needed"]
    assert findings["cache"]["values"]["folder"] == str(cache)
    assert findings["packages"]["values"]["torch"] == version("torch")


def test_marks_are_plain_where_the_terminal_has_no_others(cache: Path) -> None:
    variables = {**os.environ, "CXX": "/no/such/compiler", "PYTHONIOENCODING": "ascii"}
    finished = subprocess.run(DOCTOR, env=variables, capture_output=True, text=True, timeout=TIMEOUT)
    assert "\nx compiler " in finished.stdout
    assert "\n+ cache " in finished.stdout
