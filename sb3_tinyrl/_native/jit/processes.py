"""Runs compilers: ended with all their child processes by a time limit, by the user, or when this process dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_SECONDS_BETWEEN_LOOKS = 0.1
_SECONDS_TO_END = 2.0
if sys.platform == "win32":
    _LAST_SIGNAL = signal.SIGTERM  # which ends any program there
else:
    _LAST_SIGNAL = signal.SIGKILL

# The program and all that it starts make a process group of their own, in which a child waits on a pipe to this very
# process: a line says that all went well; the end of the file, that this process has died or given up.
# (PR_SET_PDEATHSIG would need code between fork and exec, which is not safe where there are threads, and would end
# the program alone rather than the group.)
_GUARDED = """\
exec 3<&0 </dev/null
(trap '' TERM; read -r _ <&3 && exit; kill -TERM 0; sleep 1; kill -KILL 0) >/dev/null 2>&1 &
exec 3<&-
exec "$@"
"""


class CancelledError(Exception):
    """Another thread asked for the end."""


@dataclass(frozen=True)
class Finished:
    """How a program has ended, and what it said on both streams.

    :param status: exit status; above 128 that number and a signal's, as in a shell
    """

    status: int
    output: str

    def reason(self) -> str:
        """Return how it ended, in words: with which status or by which signal."""
        if self.status <= 128:
            return f"it ended with status {self.status}"
        number = self.status - 128
        try:
            name = f" ({signal.Signals(number).name})"
        except ValueError:
            name = ""
        hint = ", as by the operating system when memory runs out" if number == 9 else ""
        return f"it was killed by signal {number}{name}{hint}"


def run(
    command: Sequence[str], *, seconds: float, folder: Path | None = None, cancelled: threading.Event | None = None
) -> Finished:
    """Run a program to its end, in English; afterwards nothing that it started is left.

    :param command: the program and its arguments
    :param seconds: how long it may take
    :param folder: where it runs; by default where this process does
    :param cancelled: to be set from another thread to end it
    :raises OSError: when it can't be started
    :raises CancelledError: when ``cancelled`` was set
    :raises subprocess.TimeoutExpired: when the time was up
    """
    deadline = time.monotonic() + seconds
    with _started(command, folder) as (process, guard):
        while True:
            try:
                output, _ = process.communicate(timeout=_SECONDS_BETWEEN_LOOKS)
                break
            except subprocess.TimeoutExpired:
                pass
            if process.poll() is not None:
                guard.end_group()  # It was killed, and what it started keeps the output open.
            elif cancelled is not None and cancelled.is_set():
                raise CancelledError
            elif time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(command, seconds)
        status = process.returncode
        return Finished(status if status >= 0 else 128 - status, output)


class _Guard:
    """The end of the pipe that is in this process, and the process group that hangs on it."""

    def __init__(self, pipe: int | None) -> None:
        self._pipe = pipe

    def release(self) -> None:
        """Let go what the program left running: it has ended well."""
        if self._pipe is not None:
            with suppress(OSError):  # as the group may be gone
                os.write(self._pipe, b"\n")
            self.end_group()

    def end_group(self) -> None:
        """End all that is left of the group."""
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None


@contextmanager
def _started(command: Sequence[str], folder: Path | None) -> Iterator[tuple[subprocess.Popen[str], _Guard]]:
    is_windows = sys.platform == "win32"  # which has neither sh nor process groups: the program alone is ended
    reading, writing = (None, None) if is_windows else os.pipe()
    guard = _Guard(writing)
    try:
        try:
            process = subprocess.Popen(
                [*command] if is_windows else ["/bin/sh", "-c", _GUARDED, "sh", *command],
                cwd=folder,
                stdin=subprocess.DEVNULL if is_windows else reading,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env={
                    **os.environ,
                    "LC_ALL": "C",
                },  # What compilers say is searched for English words, and part of keys.
                start_new_session=not is_windows,
            )
        finally:
            if reading is not None:
                os.close(reading)
        try:
            yield process, guard
        except BaseException:
            _end(process)
            raise
        if process.returncode == 0:
            guard.release()
    finally:
        guard.end_group()


def _end(process: subprocess.Popen[str]) -> None:
    _signal_group(process, signal.SIGTERM)
    try:
        process.communicate(timeout=_SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        _signal_group(process, _LAST_SIGNAL)
        process.communicate()


def _signal_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    if sys.platform == "win32":
        process.terminate()
    else:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)  # where the child with the pipe is, even if the program has ended
