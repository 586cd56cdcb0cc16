"""What ``python -m sb3_tinyrl bench`` shows: TinySAC beside the other peers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING

from sb3_tinyrl.bench.peers.revision import AGAINST
from sb3_tinyrl.bench.report import Report, where
from sb3_tinyrl.bench.results import Results, median_parts
from sb3_tinyrl.bench.text import number, optional, ratio

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What a row says, the measurement in it, and how that is written.
_ROWS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("steps/s, end to end", "steps_per_second", number),
    ("of what this machine allows", "fraction_of_limit", "{:.0%}".format),
    ("gradient steps/s", "updates_per_second", number),
    ("of the FMA peak", "fraction_of_peak", "{:.0%}".format),
    ("predict, µs", "predict_microseconds", number),
    ("overhead, µs/step", "overhead_microseconds", number),
    ("compile, cold, s", "cold", "{:.1f}".format),
    ("compile, warm, s", "warm", "{:.3f}".format),
    ("peak memory, MB", "peak_memory", lambda n_bytes: number(n_bytes / 1e6)),
)


def report(results: Results) -> Report:
    """Return the comparison of the peers, and where their time goes."""
    content = asdict(results)
    for summary in ("median", "advantage"):
        content[summary] = {
            name: {measurement: getattr(results, summary)(name, measurement) for _, measurement, _ in _ROWS}
            for name in results.peers
        }
    return Report(
        name="benchmark",
        command=results.command,
        content=content,
        tables=_tables(results),
        failures=results.failures,
        footnote=_footnote(results),
        draw=lambda figure: _draw(results, figure),
    )


def _draw(results: Results, figure: Figure) -> None:
    """Draw the steps per second of all peers."""
    names = [*results.peers][::-1]  # from the bottom up
    rates = [results.median(name, "steps_per_second") or 0.0 for name in names]
    first = next(iter(results.peers))
    texts = []
    for name, rate in zip(names, rates, strict=True):
        advantage = results.advantage(name, "steps_per_second")
        texts.append(
            f"{number(rate)}" + (f"   (TinySAC: {ratio(advantage)} as fast)" if name != first and advantage else "")
        )
    figure.set_size_inches(8, 1.2 + 0.5 * len(names))
    axes = figure.subplots()
    bars = axes.barh(
        [results.peers[name].label for name in names],
        rates,
        color=["tab:orange" if name == first else "tab:gray" for name in names],
    )
    axes.bar_label(bars, texts, padding=4)
    axes.margins(x=0.25)
    axes.set_xlabel("training steps per second")
    axes.set_title(f"SAC on {results.settings}\n{results.machine['cpu']}", fontsize=10, loc="left")


def _tables(results: Results) -> list[tuple[str | None, list[list[str]]]]:
    names = [*results.peers]
    header = ["", *(results.peers[name].label for name in names)]
    comparison = [header]
    for label, measurement, show in _ROWS:
        comparison.append([label, *(_cell(results, name, measurement, show) for name in names)])

    budgets = {name: median_parts(results.peers[name].budgets) for name in names}
    phases = {name: median_parts(results.peers[name].phases) for name in names}
    tables = {
        str(results.settings): comparison,
        "microseconds per environment step": _breakdown(results, budgets),
        "microseconds per gradient step": _breakdown(results, phases),
    }
    tables |= _regressions(results)
    return [(title, rows) for title, rows in tables.items() if len(rows) > 1]


def _regressions(results: Results) -> dict[str, list[list[str]]]:
    """Return a table of the other revision and this one, where one takes part."""
    if AGAINST not in results.peers:
        return {}
    ours, theirs = next(iter(results.peers.values())), results.peers[AGAINST]
    name = next(iter(results.peers))
    rows = [["", "working tree", theirs.version, "ratio"]]
    for label, measurement in (("steps/s, end to end", "steps_per_second"), ("gradient steps/s", "updates_per_second")):
        of_both = (results.values(name, measurement), results.values(AGAINST, measurement))
        rows.append([label, *_compared(*of_both, is_cost=False)])
    phases = dict.fromkeys(part for peer in (ours, theirs) for breakdown in peer.phases for part in breakdown)
    for part in sorted(phases, key="total".__eq__):  # at the end
        our_costs, their_costs = ([breakdown.get(part) for breakdown in peer.phases] for peer in (ours, theirs))
        rows.append([f"{part}, µs", *_compared(our_costs, their_costs, is_cost=True)])
    return {f"working tree against {theirs.label}; ratios above 1 are better": rows}


def _compared(ours: Sequence[float | None], theirs: Sequence[float | None], is_cost: bool) -> list[str]:
    """Return both medians, and that of the ratios of each round, above 1 where ours is better."""
    rounds = zip(ours, theirs, strict=True) if ours and theirs else ()
    pairs = [(a, b) for a, b in rounds if a is not None and b is not None]
    ratios = [b / a if is_cost else a / b for a, b in pairs]
    columns = ([value for value in values if value is not None] for values in (ours, theirs))
    medians = [optional(median(values) if values else None, number) for values in columns]
    return [*medians, optional(median(ratios) if ratios else None, "{:.3f}".format)]


def _breakdown(results: Results, parts_of: dict[str, dict[str, float]]) -> list[list[str]]:
    """Return a table of the peers for which something is known."""
    parts_of = {name: parts for name, parts in parts_of.items() if parts}
    rows = [["", *(results.peers[name].label for name in parts_of)]]
    all_parts = dict.fromkeys(part for parts in parts_of.values() for part in parts)
    for part in sorted(all_parts, key="total".__eq__):  # at the end
        rows.append([part, *(optional(parts.get(part), number) for parts in parts_of.values())])
    return rows


def _cell(results: Results, name: str, measurement: str, show: Callable[[float], str]) -> str:
    text = optional(results.median(name, measurement), show)
    advantage = results.advantage(name, measurement)
    # A fraction says the same as the line above it.
    if advantage is None or name == next(iter(results.peers)) or measurement.startswith("fraction_of_"):
        return text
    return f"{text} ({ratio(advantage)})"


def _footnote(results: Results) -> str:
    settings = results.settings
    versions = ", ".join(f"{peer.label} {peer.version}" for peer in results.peers.values())
    rough = "A quick run gives rough figures: leave out --quick before you conclude. " if settings.quick else ""
    return (
        f"{rough}Medians over alternating rounds ({settings.rounds} of {settings.steps:,} steps); (2.0x) means that "
        f"TinySAC is twice as good. A gradient step takes {number(results.update_flops / 1e6)} MFLOP, the FMA peak is "
        f"{median(results.peak_flops) / 1e9:,.0f} GFLOP/s. {_limit(results)}{_round_trip(results)}"
        f"{where(results.machine, settings.threads)} {_instructions(results)}{versions}."
    )


def _limit(results: Results) -> str:
    if not (limits := results.limits()):
        return ""
    microseconds = 1e6 * median(results.env_seconds)
    return (
        f"The machine allows {number(median(limits))} steps/s: gradient steps at the FMA peak, and "
        f"{number(microseconds)} µs for a step of the environment without wrappers. "
    )


def _round_trip(results: Results) -> str:
    if not results.round_trip_seconds:
        return ""
    least, middle, most = (number(1e9 * summary(results.round_trip_seconds)) for summary in (min, median, max))
    return f"Two threads answer each other in {middle} ns ({least} to {most}). "


def _instructions(results: Results) -> str:
    """What the processor has, and what was used of it."""
    used = dict.fromkeys(peer.instruction_set for peer in results.peers.values() if peer.instruction_set)
    available = results.machine.get("instruction_sets", [])
    words = [", ".join(available)] if available else []
    words += [f"TinySAC's kernel and the FMA peak use {', '.join(used)}"] if used else []
    return f"Instruction sets: {'; '.join(words)}. " if words else ""
