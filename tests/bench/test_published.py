"""Numbers in the README and in the documentation are those that a command wrote."""

import importlib
import json
import re
import shlex
from dataclasses import fields
from pathlib import Path
from statistics import median

import pytest

from sb3_tinyrl.bench.comparison import report
from sb3_tinyrl.bench.results import PeerResults, Results
from sb3_tinyrl.bench.scaling.axes import AXES
from sb3_tinyrl.bench.settings import Settings

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "docs" / "_static"


def test_readme_has_the_table_of_the_documented_run():
    published = re.search(
        r"<!-- benchmark: begin -->(.*)<!-- benchmark: end -->", (ROOT / "README.md").read_text(), re.S
    )
    assert published is not None
    assert published[1].strip() == (FIGURES / "benchmark.md").read_text().strip(), (
        "copy docs/_static/benchmark.md between the two comments"
    )


@pytest.mark.parametrize("path", sorted(FIGURES.rglob("benchmark.json")), ids=lambda path: path.parent.name)
def test_results_of_earlier_versions_still_make_their_tables(path: Path, tmp_path: Path):
    published = json.loads(path.read_text())
    values = {field.name: published[field.name] for field in fields(Results) if field.name in published}
    values["settings"] = Settings.from_json(json.dumps(published["settings"]))
    values["peers"] = {name: PeerResults(**peer) for name, peer in published["peers"].items()}
    report(Results(**values)).write(tmp_path)
    made = (tmp_path / "benchmark.md").read_text().splitlines()
    rows = [line for line in path.with_suffix(".md").read_text().splitlines() if line.startswith("|")]
    assert len(rows) > 10
    assert set(rows) <= set(made)


def test_scaling_is_of_the_documented_command():
    folder, page = FIGURES / "scaling", (ROOT / "docs" / "guide" / "scaling.md").read_text()
    assert "{include} ../_static/scaling/scaling.md" in page
    assert "(../_static/scaling/scaling.png)" in page
    results = json.loads((folder / "scaling.json").read_text())
    words = shlex.split(results["command"])
    assert words[:4] == ["python", "-m", "sb3_tinyrl", "scaling"]
    assert words[words.index("--axes") + 1].split(",") == [*results["points"]] == [*AXES]
    assert f"Command: `{results['command']}`." in (folder / "scaling.md").read_text()
    for name, points in results["points"].items():
        failed = {title for title in results["failures"] if title.startswith(f"{name} ")}
        assert {f"{name} {point['value']:,}" for point in points} | failed == {
            f"{name} {value:,}" for value in AXES[name].values
        }


def test_seeds_or_threads_is_of_the_documented_command():
    table = (FIGURES / "seeds_or_threads.md").read_text()
    results = json.loads((FIGURES / "seeds_or_threads.json").read_text())
    page = (ROOT / "docs" / "guide" / "cluster.md").read_text()
    assert "{include} ../_static/seeds_or_threads.md" in page
    assert shlex.split(results["command"])[:4] == ["python", "-m", "sb3_tinyrl", "seeds-or-threads"]
    assert f"Command: `{results['command']}`." in table
    for line, measurement in (("seeds at once", "seeds"), ("one seed", "threads")):
        cells = re.search(rf"^\|[^|]*{line}[^|]*\|(.*)\|$", table, re.MULTILINE)[1].split("|")
        medians = [median(measured[measurement]) for measured in results["widths"]]
        assert [float(cell.replace(",", "")) for cell in cells] == pytest.approx(medians, rel=0.01)


def test_overlap_is_of_the_documented_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    folder, page = FIGURES / "overlap", (ROOT / "docs" / "guide" / "overlap.md").read_text()
    assert "{include} ../_static/overlap/overlap.md" in page
    assert "(../_static/overlap/overlap.png)" in page
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    overlap = importlib.import_module("overlap")
    results = json.loads((folder / "overlap.json").read_text())
    simulators = [overlap.Simulator(**simulator) for simulator in results["simulators"]]
    overlap.report(simulators, results["curves"], results["command"]).write(tmp_path)
    published, made = ((place / "overlap.md").read_text().splitlines() for place in (folder, tmp_path))
    assert [line for line in published if line.startswith("|")] == [line for line in made if line.startswith("|")]
    assert published[-1].endswith(f"Command: `{results['command']}`.")


def test_table_of_learning_curves_is_what_the_runs_say(monkeypatch: pytest.MonkeyPatch):
    """And each run has the settings that the tasks have today."""
    pytest.importorskip("rliable")
    folder = FIGURES / "learning_curves"
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "learning_curves"))
    curves, run = importlib.import_module("report"), importlib.import_module("run")
    runs = curves.read_runs(folder)
    assert (folder / "table.md").read_text() == curves.table(runs), "run examples/learning_curves/report.py"
    for task, by_algorithm in runs.items():
        for result in (*by_algorithm["TinySAC"], *by_algorithm["SAC"]):
            assert result["settings"] == run.settings_of(curves.TASKS[task])
            assert result["steps"][-1] == curves.TASKS[task].timesteps
    page = (ROOT / "docs" / "guide" / "learning_curves.md").read_text()
    assert "{include} ../_static/learning_curves/table.md" in page
    assert "(../_static/learning_curves/learning_curves.png)" in page
