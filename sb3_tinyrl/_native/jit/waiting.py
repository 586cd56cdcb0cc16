"""What a user sees who waits for a compiler: a line on stderr."""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import suppress


class WaitingLine:
    """Says what is being compiled, for how long, and that it happens once.

    In a terminal the seconds are counted in place. In files and notebooks, where nothing can be replaced, the line is
    begun at first, and completed with the time that it took. A progress bar of rich shows whole lines above itself
    and nothing else, so there it is two.

    :param what: is compiled
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._activity = ""
        self._since: float | None = None
        self._shown = ""

    def show(self, activity: str, since: float) -> None:
        """Begin the line, or count on.

        :param activity: ``"Compiling"``, or what else is waited for
        :param since: when it began, as ``time.monotonic`` told
        """
        is_another, self._activity, self._since = activity != self._activity, activity, since
        if _is_in_place():
            self._replace(f"{time.monotonic() - since:.0f} s")
        elif is_another:
            if self._shown and not _is_above_bar():
                _write("\n")  # after what else was waited for
            self._shown = f"{activity}, once on this machine: {self._what}..."
            _write(f"{self._shown}\n" if _is_above_bar() else self._shown)

    def end(self, succeeded: bool) -> None:
        """Complete the line, if there is one."""
        if self._since is None:
            return
        outcome = f"{'took' if succeeded else 'stopped after'} {time.monotonic() - self._since:.1f} s"
        if _is_in_place():
            self._replace(outcome)
            _write("\n")
        else:
            _write(f"... {outcome}\n" if _is_above_bar() else f" {outcome}\n")

    def _replace(self, seconds: str) -> None:
        text = f"{self._activity}, once on this machine ({seconds}): {self._what}"
        # Shorter than the terminal is wide, as a line that is broken in two could not be replaced.
        room = max(shutil.get_terminal_size().columns - 1, 4)
        text = text if len(text) <= room else f"{text[: room - 3]}..."
        if text != self._shown:
            _write(f"\r{text:{len(self._shown)}}")
            self._shown = text


def _is_above_bar() -> bool:
    return hasattr(sys.stderr, "rich_proxied_file")


def _is_in_place() -> bool:
    try:
        return sys.stderr.isatty() and not _is_above_bar()
    except (ValueError, AttributeError):  # it is closed, or there is none
        return False


def _write(text: str) -> None:
    # A user who has no stderr, or has closed it, waits in silence.
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(text)
        sys.stderr.flush()
