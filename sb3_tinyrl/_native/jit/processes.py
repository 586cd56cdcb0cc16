"""Runs compilers: ended with all their child processes by a time limit, by the user, or when this process dies."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_SECONDS_BETWEEN_LOOKS = 0.1
_SECONDS_TO_END = 2.0
_MOST_OUTPUT = 2**26  # more than any compiler says, and less than hurts
if sys.platform == "win32":
    _LAST_SIGNAL = signal.SIGTERM  # which ends any program there
else:
    _LAST_SIGNAL = signal.SIGKILL

# The program and all that it starts make a process group of their own, in which a child waits on a socket to this very
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


class OutputError(subprocess.SubprocessError):
    """A program wrote more than it can have to say."""


@dataclass(frozen=True)
class Finished:
    """How a program has ended, and what it said.

    :param status: exit status; above 128 that number and a signal's, as in a shell
    :param output: on both streams, or on stdout
    :param errors: on stderr, where that was asked for
    """

    status: int
    output: str
    errors: str = ""

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
    command: Sequence[str],
    *,
    seconds: float,
    folder: Path | None = None,
    cancelled: threading.Event | None = None,
    variables: Mapping[str, str] | None = None,
    apart: bool = False,
) -> Finished:
    """Run a program to its end, in English; afterwards nothing that it started is left in its process group.

    :param command: the program and its arguments
    :param seconds: how long it may take
    :param folder: where it runs; by default where this process does
    :param cancelled: to be set from another thread to end it
    :param variables: environment variables that it gets beside those of this process
    :param apart: whether to keep what it says on stderr apart
    :raises OSError: when it can't be started
    :raises CancelledError: when ``cancelled`` was set
    :raises subprocess.TimeoutExpired: when the time was up
    :raises OutputError: when it does not stop to write (on Windows it goes on until the time is up)
    """
    _bury_guards()
    deadline = time.monotonic() + seconds
    ended = None
    with _started(command, folder, variables or {}, apart) as (process, guard):
        while True:
            try:
                output, errors = process.communicate(timeout=_SECONDS_BETWEEN_LOOKS)
                break
            except subprocess.TimeoutExpired as error:
                # Both are bytes, unlike what communicate() returns.
                said, complaints = error.output or b"", error.stderr or b""
            now = time.monotonic()
            if process.poll() is not None:
                guard.end_group()  # What it has started keeps the output open.
                ended = now if ended is None else ended
                if now > ended + _SECONDS_TO_END:  # a daemon with a group of its own, which is none of our business
                    output, errors = (text.decode(errors="replace") for text in (said, complaints))
                    break
            elif len(said) + len(complaints) > _MOST_OUTPUT:
                raise OutputError(f"it wrote more than {_MOST_OUTPUT // 2**20} MiB")
            elif cancelled is not None and cancelled.is_set():
                raise CancelledError
            elif now > deadline:
                raise subprocess.TimeoutExpired(command, seconds)
        status = process.returncode
        return Finished(status if status >= 0 else 128 - status, output, errors or "")


class _Guard:
    """The end of the socket that is in this process, and the process group that hangs on it."""

    def __init__(self, end: socket.socket | None) -> None:
        self._end = end
        if end is not None:
            _open_ends.add(end)

    def release(self) -> None:
        """Let go what the program left running: it has ended well."""
        if self._end is not None:
            with suppress(OSError):  # as the group may be gone
                # No signal for that either, which ends a process whose user has SIGPIPE act as in other programs.
                self._end.send(b"\n", getattr(socket, "MSG_NOSIGNAL", 0))
            self.end_group()

    def end_group(self) -> None:
        """End all that is left of the group."""
        if self._end is not None:
            _open_ends.discard(self._end)
            self._end.close()
            self._end = None


_open_ends: set[socket.socket] = set()


def _close_in_child() -> None:
    # A forked child would keep the group alive when this process dies.
    for end in _open_ends:
        end.close()
    _open_ends.clear()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_close_in_child)


_past_groups: set[int] = set()


def _bury_guards() -> None:
    # Where this process is the first of a container, guards become its children when the programs have ended.
    if sys.platform != "win32":
        for group in [*_past_groups]:
            with suppress(ChildProcessError):
                if os.waitpid(-group, os.WNOHANG) == (0, 0):
                    continue  # It has not ended yet.
            _past_groups.discard(group)


@contextmanager
def _started(
    command: Sequence[str], folder: Path | None, variables: Mapping[str, str], apart: bool
) -> Iterator[tuple[subprocess.Popen[str], _Guard]]:
    is_windows = sys.platform == "win32"  # which has neither sh nor process groups: the program alone is ended
    theirs, ours = (None, None) if is_windows else socket.socketpair()
    guard = _Guard(ours)
    try:
        try:
            process = subprocess.Popen(
                [*command] if is_windows else ["/bin/sh", "-c", _GUARDED, "sh", *command],
                cwd=folder,
                stdin=subprocess.DEVNULL if theirs is None else theirs.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if apart else subprocess.STDOUT,
                text=True,
                errors="replace",
                # What compilers say is searched for English words, and part of keys.
                env={**os.environ, "LC_ALL": "C", **variables},
                start_new_session=not is_windows,
            )
        finally:
            if theirs is not None:
                theirs.close()
        try:
            yield process, guard
        except BaseException:
            _end(process)
            raise
        finally:
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
            if process.returncode is not None:
                _past_groups.add(process.pid)
        if process.returncode == 0:
            guard.release()
    finally:
        guard.end_group()


def _end(process: subprocess.Popen[str]) -> None:
    # What it still says is not read: there may be no end to it.
    for number in (signal.SIGTERM, _LAST_SIGNAL):  # the second for those of the group that go on after the first
        _signal_group(process, number)
        with suppress(subprocess.TimeoutExpired):  # even after the second, where a disk does not answer
            process.wait(timeout=_SECONDS_TO_END)


def _signal_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    if sys.platform == "win32":
        process.terminate()
    else:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)  # where the child with the socket is, even if the program has ended
