"""Results as tables, JSON and a picture."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.markup import escape

from sb3_tinyrl.bench.peers import PEERS
from sb3_tinyrl.bench.scaling.axes import AXES
from sb3_tinyrl.bench.scaling.results import (
    FROM_WIDTH,
    LEAST_ADVANTAGE,
    LEAST_FRACTION_OF_PEAK,
    OURS,
    THEIRS,
    Point,
    ScalingResults,
)
from sb3_tinyrl.bench.text import console_table, markdown_table, number, optional, ratio

_LABELS = {OURS: PEERS[OURS].label, THEIRS: "SB3"}
_COLORS = {OURS: "tab:orange", THEIRS: "tab:gray"}
_PANELS_IN_ROW = 3

_END_TO_END = ("µs/env step, TinySAC", "µs/env step, SB3", "ratio of env steps")
_LINES = (
    "µs/gradient step, TinySAC",
    "µs/gradient step, SB3",
    "ratio of gradient steps",
    *_END_TO_END,
    "of the FMA peak, TinySAC",
    "of the FMA peak, SB3",
    "peak memory, TinySAC, MB",
    "peak memory, SB3, MB",
)


def write_json(results: ScalingResults, path: Path) -> None:
    """Write everything that was measured, round by round, and what follows from it."""
    content = asdict(results)
    content["points"] = {name: [_point_content(point) for point in points] for name, points in results.points.items()}
    path.write_text(json.dumps(content, indent=2) + "\n")


def _point_content(point: Point) -> dict[str, Any]:
    measured = asdict(point.results)
    return {
        "value": point.value,
        **{key: measured[key] for key in ("settings", "update_flops", "peak_flops", "peers")},
        **{
            key: {peer: getattr(point, key)(peer) for peer in (OURS, THEIRS)}
            for key in ("update_microseconds", "step_microseconds", "fraction_of_peak")
        },
        "update_advantage": point.update_advantage(),
        "step_advantage": point.step_advantage(),
        "misses": point.misses(),
    }


def print_tables(results: ScalingResults, console: Console) -> None:
    """Print a table for each axis, what is missing and what is missed."""
    for name, points in results.measured().items():
        header, *rows = _rows(name, points, "[bold red]{}[/]")
        console.print(console_table(header, rows))
    for line in failures(results):
        console.print(escape(line), style="red", highlight=False)
    console.print(_verdict(results), style="bold", highlight=False)
    console.print(_footnote(results), style="dim", highlight=False)


def write_markdown(results: ScalingResults, path: Path) -> None:
    """Write the same tables for the documentation."""
    blocks = []
    for name, points in results.measured().items():
        header, *rows = _rows(name, points, "**{}**")
        blocks.append(markdown_table(header, rows))
    if lines := failures(results):
        blocks.append("\n".join(f"- {line}" for line in lines))
    blocks.append(f"{_verdict(results)} {_footnote(results)} Command: `{results.command}`.")
    path.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


def _rows(axis: str, points: list[Point], missed: str) -> list[list[str]]:
    """Return the lines of a table, the header first, with a column for each point.

    :param missed: format of a number below its floor
    """
    columns = [_column(point, missed) for point in points]
    labels = [label for label in _LINES if AXES[axis].is_end_to_end or label not in _END_TO_END]
    return [
        [AXES[axis].label, *(f"{point.value:,}" for point in points)],
        *([label, *(column[label] for column in columns)] for label in labels),
    ]


def _column(point: Point, missed: str) -> dict[str, str]:
    """Return what the table says about a point, by line."""
    misses = point.misses()

    def mark(text: str, floor: str) -> str:
        return missed.format(f"{text} (!)") if misses.get(floor) else text

    return dict(
        zip(
            _LINES,
            (
                number(point.update_microseconds(OURS)),
                number(point.update_microseconds(THEIRS)),
                mark(ratio(point.update_advantage()), "update_advantage"),
                optional(point.step_microseconds(OURS), number),
                optional(point.step_microseconds(THEIRS), number),
                mark(optional(point.step_advantage(), ratio), "step_advantage"),
                mark(f"{point.fraction_of_peak(OURS):.0%}", "fraction_of_peak"),
                f"{point.fraction_of_peak(THEIRS):.0%}",
                mark(optional(point.memory(OURS), _megabytes), "memory"),
                optional(point.memory(THEIRS), _megabytes),
            ),
            strict=True,
        )
    )


def _megabytes(n_bytes: float) -> str:
    return f"{n_bytes / 1e6:,.0f}"


def failures(results: ScalingResults) -> list[str]:
    """Return which points are missing, and of each reason the first and the last line."""
    lines = []
    for title, reason in results.failures.items():
        first, *others = reason.splitlines()
        lines.append(f"{title} is missing: {' '.join([first, *others[-1:]])}")
    return lines


def _verdict(results: ScalingResults) -> str:
    points = results.all_points()
    n_below = sum(any(point.misses().values()) for point in points)
    floors = (
        f"at least {LEAST_ADVANTAGE}x SB3, from width {FROM_WIDTH} up at least {LEAST_FRACTION_OF_PEAK:.0%} of the FMA "
        "peak, no more memory than SB3"
    )
    what = f"{n_below} of {len(points)} points miss a floor, marked (!)" if n_below else "All points keep the floors"
    return f"{what}: {floors}.{'' if results.is_complete else ' Interrupted before the last point.'}"


def _footnote(results: ScalingResults) -> str:
    machine = results.machine
    peaks = [peak for point in results.all_points() for peak in point.results.peak_flops]
    peak = f" The FMA peak is {median(peaks) / 1e9:,.0f} GFLOP/s." if peaks else ""
    return (
        f"Medians over alternating rounds ({results.rounds}), of the ratios of each round, too.{peak} "
        f"{machine['cpu']}, {results.threads} of {machine['cores']} cores, {machine['compiler']}. "
        + ", ".join(f"{_LABELS[peer]} {PEERS[peer].version()}" for peer in (OURS, THEIRS))
        + "."
    )


def draw(results: ScalingResults, path: Path) -> None:
    """Draw the costs along each axis, with TinySAC's advantage at each point."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    measured = results.measured()
    n_columns = min(_PANELS_IN_ROW, len(measured))
    n_rows = -(-len(measured) // n_columns)
    figure, panels = plt.subplots(
        n_rows, n_columns, figsize=(4.2 * n_columns, 0.6 + 3.4 * n_rows), layout="constrained", squeeze=False
    )
    for axes, (name, points) in zip(panels.flat, measured.items(), strict=False):
        _draw_axis(axes, name, points)
    for axes in panels.flat[len(measured) :]:
        axes.set_visible(False)
    panels.flat[0].legend(frameon=False, fontsize=8)
    threads = "1 thread" if results.threads == 1 else f"{results.threads} threads"
    figure.suptitle(
        f"SAC: cost against work, {threads}\n{results.machine['cpu']}", x=0.01, horizontalalignment="left", fontsize=10
    )
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _draw_axis(axes: Any, name: str, points: list[Point]) -> None:
    from matplotlib.ticker import LogLocator

    values = [point.value for point in points]
    for peer in (THEIRS, OURS):
        costs = [point.cost(peer) for point in points]
        axes.plot(values, costs, "o-", color=_COLORS[peer], label=_LABELS[peer], markersize=4)
    least = [point.least_cost() for point in points]
    axes.plot(values, least, ":", color="black", linewidth=1, label="matrix products at the FMA peak")
    for point in points:
        advantage = point.step_advantage() or point.update_advantage()
        axes.annotate(
            ratio(advantage),
            (point.value, point.cost(THEIRS)),
            xytext=(0, 5),
            textcoords="offset points",
            horizontalalignment="center",
            fontsize=8,
            color="tab:red" if advantage < LEAST_ADVANTAGE else "black",
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(values, [_short(value) for value in values])
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(lambda cost, _: f"{cost:,.0f}")
    axes.minorticks_off()
    axes.margins(y=0.15)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(AXES[name].label)
    axes.set_ylabel("µs per environment step" if AXES[name].is_end_to_end else "µs per gradient step")


def _short(value: int) -> str:
    return f"{value // 1_000_000}M" if value >= 1_000_000 else f"{value // 1000}k" if value >= 10_000 else str(value)
