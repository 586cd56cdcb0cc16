"""The table in docs/guide/platforms.md is what the tests have shown, for each platform that they know."""

import json
import re
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import test_platforms
from toolchains import ROOT, TOOLCHAINS

sys.path.insert(0, str(ROOT / "docs"))
import platforms as table

RESULTS = json.loads(table.RESULTS.read_text())
VERSIONS = json.loads(table.VERSIONS.read_text())
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")


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
    report = write_report(tmp_path, "zig", runs=child)
    assert table.collect([report]) == {
        PLATFORM: {"compiler": "zig", "cells": {"runs": {"test": "test_runs", **expected}}}
    }


PLATFORM = TOOLCHAINS[-1].platform


def write_report(folder: Path, compiler: str, **children: str) -> Path:
    """What pytest writes of tests of one platform: of each column, what its test case contains."""
    cases = ""
    for column, child in children.items():
        properties = {"platform": PLATFORM, "column": column, "compiler": compiler}
        lines = "".join(f'<property name="{name}" value="{value}"/>' for name, value in properties.items())
        cases += f'<testcase name="test_{column}"><properties>{lines}</properties>{child}</testcase>'
    report = folder / "results.xml"
    report.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    return report


SKIPPED = '<skipped message="not now"/>'


@pytest.mark.parametrize(
    ("compiler", "child", "compiles", "runs"),
    [
        pytest.param("zig 1", "<failure/>", "passed", "failed", id="the test was run again"),
        pytest.param("zig 1", SKIPPED, "passed", "passed", id="a skip shows nothing"),
        pytest.param("missing", SKIPPED, "passed", "passed", id="nor does a missing compiler"),
        pytest.param("zig 2", "", None, "passed", id="another compiler has shown no more than that"),
        pytest.param("zig 2", SKIPPED, None, "skipped", id="or nothing"),
    ],
)
def test_reports_of_some_tests_are_added(
    tmp_path: Path, compiler: str, child: str, compiles: str | None, runs: str
) -> None:
    other = {TOOLCHAINS[0].platform: RESULTS[TOOLCHAINS[0].platform]}
    earlier = table.collect([write_report(tmp_path, "zig 1", compiles="", runs="")], other)
    later = table.collect([write_report(tmp_path, compiler, runs=child)], earlier)
    assert later[TOOLCHAINS[0].platform] == RESULTS[TOOLCHAINS[0].platform]
    assert later[PLATFORM]["compiler"] == ("zig 2" if compiler == "zig 2" else "zig 1")
    outcomes = {column: cell["outcome"] for column, cell in later[PLATFORM]["cells"].items()}
    assert outcomes == {"runs": runs} | ({"compiles": compiles} if compiles else {})
    assert earlier[PLATFORM]["cells"]["runs"]["outcome"] == "passed"


# --- versions ---


def test_the_table_of_versions_is_made_from_the_results() -> None:
    assert table.VERSIONS_TABLE.read_text() == table.render_versions(VERSIONS)
    assert VERSIONS.keys() == table.CHOICES.keys()


@pytest.mark.parametrize("choice", table.CHOICES)
def test_no_version_has_failed(choice: str) -> None:
    row = VERSIONS[choice]
    assert row["failed"] == 0
    assert row["passed"] > 150


def test_the_lower_bounds_are_what_was_run() -> None:
    """Of Python, and of each package that every user installs."""
    packages = VERSIONS["oldest"]["packages"]
    dependencies = re.search(r"\ndependencies = \[\n(.*?)\n\]", PROJECT, re.DOTALL)[1]
    bounds = dict(re.findall(r'^    "([\w-]+)[>~]=([\d.]+)', dependencies, re.MULTILINE))
    assert bounds.keys() == packages.keys()
    assert {name: packages[name] for name in bounds if not equals(packages[name], bounds[name])} == {}
    assert VERSIONS["oldest"]["python"].startswith(re.search(r'requires-python = ">=([\d.]+)"', PROJECT)[1] + ".")


def equals(found: str, bound: str) -> bool:
    """Whether two versions are the same but for zeros at the end."""
    return re.sub(r"(\.0)+$", "", found) == re.sub(r"(\.0)+$", "", bound)


def test_versions_that_are_installed_are_told(tmp_path: Path) -> None:
    row = table.versions(write_report(tmp_path, "zig", compiles="", runs=SKIPPED, loads="<error/>"))
    assert (row["passed"], row["skipped"], row["failed"]) == (1, 1, 1)
    assert row["python"] == ".".join(map(str, sys.version_info[:3]))
    assert row["packages"]["numpy"] == version("numpy")
    assert "sphinx" not in row["packages"]
