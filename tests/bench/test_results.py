"""Medians, ratios and how they are shown, with numbers that can be checked by eye."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from sb3_tinyrl.bench.comparison import report
from sb3_tinyrl.bench.peers.revision import AGAINST
from sb3_tinyrl.bench.results import PeerResults, Results
from sb3_tinyrl.bench.settings import Settings


@pytest.fixture
def results() -> Results:
    settings = Settings(
        "Env-v0", (64, 32), batch_size=100, train_freq=2, gradient_steps=4, threads=1, rounds=3, steps=1000
    )
    results = Results(
        settings,
        command="python -m sb3_tinyrl bench",
        machine={"cpu": "Abacus", "cores": 4, "compiler": "cc 1.0"},
        update_flops=1_000_000,
        peak_flops=[1e9, 2e9, 4e9],
        env_seconds=[0.0005, 0.001, 0.0005],
    )
    budget = {"environment": 20.0, "acting": 3.0, "gradient steps": 900.0, "everything else": 7.0, "total": 930.0}
    for name, label, speed in (("tiny", "Ours", (400, 100, 300)), ("sb3", "Theirs", (100, 50, 30))):
        peer = results.peers[name] = PeerResults(label, "1.2")
        peer.add("set_up", {"cold": 4.0} if name == "tiny" else {})
        for steps_per_second in speed:
            peer.add("steps_per_second", steps_per_second)
            peer.add("updates_per_second", 2 * steps_per_second)
            peer.add("predict_microseconds", 1e6 / steps_per_second)
            peer.add("budget", budget)
            if name == "tiny":
                peer.add("phases", {"update the critics": speed[0] / steps_per_second, "total": 900.0})
        peer.add("instruction_set", "AVX2" if name == "tiny" else None)
        peer.add("peak_memory", 250_000_000 if name == "tiny" else None)
    return results


def test_ratios_are_taken_within_each_round(results: Results):
    assert results.median("tiny", "steps_per_second") == 300
    assert results.median("sb3", "steps_per_second") == 50
    assert results.advantage("sb3", "steps_per_second") == 4  # of 4, 2 and 10; the medians' ratio would be 6
    assert results.advantage("tiny", "steps_per_second") == 1


def test_less_is_better_for_costs(results: Results):
    assert results.advantage("sb3", "predict_microseconds") == pytest.approx(4)


def test_fraction_of_peak_is_of_the_same_round(results: Results):
    assert results.values("tiny", "fraction_of_peak") == [0.8, 0.1, 0.15]


def test_the_limit_is_two_gradient_steps_at_the_peak_and_the_environment(results: Results):
    assert results.limits() == pytest.approx([400, 500, 1000])
    assert results.values("tiny", "fraction_of_limit") == pytest.approx([1, 0.2, 0.3])
    assert results.median("sb3", "fraction_of_limit") == pytest.approx(0.1)


def test_without_the_environment_alone_there_is_no_limit(results: Results, tmp_path: Path):
    results.env_seconds.clear()
    assert results.limits() == results.values("tiny", "fraction_of_limit") == []
    report(results).write(tmp_path)
    markdown = (tmp_path / "benchmark.md").read_text()
    assert "| of what this machine allows | - | - |" in markdown
    assert "The machine allows" not in markdown


def test_the_footnote_names_the_instruction_sets(results: Results, tmp_path: Path):
    def footnote() -> str:
        report(results).write(tmp_path)
        return (tmp_path / "benchmark.md").read_text().splitlines()[-1]

    assert "Instruction sets: TinySAC's kernel and the FMA peak use AVX2." in footnote()
    results.machine["instruction_sets"] = ["AVX-512", "AVX2"]
    assert "Instruction sets: AVX-512, AVX2; TinySAC's kernel and the FMA peak use AVX2." in footnote()
    results.peers["tiny"].instruction_set = None
    assert "Instruction sets: AVX-512, AVX2. " in footnote()


def test_the_footnote_says_how_far_apart_threads_are(results: Results, tmp_path: Path):
    report(results).write(tmp_path)
    assert "answer each other" not in (tmp_path / "benchmark.md").read_text()  # one thread has nobody to ask
    results.round_trip_seconds = [600e-9, 120e-9, 115e-9]
    report(results).write(tmp_path)
    markdown = (tmp_path / "benchmark.md").read_text()
    assert "Two threads answer each other in 120 ns (115 to 600)." in markdown


def test_overhead_is_all_but_environment_and_gradient_steps(results: Results):
    assert results.median("tiny", "overhead_microseconds") == 10


def test_what_was_not_measured_has_no_value(results: Results):
    del results.peers["sb3"].rounds["updates_per_second"]
    assert results.median("sb3", "updates_per_second") is None
    assert results.median("sb3", "fraction_of_peak") is None
    assert results.median("sb3", "cold") is None
    assert results.median("sb3", "peak_memory") is None
    assert results.advantage("sb3", "peak_memory") is None


def test_tables(results: Results, tmp_path: Path):
    report(results).write(tmp_path)
    markdown = (tmp_path / "benchmark.md").read_text()
    assert "**Env-v0, nets [64,32], batch 100, 4 gradient steps every 2 steps, 1 thread**" in markdown
    assert "|  | Ours | Theirs |\n| --- | ---: | ---: |\n" in markdown
    assert "| steps/s, end to end | 300 | 50.0 (4.0x) |" in markdown
    assert "| of what this machine allows | 30% | 10% |" in markdown
    assert "The machine allows 500 steps/s: gradient steps at the FMA peak, and 500 µs for a step" in markdown
    assert "| of the FMA peak | 15% | 5% |" in markdown
    assert "| compile, cold, s | 4.0 | - |" in markdown
    assert "| peak memory, MB | 250 | - |" in markdown
    assert markdown.index("| everything else | 7.00 | 7.00 |") < markdown.index("| total | 930 | 930 |")
    assert "**microseconds per gradient step**\n\n|  | Ours |\n" in markdown
    assert "| update the critics | 1.33 |" in markdown
    assert "Abacus, 1 of 4 cores, cc 1.0. Instruction sets: " in markdown
    assert "Ours 1.2, Theirs 1.2. Command: `python -m sb3_tinyrl bench`." in markdown


def test_another_revision_is_compared_by_rates_and_phases(results: Results, tmp_path: Path):
    revision = results.peers[AGAINST] = PeerResults("TinySAC v1", "abc123")
    for steps_per_second, cost in ((200, 3), (100, 2), (100, 9)):
        revision.add("steps_per_second", steps_per_second)
        revision.add("phases", {"update the critics": cost, "removed since": 5.0, "total": 1800.0})
    report(results).write(tmp_path)
    markdown = (tmp_path / "benchmark.md").read_text()
    table = markdown[markdown.index("**working tree against TinySAC v1; ratios above 1 are better**") :]
    assert "|  | working tree | abc123 | ratio |" in table
    assert "| steps/s, end to end | 300 | 100 | 2.000 |" in table  # of 2, 1 and 3
    assert "| gradient steps/s | 600 | - | - |" in table
    assert "| update the critics, µs | 1.33 | 3.00 | 3.000 |" in table  # 3/1, 2/4 and 9/1.33
    assert "| removed since, µs | - | 5.00 | - |" in table
    assert "| total, µs | 900 | 1,800 | 2.000 |" in table


def test_a_revision_whose_kernel_tells_no_phases(results: Results, tmp_path: Path):
    revision = results.peers[AGAINST] = PeerResults("TinySAC v1", "abc123")
    for _ in range(3):
        revision.add("steps_per_second", 100)
        revision.add("phases", {})
    report(results).write(tmp_path)
    markdown = (tmp_path / "benchmark.md").read_text()
    assert "| update the critics, µs | 1.33 | - | - |" in markdown


def test_quick_figures_are_called_rough(results: Results, tmp_path: Path):
    report(results).write(tmp_path)
    assert "rough" not in (tmp_path / "benchmark.md").read_text()
    results.settings = replace(results.settings, quick=True)
    report(results).write(tmp_path)
    assert "A quick run gives rough figures" in (tmp_path / "benchmark.md").read_text()


def test_missing_peers_are_named(results: Results):
    results.failures["sbx"] = "its process ended"
    console = Console(record=True, width=200)
    report(results).show(console)
    assert "sbx is missing: its process ended" in console.export_text()


def test_json_is_complete(results: Results, tmp_path: Path):
    report(results).write(tmp_path)
    content = json.loads((tmp_path / "benchmark.json").read_text())
    assert content["settings"]["net_arch"] == [64, 32]
    assert content["peers"]["sb3"]["rounds"]["steps_per_second"] == [100, 50, 30]
    assert content["median"]["sb3"]["steps_per_second"] == 50
    assert content["advantage"]["sb3"]["steps_per_second"] == 4


def test_settings_survive_json(results: Results):
    assert Settings.from_json(results.settings.to_json()) == results.settings
