"""The arguments of ``python -m sb3_tinyrl scaling``, and what is done about them."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console

from sb3_tinyrl._native.abi.thread_tuner import available_threads
from sb3_tinyrl._native.errors import KernelError
from sb3_tinyrl.bench.arguments import UsageError, progress_bar, require_threads, size
from sb3_tinyrl.bench.machine import describe_machine
from sb3_tinyrl.bench.scaling import report, sweep
from sb3_tinyrl.bench.scaling.axes import AXES
from sb3_tinyrl.bench.scaling.results import ScalingResults


def add_command(commands: Any) -> None:
    """Add ``scaling`` to the commands of ``python -m sb3_tinyrl``.

    :param commands: what ``ArgumentParser.add_subparsers`` returned
    """
    parser = commands.add_parser(
        "scaling",
        help="measure what an update costs as the work grows",
        description="Measure what TinySAC's and Stable-Baselines3's updates cost as the work grows.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--axes", default=",".join(AXES), help="along what the work grows")
    parser.add_argument("--threads", type=size, default=available_threads(), help="for each peer")
    parser.add_argument("--rounds", type=size, default=3, help="turns that each peer has at each point")
    parser.add_argument("--output", type=Path, default=Path("runs/scaling"), help="folder for the results")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure, print and write the results; return the exit status."""
    console = Console()
    try:
        results = _measure(arguments, console)
        if not results.all_points():
            raise UsageError("no point could be measured: " + "; ".join(report.failures(results)))
    except (UsageError, KernelError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; nothing was written", file=sys.stderr)
        return 130
    report.write_json(results, arguments.output / "scaling.json")
    report.print_tables(results, console)
    report.write_markdown(results, arguments.output / "scaling.md")
    report.draw(results, arguments.output / "scaling.png")
    console.print(f"Wrote scaling.json, scaling.md and scaling.png to {arguments.output}")
    if not results.is_complete:
        print(f"interrupted after {len(results.all_points())} points", file=sys.stderr)
        return 130
    return 0


def _measure(arguments: argparse.Namespace, console: Console) -> ScalingResults:
    require_threads(arguments.threads)
    axes = _axes(arguments.axes)
    arguments.output.mkdir(parents=True, exist_ok=True)  # before the minutes that its contents take
    options = {"--axes": ",".join(axes), "--threads": str(arguments.threads), "--rounds": str(arguments.rounds)}
    words = [part for item in options.items() for part in item]
    results = ScalingResults(
        command=shlex.join(["python", "-m", "sb3_tinyrl", "scaling", *words]),
        machine=describe_machine(),
        threads=arguments.threads,
        rounds=arguments.rounds,
        points={axis: [] for axis in axes},
    )
    try:
        with (
            progress_bar(console) as progress,
            tempfile.TemporaryDirectory(prefix="sb3_tinyrl_scaling") as folder,
        ):
            task = progress.add_task("FMA peak: compile", total=sum(len(AXES[axis].values) for axis in axes))
            sweep.run(
                results,
                Path(folder),
                lambda n_done, coming: progress.update(task, completed=n_done, description=coming),
            )
    except KeyboardInterrupt:
        if not results.all_points():
            raise
    return results


def _axes(chosen: str) -> list[str]:
    axes = [axis for axis in dict.fromkeys(chosen.split(",")) if axis]
    if not axes:
        raise UsageError(f"--axes: none given; choose from {','.join(AXES)}")
    for axis in axes:
        if axis not in AXES:
            raise UsageError(f"--axes {chosen}: there is no {axis!r}; choose from {','.join(AXES)}")
    return axes
