"""Compilers end, with all that they have started."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sb3_tinyrl._native.jit import processes
from sb3_tinyrl._native.jit.processes import CancelledError, Finished, OutputError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="these programs are for sh")


def run(script: str, *arguments: object, seconds: float = 20, cancelled: threading.Event | None = None) -> Finished:
    return processes.run(["sh", "-c", script, "sh", *map(str, arguments)], seconds=seconds, cancelled=cancelled)


def is_running(process_id: int) -> bool:
    """Whether a process is there; one that has ended may still wait for its parent to be told."""
    try:
        return "Z" not in Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_output_and_status_are_told() -> None:
    assert run("echo one; echo two >&2; exit 3") == Finished(3, "one\ntwo\n")
    assert run("read line; echo got $line") == Finished(0, "got\n")  # there is nothing to read
    assert run("printf '\\377'").output == "\ufffd"


def test_a_signal_is_named() -> None:
    assert run("kill -KILL $$").reason().startswith("it was killed by signal 9 (SIGKILL), as by the operating system")
    assert run("kill -SEGV $$").reason() == "it was killed by signal 11 (SIGSEGV)"
    assert Finished(3, "").reason() == "it ended with status 3"
    assert Finished(255, "").reason() == "it was killed by signal 127"


def test_both_streams_may_be_told_apart() -> None:
    script = 'echo one; echo "$TWO" >&2; exit 3'
    finished = processes.run(["sh", "-c", script], seconds=20, variables={"TWO": "two"}, apart=True)
    assert finished == Finished(3, "one\n", "two\n")


@pytest.mark.parametrize("stream", [1, 2])
def test_a_program_that_does_not_stop_to_write_is_ended(monkeypatch: pytest.MonkeyPatch, stream: int) -> None:
    monkeypatch.setattr(processes, "_MOST_OUTPUT", 2**20)
    with pytest.raises(OutputError, match="wrote more than 1 MiB"):
        processes.run(["sh", "-c", f"yes >&{stream}"], seconds=60, apart=True)


STUBBORN = "trap '' TERM; "
CHILD = 'sleep 60 & echo $! > "$1.new"; mv "$1.new" "$1"; wait'


@pytest.mark.parametrize("script", [CHILD, STUBBORN + CHILD], ids=["obedient", "stubborn"])
def test_a_time_limit_ends_the_children_too(tmp_path: Path, script: str) -> None:
    start = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        run(script, tmp_path / "child", seconds=0.5)
    assert time.monotonic() - start < 10
    wait_until(lambda: not is_running(int((tmp_path / "child").read_text())))


def test_cancelling_ends_the_children_too(tmp_path: Path) -> None:
    cancelled = threading.Event()
    threading.Thread(target=lambda: (wait_until((tmp_path / "child").exists), cancelled.set())).start()
    with pytest.raises(CancelledError):
        run(CHILD, tmp_path / "child", cancelled=cancelled)
    wait_until(lambda: not is_running(int((tmp_path / "child").read_text())))


def test_what_a_killed_program_leaves_behind_is_ended(tmp_path: Path) -> None:
    start = time.monotonic()
    finished = run('sleep 60 & echo $! > "$1"; echo said; kill -KILL $$', tmp_path / "child")
    assert finished == Finished(137, "said\n")
    assert time.monotonic() - start < 10
    wait_until(lambda: not is_running(int((tmp_path / "child").read_text())))


@pytest.mark.parametrize("end", ["exit 0", "exit 3"])
def test_a_daemon_that_keeps_the_output_open_is_not_waited_for(tmp_path: Path, end: str) -> None:
    start = time.monotonic()
    script = f'setsid sh -c \'echo $$ > "$1"; exec sleep 60\' sh "$1" & until [ -s "$1" ]; do :; done; echo said; {end}'
    finished = run(script, tmp_path / "daemon", seconds=30)
    assert finished == Finished(int(end[-1]), "said\n")
    assert time.monotonic() - start < 20
    os.kill(int((tmp_path / "daemon").read_text()), signal.SIGKILL)


def test_what_a_program_that_ends_well_leaves_behind_is_left_alone(tmp_path: Path) -> None:
    """Such as the server of a compiler cache."""
    run('sleep 60 >/dev/null 2>&1 & echo $! > "$1"', tmp_path / "child")
    child = int((tmp_path / "child").read_text())
    time.sleep(1.5)
    assert is_running(child)
    os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("script", [CHILD, STUBBORN + CHILD], ids=["obedient", "stubborn"])
def test_a_program_ends_with_the_process_that_has_started_it(tmp_path: Path, script: str) -> None:
    program = (
        "import sys; from sb3_tinyrl._native.jit import processes\n"
        "processes.run(['sh', '-c', *sys.argv[1:]], seconds=60)"
    )
    process = subprocess.Popen([sys.executable, "-c", program, script, "sh", tmp_path / "child"])
    wait_until((tmp_path / "child").exists)
    process.kill()
    process.wait()
    wait_until(lambda: not is_running(int((tmp_path / "child").read_text())))


def test_a_program_ends_though_a_forked_child_lives_on(tmp_path: Path) -> None:
    program = """
import os, sys, threading, time
from sb3_tinyrl._native.jit import processes
run = lambda: processes.run(["sh", "-c", sys.argv[1], "sh", sys.argv[2]], seconds=60)
threading.Thread(target=run, daemon=True).start()
while not os.path.exists(sys.argv[2]):
    time.sleep(0.01)
if forked := os.fork():
    print(forked, flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", program, CHILD, tmp_path / "child"], stdout=subprocess.PIPE)
    assert process.stdout
    forked = int(process.stdout.readline())
    process.kill()
    process.wait()
    try:
        wait_until(lambda: not is_running(int((tmp_path / "child").read_text())))
    finally:
        os.kill(forked, signal.SIGKILL)


def test_a_process_that_a_broken_pipe_ends_survives_the_loss_of_the_guard() -> None:
    """As many set SIGPIPE to act as in other programs, and memory that runs out may end any process of the group."""
    program = """
import signal
from sb3_tinyrl._native.jit import processes
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
script = "read -r guard < /proc/$$/task/$$/children; kill -KILL $guard; sleep 0.2; echo said"
print(processes.run(["sh", "-c", script], seconds=20).output)
"""
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert finished.stdout == "said\n\n", finished


@pytest.mark.skipif(sys.platform != "linux", reason="prctl")
def test_the_first_process_of_a_container_keeps_no_zombies() -> None:
    program = """
import ctypes, os, time
from sb3_tinyrl._native.jit import processes
PR_SET_CHILD_SUBREAPER = 36
assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
for _ in range(4):
    processes.run(["true"], seconds=20)
    time.sleep(0.5)
print(open(f"/proc/self/task/{os.getpid()}/children").read().split())
"""
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert len(finished.stdout.split()) == 1, finished  # that of the last program


def test_no_descriptors_are_left(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    run("true")
    with pytest.raises(subprocess.TimeoutExpired):
        run("sleep 60", seconds=0.1)
    with pytest.raises(OSError, match="none"):
        processes.run(["true"], seconds=1, folder=tmp_path / "none")
    assert os.listdir("/proc/self/fd") == before
