import _thread
import os
import shlex
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest

from sb3_tinyrl._native.abi.specs import KernelSpec
from sb3_tinyrl._native.jit.jobs import build_in_foreground

SPEC = KernelSpec(3, 1, (), ())


@pytest.mark.parametrize("delay", [0, 1], ids=["at once", "later"])
def test_an_interrupt_ends_the_compiler(
    overlay: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delay: float
) -> None:
    monkeypatch.setenv("SB3_TINYRL_CACHE_DIR", str(tmp_path / "cache"))
    started, compiler = tmp_path / "started", tmp_path / "compiler"
    compiler.write_text(
        f'#!/bin/sh\ncase "$*" in *--version) exec {shutil.which("c++")} "$@"; esac\n'
        f"echo $$ > {shlex.quote(str(started))}.new; mv {shlex.quote(str(started))}.new {shlex.quote(str(started))}\n"
        "exec sleep 60\n"
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))

    def interrupt() -> None:
        while not started.exists():
            time.sleep(0.01)
        time.sleep(delay)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        build_in_foreground(SPEC)
    process_id = int(started.read_text())
    deadline = time.monotonic() + 20
    while Path(f"/proc/{process_id}").exists():
        assert time.monotonic() < deadline, "the compiler is still running"
        time.sleep(0.01)


def test_a_thread_that_never_begins_holds_nothing_up(
    overlay: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SB3_TINYRL_CACHE_DIR", str(tmp_path / "cache"))
    # As one that finds no memory before it comes to our code; `ulimit -v` has that happen at random.
    monkeypatch.setattr(_thread, "start_new_thread", lambda *_: 1)
    assert build_in_foreground(SPEC).exists()
