"""Files that take the place of others, also on Windows, which refuses that while a program has one of them open."""

from __future__ import annotations

import os
import secrets
import time
from contextlib import suppress
from pathlib import Path

_HELD_SUFFIX = ".held"
#: How long to wait after each refusal; virus scanners and other processes look at a file for a moment.
_SECONDS_UNTIL_NEXT_TRY = (0.01, 0.05, 0.2, 0.5, 1.0)


def replace(source: Path, target: Path) -> None:
    """Rename a file over another.

    A library that a process has loaded stays open, but Windows lets it be renamed: it goes on as ``*.held`` in the
    same folder, until :func:`remove_held_files`.

    :raises PermissionError: when the rename is still refused after all that
    """
    for seconds in _SECONDS_UNTIL_NEXT_TRY:
        try:
            os.replace(source, target)
            return
        except PermissionError:
            time.sleep(seconds)
    with suppress(FileNotFoundError):
        os.replace(target, target.with_name(f"{target.stem}.{secrets.token_hex(4)}{_HELD_SUFFIX}"))
    os.replace(source, target)


def remove_held_files(folder: Path) -> None:
    """Remove what :func:`replace` has put aside, but for what a process still has loaded."""
    for path in folder.glob(f"*{_HELD_SUFFIX}"):
        with suppress(OSError):
            path.unlink()
