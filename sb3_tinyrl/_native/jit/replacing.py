"""Files that take the place of others, also on Windows, which refuses that while a program has one of them open."""

from __future__ import annotations

import os
import secrets
import time
from contextlib import suppress
from pathlib import Path

HELD_SUFFIX = ".held"
"""What the names of files end with that were put aside."""
#: How long to wait after each refusal; virus scanners and other processes look at a file for a moment.
_SECONDS_UNTIL_NEXT_TRY = (0.01, 0.05, 0.2, 0.5, 1.0)


def replace(source: Path, target: Path) -> None:
    """Rename a file over another.

    A library that a process has loaded stays open, but Windows lets it be renamed: it goes on as ``*.held`` in the
    same folder.

    :raises PermissionError: when the rename is still refused after all that
    """
    for seconds in _SECONDS_UNTIL_NEXT_TRY:
        try:
            os.replace(source, target)
            return
        except PermissionError:
            time.sleep(seconds)
    with suppress(FileNotFoundError):
        os.replace(target, target.with_name(f"{target.stem}.{secrets.token_hex(4)}{HELD_SUFFIX}"))
    os.replace(source, target)
