"""What ``python -m sb3_tinyrl scaling`` shows: costs and their floors along each axis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING, Any

from sb3_tinyrl.bench.peers.registry import PEERS
from sb3_tinyrl.bench.report import Report, where
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
from sb3_tinyrl.bench.settings import threads_in_words
from sb3_tinyrl.bench.text import missed, number, optional, ratio

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LABELS = {OURS: PEERS[OURS].label, THEIRS: "SB3"}
_COLORS = {OURS: "tab:orange", THEIRS: "tab:gray"}
_PANELS_IN_ROW = 3
#: What the JSON file has of a point's results as it is.
_MEASURED = ("settings", "update_flops", "peak_flops", "round_trip_seconds", "peers")


def report(results: ScalingResults) -> Report:
    """Return a table and a panel for each axis, and whether TinySAC keeps its floors."""
    content = asdict(results)
    content["points"] = {name: [_content(point) for point in points] for name, points in results.points.items()}
    interruption = "" if results.is_complete else f"interrupted after {len(results.all_points())} points"
    return Report(
        name="scaling",
        command=results.command,
        content=content,
        tables=[(None, _rows(name, points)) for name, points in results.measured().items()],
        failures=results.failures,
        footnote=_footnote(results),
        draw=lambda figure: _draw(results, figure),
        verdict=_verdict(results),
        interruption=interruption,
    )


def _content(point: Point) -> dict[str, Any]:
    results = point.results
    measured = asdict(results)
    return {
        "value": point.value,
        **{key: measured[key] for key in _MEASURED},
        "update_microseconds": _of_both(results.microseconds, "updates_per_second"),
        "step_microseconds": _of_both(results.microseconds, "steps_per_second"),
        "fraction_of_peak": _of_both(results.median, "fraction_of_peak"),
        "update_advantage": results.advantage(THEIRS, "updates_per_second"),
        "step_advantage": results.advantage(THEIRS, "steps_per_second"),
        "misses": point.misses(),
    }


def _of_both(summary: Callable[[str, str], float | None], measurement: str) -> dict[str, float | None]:
    return {peer: summary(peer, measurement) for peer in (OURS, THEIRS)}


def _rows(axis: str, points: list[Point]) -> list[list[str]]:
    """Return the lines of a table, the header first, with a column for each point."""
    columns = [dict(_column(point)) for point in points]
    header = [AXES[axis].label, *(f"{point.value:,}" for point in points)]
    return [header, *([label, *(column[label] for column in columns)] for label in columns[0])]


def _column(point: Point) -> Iterator[tuple[str, str]]:
    """Yield the lines and what they say about a point."""
    results, misses = point.results, point.misses()
    for step, rate, floor in (
        ("gradient step", "updates_per_second", "update_advantage"),
        ("env step", "steps_per_second", "step_advantage"),
    ):
        advantage = results.advantage(THEIRS, rate)
        if advantage is not None:
            for peer, label in _LABELS.items():
                yield f"µs/{step}, {label}", optional(results.microseconds(peer, rate), number)
            yield f"ratio of {step}s", missed(ratio(advantage), misses[floor])
    for line, measurement, floor, show in (
        ("of the FMA peak, {}", "fraction_of_peak", "fraction_of_peak", "{:.0%}".format),
        ("peak memory, {}, MB", "peak_memory", "memory", _megabytes),
    ):
        for peer, label in _LABELS.items():
            text = optional(results.median(peer, measurement), show)
            yield line.format(label), missed(text, peer == OURS and misses.get(floor, False))
    if results.round_trip_seconds:
        yield "round trip between threads, ns", number(1e9 * median(results.round_trip_seconds))


def _megabytes(n_bytes: float) -> str:
    return f"{n_bytes / 1e6:,.0f}"


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
    peak = median(peak for point in results.all_points() for peak in point.results.peak_flops)
    versions = ", ".join(f"{label} {PEERS[peer].version()}" for peer, label in _LABELS.items())
    return (
        f"Medians over alternating rounds ({results.rounds}), of the ratios of each round, too. The FMA peak is "
        f"{peak / 1e9:,.0f} GFLOP/s. {where(results.machine, results.threads)} {versions}."
    )


def _draw(results: ScalingResults, figure: Figure) -> None:
    """Draw the costs along each axis, with TinySAC's advantage at each point."""
    measured = results.measured()
    n_columns = min(_PANELS_IN_ROW, len(measured))
    n_rows = -(-len(measured) // n_columns)
    figure.set_size_inches(4.2 * n_columns, 0.6 + 3.4 * n_rows)
    panels = figure.subplots(n_rows, n_columns, squeeze=False)
    for axes, (name, points) in zip(panels.flat, measured.items(), strict=False):
        _draw_axis(axes, name, points)
    for axes in panels.flat[len(measured) :]:
        axes.set_visible(False)
    panels.flat[0].legend(frameon=False, fontsize=8)
    figure.suptitle(
        f"SAC: cost against work, {threads_in_words(results.threads)}\n{results.machine['cpu']}",
        x=0.01,
        horizontalalignment="left",
        fontsize=10,
    )


def _draw_axis(axes: Axes, name: str, points: list[Point]) -> None:
    from matplotlib.ticker import LogLocator

    values = [point.value for point in points]
    for peer in (THEIRS, OURS):
        costs = [point.cost(peer) for point in points]
        axes.plot(values, costs, "o-", color=_COLORS[peer], label=_LABELS[peer], markersize=4)
    least = [point.least_cost() for point in points]
    axes.plot(values, least, ":", color="black", linewidth=1, label="matrix products at the FMA peak")
    for point in points:
        advantage = point.advantage()
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
    axes.set_xlabel(AXES[name].label)
    axes.set_ylabel("µs per environment step" if AXES[name].is_end_to_end else "µs per gradient step")


def _short(value: int) -> str:
    return f"{value // 1_000_000}M" if value >= 1_000_000 else f"{value // 1000}k" if value >= 10_000 else str(value)
