"""Numbers in the README and in the documentation are those that a command wrote."""

import json
import re
import shlex
from pathlib import Path

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


def test_learning_curve_is_of_the_documented_command():
    page = (ROOT / "docs" / "guide" / "learning_curves.md").read_text()
    command = re.search(r"^python examples/learning_curve.py .*--output docs/_static$", page, re.M)
    assert command is not None
    results = json.loads((FIGURES / "learning_curve.json").read_text())
    words = shlex.split(command[0])
    budget = {option: words[words.index(f"--{option}") + 1] for option in ("env", "timesteps", "threads")}
    assert budget == {option: str(results["budget"][option]) for option in budget}
    n_seeds = sum(word.isdigit() for word in words[words.index("--seeds") + 1 : words.index("--threads")])
    assert n_seeds * 2 == len(results["runs"])
