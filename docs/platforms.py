"""Write down what tests show of platforms and versions, for docs/guide/platforms.md.

``python docs/platforms.py`` runs the tests of platforms and writes their table anew. With reports of some of them
(``pytest tests/platforms -k aarch64 --junitxml results.xml``) it runs nothing, and adds what these show to what is
there. With ``--versions`` a report fills the row of the versions that are installed here; ``.ci/versions`` does that.
"""

import argparse
import json
import platform
import re
import subprocess
import sys
import tempfile
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "platforms"))

from toolchains import COLUMNS, TOOLCHAINS  # noqa: E402

STATIC = ROOT / "docs" / "_static"
RESULTS, TABLE = STATIC / "platforms.json", STATIC / "platforms.md"
VERSIONS, VERSIONS_TABLE = STATIC / "versions.json", STATIC / "versions.md"
WORDS = {"passed": "yes", "failed": "**no**", "skipped": "not run"}
#: Which versions, by the argument of ``.ci/versions``.
CHOICES = {
    "oldest": "the oldest that `pyproject.toml` allows",
    "constraints": "those of `constraints.txt`",
    "newest": "the newest",
}
#: The packages that have a column; the file has all that `pyproject.toml` names.
PACKAGES = ("torch", "numpy", "gymnasium", "stable-baselines3", "rltools")


def collect(reports: list[Path], earlier: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the outcome of each test that fills a cell, by platform and column; of several, the last counts.

    :param earlier: what was shown before. It stays but for the tests in the reports, and for platforms whose compiler
        is another one now. A test that was skipped shows nothing: it leaves what was shown before with the same
        compiler, or with one that is missing now.
    """
    platforms: dict[str, Any] = json.loads(json.dumps(earlier or {}))
    for case in (case for report in reports for case in ElementTree.parse(report).iter("testcase")):
        properties = {item.get("name"): item.get("value") for item in case.iter("property")}
        if "platform" not in properties:
            continue
        compiler, result = properties["compiler"], outcome(case)
        row = platforms.setdefault(properties["platform"], {"compiler": compiler, "cells": {}})
        if compiler != row["compiler"]:
            if compiler == "missing":
                continue
            row.update(compiler=compiler, cells={})
        before = row["cells"].get(properties["column"])
        if result["outcome"] != "skipped" or before is None or before["outcome"] == "skipped":
            row["cells"][properties["column"]] = {"test": case.get("name"), **result}
    order = [toolchain.platform for toolchain in TOOLCHAINS]
    return {
        name: {**platforms[name], "cells": dict(sorted(platforms[name]["cells"].items()))}
        for name in sorted(platforms, key=order.index)
    }


def outcome(case: ElementTree.Element) -> dict[str, str]:
    """Return how a test ended, and if it was skipped, why."""
    if (skipped := case.find("skipped")) is not None:
        return {"outcome": "skipped", "reason": skipped.get("message", "")}
    is_broken = case.find("failure") is not None or case.find("error") is not None
    return {"outcome": "failed" if is_broken else "passed"}


def versions(report: Path) -> dict[str, Any]:
    """Return what is installed, of all that this package depends on, and how many tests ended how."""
    outcomes = [outcome(case)["outcome"] for case in ElementTree.parse(report).iter("testcase")]
    needed = [line for line in requires("sb3-tinyrl") or [] if "extra ==" not in line]
    names = sorted(re.match(r"[\w-]+", line)[0] for line in needed)
    return {
        "python": platform.python_version(),
        "packages": {name: version(name).partition("+")[0] for name in names},
        **{word: outcomes.count(word) for word in WORDS},
    }


def render(platforms: dict[str, Any]) -> str:
    """Return the table of platforms in Markdown."""
    rows = [["platform, compiler", *COLUMNS]]
    for name, row in platforms.items():
        cells = (row["cells"].get(column) for column in COLUMNS)
        rows.append([f"{name}: {row['compiler']}", *(text_of(cell) if cell else " " for cell in cells)])
    return markdown(rows)


def text_of(cell: dict[str, str]) -> str:
    """Return the outcome and the test that had it."""
    reason = f" ({cell['reason']})" if "reason" in cell else ""
    return f"{WORDS[cell['outcome']]}{reason}: `{cell['test']}`"


def render_versions(rows: dict[str, Any]) -> str:
    """Return the table of versions in Markdown."""
    table = [["versions", "command", "Python", *PACKAGES, "tests"]]
    for choice in (choice for choice in CHOICES if choice in rows):
        row = rows[choice]
        tests = f"{row['passed']} passed, {row['skipped']} skipped, {row['failed']} failed"
        packages = [row["packages"][name] for name in PACKAGES]
        table.append([CHOICES[choice], f"`.ci/versions {choice}`", row["python"], *packages, tests])
    return markdown(table)


def markdown(rows: list[list[str]]) -> str:
    """Return a table whose first row is its head."""
    rows = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main() -> None:
    """Run the tests of platforms unless results are given; write the files of one of the two tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--versions", choices=CHOICES)
    parser.add_argument("reports", nargs="*", type=Path)
    arguments = parser.parse_args()
    if arguments.versions:
        [report] = arguments.reports
        rows = json.loads(VERSIONS.read_text()) if VERSIONS.exists() else {}
        rows[arguments.versions] = versions(report)
        write(VERSIONS, rows, VERSIONS_TABLE, render_versions(rows))
        return
    if arguments.reports:
        platforms = collect(arguments.reports, json.loads(RESULTS.read_text()))
    else:
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder, "results.xml")
            subprocess.run([sys.executable, "-m", "pytest", "tests/platforms", f"--junitxml={report}"], cwd=ROOT)
            platforms = collect([report])
    write(RESULTS, platforms, TABLE, render(platforms))


def write(results: Path, rows: dict[str, Any], table: Path, text: str) -> None:
    """Write the results and the table made from them."""
    results.write_text(json.dumps(rows, indent=1) + "\n")
    table.write_text(text)
    print(f"Wrote {results} and {table}")


if __name__ == "__main__":
    main()
