"""What the commands have in common: their arguments and their progress."""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sb3_tinyrl._native.abi.thread_tuner import MAX_THREADS, available_threads


class UsageError(Exception):
    """The arguments ask for something that can't be measured."""


def size(text: str) -> int:
    """Return a number of at least 1.

    :raises argparse.ArgumentTypeError: when it is smaller
    """
    size = int(text)
    if size < 1:
        raise argparse.ArgumentTypeError(f"{size}, expected at least 1")
    return size


def sizes(text: str) -> tuple[int, ...]:
    """Return numbers of at least 1, which commas separate."""
    return tuple(size(part) for part in text.split(","))


def require_threads(n_threads: int) -> None:
    """Check that there are so many.

    :raises UsageError: when there are fewer
    """
    if n_threads > available_threads():
        raise UsageError(
            f"--threads {n_threads}: this process may use {available_threads()} cores (TinySAC at most "
            f"{MAX_THREADS}); ask for no more"
        )


def progress_bar(console: Console) -> Progress:
    """Return a bar that shows what comes."""
    columns = (BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    # Redrawn once a second: the display must not take part in the race.
    return Progress(*columns, console=console, refresh_per_second=1, transient=True)
