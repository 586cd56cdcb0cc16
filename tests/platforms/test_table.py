"""The table in docs/guide/platforms.md is what the tests have shown, for each platform that they know."""

import json
import re
import sys
from pathlib import Path

import pytest
import test_platforms
from toolchains import ROOT, TOOLCHAINS

sys.path.insert(0, str(ROOT / "docs"))
import platforms as table

RESULTS = json.loads(table.RESULTS.read_text())


def test_the_table_is_made_from_the_results() -> None:
    assert table.TABLE.read_text() == table.render(RESULTS)


def test_each_platform_has_a_row() -> None:
    assert list(RESULTS) == [toolchain.platform for toolchain in TOOLCHAINS]


def test_each_cell_names_a_test_that_there_is() -> None:
    names = {toolchain.name for toolchain in TOOLCHAINS}
    for row in RESULTS.values():
        for cell in row["cells"].values():
            function, toolchain = re.fullmatch(r"(\w+)\[(.+)\]", cell["test"]).groups()
            assert hasattr(test_platforms, function)
            assert toolchain in names


def test_nothing_has_failed() -> None:
    cells = [cell for row in RESULTS.values() for cell in row["cells"].values()]
    assert [cell["test"] for cell in cells if cell["outcome"] == "failed"] == []


@pytest.mark.parametrize(
    ("child", "expected"),
    [
        ("", {"outcome": "passed"}),
        ("<failure/>", {"outcome": "failed"}),
        ("<error/>", {"outcome": "failed"}),
        ('<skipped message="wine is not installed"/>', {"outcome": "skipped", "reason": "wine is not installed"}),
    ],
)
def test_outcomes_are_read(tmp_path: Path, child: str, expected: dict[str, str]) -> None:
    toolchain = TOOLCHAINS[-1]
    report = tmp_path / "results.xml"
    properties = {"platform": toolchain.platform, "column": "runs", "compiler": "zig"}
    lines = "".join(f'<property name="{name}" value="{value}"/>' for name, value in properties.items())
    report.write_text(
        f'<testsuites><testsuite><testcase name="test_runs[{toolchain}]"><properties>{lines}</properties>{child}'
        "</testcase></testsuite></testsuites>"
    )
    assert table.collect([report]) == {
        toolchain.platform: {"compiler": "zig", "cells": {"runs": {"test": f"test_runs[{toolchain}]", **expected}}}
    }
