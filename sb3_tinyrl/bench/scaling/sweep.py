"""``python -m sb3_tinyrl scaling``: the benchmark at one point after the other.

Each point has processes of its own, since memory is measured, too.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sb3_tinyrl.bench import rounds
from sb3_tinyrl.bench.command import Plan, UsageError, add_parser, command_line
from sb3_tinyrl.bench.fma_peak import FmaPeak
from sb3_tinyrl.bench.machine import describe_machine
from sb3_tinyrl.bench.process import PeerError
from sb3_tinyrl.bench.report import failure_lines
from sb3_tinyrl.bench.results import Results
from sb3_tinyrl.bench.round_trip import RoundTrip
from sb3_tinyrl.bench.scaling.axes import AXES
from sb3_tinyrl.bench.scaling.report import report
from sb3_tinyrl.bench.scaling.results import OURS, THEIRS, Point, ScalingResults


def add_command(commands: Any) -> None:
    """Add ``scaling`` to the commands of ``python -m sb3_tinyrl``.

    :param commands: what ``ArgumentParser.add_subparsers`` returned
    """
    parser = add_parser(
        commands,
        "scaling",
        help="measure what an update costs as the work grows",
        description="Measure what TinySAC's and Stable-Baselines3's updates cost as the work grows.",
        rounds=3,
        plan=_plan,
    )
    parser.add_argument("--axes", default=",".join(AXES), help="along what the work grows")


def _plan(arguments: argparse.Namespace) -> Plan:
    axes = _axes(arguments.axes)
    options = {"axes": axes, "threads": arguments.threads, "rounds": arguments.rounds}
    results = ScalingResults(
        command=command_line("scaling", options),
        machine=describe_machine(),
        threads=arguments.threads,
        rounds=arguments.rounds,
        points={axis: [] for axis in axes},
    )
    return Plan(
        n_steps=sum(len(AXES[axis].values) for axis in axes),
        measure=lambda folder, progress, _: _measure(results, folder, progress),
        report=lambda: report(results),
    )


def _axes(chosen: str) -> list[str]:
    axes = [axis for axis in dict.fromkeys(chosen.split(",")) if axis]
    if not axes:
        raise UsageError(f"--axes: none given; choose from {','.join(AXES)}")
    for axis in axes:
        if axis not in AXES:
            raise UsageError(f"--axes {chosen}: there is no {axis!r}; choose from {','.join(AXES)}")
    return axes


def _measure(results: ScalingResults, folder: Path, progress: Callable[[int, str], None]) -> None:
    """Measure the axes that ``results.points`` names; an interrupt ends that where there are points already."""
    peak = FmaPeak(folder, results.threads)
    round_trip = RoundTrip(folder) if results.threads > 1 else None
    places = [(name, value) for name in results.points for value in AXES[name].values]

    def announce(n_done: int, title: str, coming: str) -> None:
        progress(n_done, f"{title}: {coming}")

    try:
        for n_done, (name, value) in enumerate(places):
            title = f"{name} {value:,}"
            settings = AXES[name].settings(value, results.threads, results.rounds)
            point = Point(value, Results.empty(settings))
            point_folder = folder / f"{name}_{value}"
            point_folder.mkdir()
            try:
                rounds.run(
                    point.results,
                    [OURS, THEIRS],
                    point_folder,
                    partial(announce, n_done, title),
                    peak=peak,
                    round_trip=round_trip,
                    measurements=AXES[name].measurements,
                    kernels=folder / "kernels",  # many points have the same shapes
                    with_limit=False,
                )
            except PeerError as error:
                results.failures[title] = str(error)
            else:
                if THEIRS in point.results.failures:
                    results.failures[title] = f"{THEIRS}: {point.results.failures[THEIRS]}"
                else:
                    results.points[name].append(point)
        results.is_complete = True
    except KeyboardInterrupt:
        if not results.all_points():
            raise
    if not results.all_points():
        raise PeerError("no point could be measured: " + "; ".join(failure_lines(results.failures)))
