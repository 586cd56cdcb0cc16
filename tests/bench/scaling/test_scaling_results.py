"""Costs, floors and how they are shown, with numbers that can be checked by eye."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from sb3_tinyrl.bench.results import PeerResults, Results
from sb3_tinyrl.bench.scaling.axes import AXES
from sb3_tinyrl.bench.scaling.report import report
from sb3_tinyrl.bench.scaling.results import Point, ScalingResults


def make_point(
    axis: str,
    value: int,
    ours: tuple[float, ...] = (800, 700, 600),
    theirs: tuple[float, ...] = (100, 100, 200),
    memory: tuple[int | None, int | None] = (300_000_000, 310_000_000),
    end_to_end: tuple[float, float] | None = None,
) -> Point:
    """By default TinySAC reaches 80, 70 and 60 % of the peak, and is 8, 7 and 3 times as fast."""
    results = Results(AXES[axis].settings(value, threads=2, rounds=3), "", {}, update_flops=1000, peak_flops=[1e6] * 3)
    results.round_trip_seconds = [600e-9, 120e-9, 115e-9]
    for name, rates, n_bytes, i in (("tiny", ours, memory[0], 0), ("sb3", theirs, memory[1], 1)):
        peer = results.peers[name] = PeerResults(name, "1.2")
        peer.add("set_up", {})
        for updates_per_second in rates:
            peer.add("updates_per_second", updates_per_second)
            if end_to_end is not None:
                peer.add("steps_per_second", end_to_end[i])
        peer.add("peak_memory", n_bytes)
    return Point(value, results)


def make_results(**points: list[Point]) -> ScalingResults:
    return ScalingResults(
        command="python -m sb3_tinyrl scaling --rounds 3",
        machine={"cpu": "Abacus", "cores": 4, "compiler": "cc 1.0"},
        threads=2,
        rounds=3,
        points={name.replace("_", "-"): list_ for name, list_ in points.items()},
        is_complete=True,
    )


def test_costs_and_ratios():
    point = make_point("width", 256)
    assert point.results.microseconds("tiny", "updates_per_second") == pytest.approx(1e6 / 700)
    assert point.results.microseconds("sb3", "updates_per_second") == pytest.approx(1e4)
    assert point.advantage() == 7  # of 8, 7 and 3
    assert point.results.median("tiny", "fraction_of_peak") == pytest.approx(0.7)
    assert point.least_cost() == pytest.approx(1000)
    assert point.cost("sb3") == pytest.approx(1e4)
    assert point.results.microseconds("tiny", "steps_per_second") is None
    assert "step_advantage" not in point.misses()
    assert not any(point.misses().values())


def test_environment_steps_share_gradient_steps():
    point = make_point("n-envs", 4, end_to_end=(2000, 500))
    assert point.cost("tiny") == point.results.microseconds("tiny", "steps_per_second") == 500
    assert point.advantage() == 4
    assert point.least_cost() == pytest.approx(1000 / 4)
    assert make_point("gradient-steps", 16, end_to_end=(2000, 500)).least_cost() == pytest.approx(16_000)


@pytest.mark.parametrize(
    ("arguments", "missed"),
    [
        ({}, set()),
        ({"theirs": (240, 280, 240)}, set()),  # exactly 2.5 times
        ({"theirs": (241, 281, 241)}, {"update_advantage"}),
        ({"ours": (600, 600, 600)}, set()),  # exactly 60 %
        ({"ours": (599, 599, 599)}, {"fraction_of_peak"}),
        ({"memory": (310, 310)}, set()),
        ({"memory": (311, 310)}, {"memory"}),
        ({"memory": (None, None)}, set()),
        ({"ours": (150, 150, 150)}, {"update_advantage", "fraction_of_peak"}),
    ],
)
def test_floors(arguments, missed):
    misses = make_point("width", 128, **arguments).misses()
    assert {floor for floor, is_missed in misses.items() if is_missed} == missed


def test_floor_of_environment_steps():
    assert make_point("n-envs", 1, end_to_end=(249, 100)).misses()["step_advantage"]
    assert not make_point("n-envs", 1, end_to_end=(250, 100)).misses()["step_advantage"]


def test_small_networks_need_not_reach_the_peak():
    assert "fraction_of_peak" not in make_point("width", 64, ours=(300, 300, 300)).misses()


def test_markdown(tmp_path: Path):
    results = make_results(
        width=[make_point("width", 64), make_point("width", 1024, ours=(150, 150, 300))],
        n_envs=[make_point("n-envs", 2, end_to_end=(1000, 500))],
    )
    results.failures["width 2,048"] = "its process ended with status -9. It said last:\nsome\nKilled"
    report(results).write(tmp_path)
    markdown = (tmp_path / "scaling.md").read_text()
    for line in (
        "| width of the two hidden layers | 64 | 1,024 |",
        "| µs/gradient step, TinySAC | 1,429 | 6,667 |",
        "| µs/gradient step, SB3 | 10,000 | 10,000 |",
        "| ratio of gradient steps | 7.0x | **1.5x (!)** |",
        "| of the FMA peak, TinySAC | 70% | **15% (!)** |",
        "| peak memory, SB3, MB | 310 | 310 |",
        "| round trip between threads, ns | 120 | 120 |",
        "| environments | 2 |",
        "| µs/env step, TinySAC | 1,000 |",
        "| ratio of env steps | **2.0x (!)** |",
        "- width 2,048 is missing: its process ended with status -9. It said last: Killed",
    ):
        assert line in markdown.splitlines()
    assert markdown.count("µs/env step, TinySAC") == 1  # where it was measured
    assert "2 of 3 points miss a floor, marked (!)" in markdown
    assert "Abacus, 2 of 4 cores, cc 1.0." in markdown
    assert markdown.endswith("Command: `python -m sb3_tinyrl scaling --rounds 3`.\n")


def test_unknown_memory_is_no_number(tmp_path: Path):
    report(make_results(width=[make_point("width", 64, memory=(None, None))])).write(tmp_path)
    assert "| peak memory, TinySAC, MB | - |" in (tmp_path / "scaling.md").read_text()


def test_terminal_says_the_same():
    results = make_results(width=[make_point("width", 64), make_point("width", 1024, ours=(150, 150, 300))])
    results.failures["width 2,048"] = "[no memory]"
    console = Console(record=True, width=80)
    report(results).show(console)
    text = console.export_text()
    for part in ("1.5x (!)", "15% (!)", "width 2,048 is missing: [no memory]", "1 of 2 points miss a floor"):
        assert part in text


def test_nothing_missed():
    console = Console(record=True, width=200)
    report(make_results(width=[make_point("width", 64)])).show(console)
    assert "All points keep the floors: at least 2.5x SB3" in console.export_text()


def test_an_interrupted_run_says_so(tmp_path: Path):
    results = make_results(width=[make_point("width", 64)])
    for is_complete in (True, False):
        results.is_complete = is_complete
        report(results).write(tmp_path)
        says_so = "Interrupted before the last point." in (tmp_path / "scaling.md").read_text()
        assert says_so is not is_complete
    assert report(results).interruption == "interrupted after 1 points"


def test_json_is_complete(tmp_path: Path):
    results = make_results(n_envs=[make_point("n-envs", 2, end_to_end=(1000, 500))])
    report(results).write(tmp_path)
    content = json.loads((tmp_path / "scaling.json").read_text())
    assert content["command"] == results.command
    assert content["machine"]["cpu"] == "Abacus"
    (point,) = content["points"]["n-envs"]
    assert point["value"] == point["settings"]["n_envs"] == 2
    assert point["peers"]["tiny"]["rounds"]["updates_per_second"] == [800, 700, 600]
    assert point["peers"]["sb3"]["peak_memory"] == 310_000_000
    assert point["peak_flops"] == [1e6] * 3
    assert point["round_trip_seconds"] == [600e-9, 120e-9, 115e-9]
    assert point["fraction_of_peak"]["tiny"] == pytest.approx(0.7)
    assert point["update_advantage"] == 7
    assert point["step_microseconds"] == {"tiny": 1000, "sb3": 2000}
    assert point["misses"] == {
        "update_advantage": False, "step_advantage": True, "fraction_of_peak": False, "memory": False
    }  # fmt: skip


@pytest.mark.parametrize("axes", [["batch", "width"], [*AXES]])
def test_picture(tmp_path: Path, axes: list[str]):
    results = make_results()
    results.points = {
        name: [make_point(name, value, end_to_end=(9, 3)) for value in AXES[name].values] for name in axes
    }
    results.points[axes[0]] = []  # all of them failed
    report(results).write(tmp_path)
    assert (tmp_path / "scaling.png").read_bytes().startswith(b"\x89PNG")
