"""What the commands have in common: arguments, progress, and results that are shown and written."""

from __future__ import annotations

import argparse
import math
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sb3_tinyrl._native.abi.thread_tuner import MAX_THREADS, available_threads
from sb3_tinyrl._native.errors import KernelError
from sb3_tinyrl.bench.process import PeerError
from sb3_tinyrl.bench.report import Report


class UsageError(Exception):
    """The arguments ask for something that can't be measured."""


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows the defaults of those options that have a value."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, False) else super()._get_help_string(action)


@dataclass(frozen=True)
class Plan:
    """What a command is about to do.

    :param n_steps: in which it does it
    :param measure: gets a folder for temporary files, a function to call before each step with the number of those
        done and with what comes, and one that prints a line
    :param report: returns what came out
    """

    n_steps: int
    measure: Callable[[Path, Callable[[int, str], None], Callable[[str], None]], None]
    report: Callable[[], Report]


def add_parser(
    commands: Any,
    name: str,
    help: str,
    description: str,
    rounds: int,
    plan: Callable[[argparse.Namespace], Plan],
) -> argparse.ArgumentParser:
    """Add a command to those of ``python -m sb3_tinyrl``, with the arguments that all have.

    :param commands: what ``ArgumentParser.add_subparsers`` returned
    :param help: for the list of commands
    :param description: for the help of this one
    :param rounds: by default
    :param plan: checks the arguments
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=help, description=description, formatter_class=HelpFormatter
    )
    parser.add_argument("--threads", type=size, default=available_threads(), help="for each peer")
    parser.add_argument("--rounds", type=size, default=rounds, help="turns that each peer has")
    parser.add_argument("--output", type=Path, default=Path("runs", name), help="folder for the results")
    parser.set_defaults(run=lambda arguments: _run(arguments, plan))
    return parser


def _run(arguments: argparse.Namespace, make_plan: Callable[[argparse.Namespace], Plan]) -> int:
    """Measure, write and print the results; return the exit status."""
    console = Console()
    try:
        _require_threads(arguments.threads)
        plan = make_plan(arguments)
        _make_folder(arguments.output)  # before the minutes that its contents take
        with _progress_bar(console) as progress, tempfile.TemporaryDirectory(prefix="sb3_tinyrl_bench") as folder:
            task = progress.add_task("FMA peak: compile", total=plan.n_steps)
            plan.measure(
                Path(folder),
                lambda n_done, coming: progress.update(task, completed=n_done, description=coming),
                lambda line: progress.console.print(line, highlight=False),
            )
        report = plan.report()
    except (UsageError, PeerError, KernelError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; nothing was written", file=sys.stderr)
        return 130
    report.write(arguments.output)
    report.show(console)
    console.print(f"Wrote {', '.join(report.files)} to {arguments.output}")
    if report.interruption:
        print(report.interruption, file=sys.stderr)
        return 130
    return 0


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(f"--output {path}: {error.filename} is no folder") from error
    except OSError as error:
        raise UsageError(f"--output {path}: {error.strerror}") from error


def size(text: str) -> int:
    """Return a number of at least 1.

    :raises argparse.ArgumentTypeError: when it is smaller
    """
    size = int(text)
    if size < 1:
        raise argparse.ArgumentTypeError(f"{size}, expected at least 1")
    return size


def seconds(text: str) -> float:
    """Return a finite number above 0.

    :raises argparse.ArgumentTypeError: when it is none
    """
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text}, expected a number above 0")
    return seconds


def sizes(text: str) -> tuple[int, ...]:
    """Return numbers of at least 1, which commas separate."""
    return tuple(size(part) for part in text.split(","))


def option_text(value: object) -> str:
    """Return the value of an option as one types it."""
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def command_line(name: str, options: Mapping[str, object], flags: Iterable[str] = ()) -> str:
    """Return the line that runs a command, as one types it in a shell.

    :param options: their values, by name with underscores
    """
    words = ["python", "-m", "sb3_tinyrl", name]
    for option, value in options.items():
        words += [f"--{option.replace('_', '-')}", option_text(value)]
    return shlex.join([*words, *flags])


def _require_threads(n_threads: int) -> None:
    if n_threads > available_threads():
        raise UsageError(
            f"--threads {n_threads}: this process may use {available_threads()} cores (TinySAC at most "
            f"{MAX_THREADS}); ask for no more"
        )


def _progress_bar(console: Console) -> Progress:
    columns = (BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    # Redrawn once a second: the display must not take part in the race.
    return Progress(*columns, console=console, refresh_per_second=1, transient=True)
