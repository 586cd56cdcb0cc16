"""Numbers in the README and in the documentation are those that a command wrote."""

import json
import re
import shlex
from pathlib import Path
from statistics import median

import pytest

from sb3_tinyrl.bench.scaling.axes import AXES

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


def test_learning_curves_are_of_the_documented_commands():
    page = (ROOT / "docs" / "guide" / "learning_curves.md").read_text()
    runs = set()
    for command in re.findall(r"^python examples/learning_curve.py .*--output docs/_static$", page, re.M):
        words = shlex.split(command)
        tasks = words[words.index("--tasks") + 1 : words.index("--seeds")]
        seeds = words[words.index("--seeds") + 1 : words.index("--output")]
        runs |= {(task, seed) for task in tasks for seed in seeds}
    results = json.loads((FIGURES / "learning_curve.json").read_text())
    for algorithm in ("TinySAC", "SAC (SB3)"):
        assert {(task, seed) for task, curves in results.items() for seed in curves[algorithm]} == runs
