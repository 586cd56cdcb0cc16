"""Run the tests of platforms and write down what they show: python docs/platforms.py [results.xml ...].

:param results.xml: what ``pytest tests/platforms --junitxml results.xml`` has written, to run nothing; of several, the
    last that has run a test counts
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "platforms"))

from toolchains import COLUMNS, TOOLCHAINS  # noqa: E402

STATIC = ROOT / "docs" / "_static"
RESULTS, TABLE = STATIC / "platforms.json", STATIC / "platforms.md"
WORDS = {"passed": "yes", "failed": "**no**", "skipped": "not run"}


def collect(reports: list[Path]) -> dict[str, Any]:
    """Return the outcome of each test that fills a cell, by platform and column."""
    platforms: dict[str, Any] = {}
    for case in (case for report in reports for case in ElementTree.parse(report).iter("testcase")):
        properties = {item.get("name"): item.get("value") for item in case.iter("property")}
        if "platform" in properties:
            row = platforms.setdefault(properties["platform"], {"compiler": "", "cells": {}})
            row["compiler"] = properties["compiler"]
            row["cells"][properties["column"]] = {"test": case.get("name"), **outcome(case)}
    order = [toolchain.platform for toolchain in TOOLCHAINS]
    return dict(sorted(platforms.items(), key=lambda item: order.index(item[0])))


def outcome(case: ElementTree.Element) -> dict[str, str]:
    """Return how a test ended, and if it was skipped, why."""
    if (skipped := case.find("skipped")) is not None:
        return {"outcome": "skipped", "reason": skipped.get("message", "")}
    is_broken = case.find("failure") is not None or case.find("error") is not None
    return {"outcome": "failed" if is_broken else "passed"}


def render(platforms: dict[str, Any]) -> str:
    """Return the table in Markdown."""
    rows = [["platform, compiler", *COLUMNS], ["---"] * (len(COLUMNS) + 1)]
    for platform, row in platforms.items():
        cells = (row["cells"].get(column) for column in COLUMNS)
        rows.append([f"{platform}: {row['compiler']}", *(text_of(cell) if cell else " " for cell in cells)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def text_of(cell: dict[str, str]) -> str:
    """Return the outcome and the test that had it."""
    reason = f" ({cell['reason']})" if "reason" in cell else ""
    return f"{WORDS[cell['outcome']]}{reason}: `{cell['test']}`"


def main() -> None:
    """Run the tests unless their results are given; write both files."""
    with tempfile.TemporaryDirectory() as folder:
        reports = [Path(name) for name in sys.argv[1:]]
        if not reports:
            reports = [Path(folder, "results.xml")]
            subprocess.run([sys.executable, "-m", "pytest", "tests/platforms", f"--junitxml={reports[0]}"], cwd=ROOT)
        platforms = collect(reports)
    RESULTS.write_text(json.dumps(platforms, indent=1) + "\n")
    TABLE.write_text(render(platforms))
    print(f"Wrote {RESULTS} and {TABLE}")


if __name__ == "__main__":
    main()
