"""A terminal, to see what a person sees: programs ask whether they write to one."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Sequence

_TIMEOUT = 300
_WIDTH = 120


def run(command: Sequence[object], **environment: str | None) -> tuple[int, str]:
    """Run a program in a terminal.

    :param environment: variables to set, or to remove for ``None``
    :return: its exit status, and all that it wrote, control characters included
    """
    # A width that the environment tells, as pytest's does, would count for more than the terminal's.
    variables = {**os.environ, "TERM": "xterm-256color", "COLUMNS": None, **environment}
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, _WIDTH, 0, 0))
    process = subprocess.Popen(
        [*map(str, command)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={name: value for name, value in variables.items() if value is not None},
        start_new_session=True,
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # as Linux says when the last program has closed it
            break
        if not chunk:
            break
        written += chunk
    os.close(ours)
    return process.wait(_TIMEOUT), written.decode()


def screen(written: str) -> list[str]:
    """The lines that stay on a screen wide enough for them, without colours."""
    lines: list[list[str]] = [[]]
    row = column = 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|.", written.replace("\r\n", "\n"), re.DOTALL):
        shown = lines[row]
        if part == "\n":
            row, column = row + 1, 0
            lines += [[] for _ in range(row + 1 - len(lines))]
        elif part == "\r":
            column = 0
        elif part == "\x1b[1A":
            row -= 1
        elif part == "\x1b[2K":
            shown.clear()
        elif part == "\x1b[K":
            del shown[column:]
        elif len(part) == 1:
            shown[len(shown) :] = " " * (column - len(shown))
            shown[column : column + 1] = part
            column += 1
    return ["".join(line).rstrip() for line in lines]
