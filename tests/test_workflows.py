"""The workflows call scripts of this repository, for the systems and versions that we promise."""

import re
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TESTS = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_each_step_runs_a_script_that_there_is(path: Path) -> None:
    """So that what a workflow does can be done by hand; and actions of others are pinned to a version."""
    for job in yaml.safe_load(path.read_text())["jobs"].values():
        assert job["timeout-minutes"] <= 120
        for step in job["steps"]:
            if "run" in step:
                [script] = re.fullmatch(r"(?:sudo )?bash (\.ci/\w+)(?: \$\{\{ matrix\.\w+ \}\})?", step["run"]).groups()
                assert (ROOT / script).is_file()
            else:
                assert re.fullmatch(r"actions/[a-z-]+@v\d+|pypa/gh-action-pypi-publish@release/v1", step["uses"])


def test_all_pythons_and_systems_are_there() -> None:
    """YAML takes 3.10 for 3.1 unless it is quoted."""
    matrix = TESTS["jobs"]["tests"]["strategy"]["matrix"]
    pythons = {*matrix["python"], *(entry["python"] for entry in matrix["include"])}
    assert pythons == {"3.10", "3.11", "3.12", "3.13"}
    oldest = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text())[1]
    assert oldest in matrix["python"]
    systems = {system.split("-")[0] for system in matrix["system"]}
    assert systems == {"ubuntu", "macos", "windows"}
    assert {"ubuntu-24.04-arm", "macos-15-intel"} < set(matrix["system"])


def test_the_oldest_and_the_newest_versions_are_there() -> None:
    """Each with an argument that .ci/versions knows."""
    entries = TESTS["jobs"]["versions"]["strategy"]["matrix"]["include"]
    pythons = {entry["versions"]: entry["python"] for entry in entries}
    script = (ROOT / ".ci" / "versions").read_text()
    assert pythons.keys() == set(re.findall(r"^    (\w+)\)", script, re.MULTILINE))
    assert (pythons["oldest"], pythons["newest"]) == ("3.10", "3.13")


def test_links_to_other_hosts_are_checked_every_week_and_for_releases() -> None:
    """No push waits for other hosts. YAML takes the key `on` for a truth."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "links.yml").read_text())
    assert workflow[True].keys() == {"schedule", "release", "workflow_dispatch"}
    assert workflow["jobs"]["links"]["steps"][-1]["run"] == "bash .ci/check_links"
    assert "-b linkcheck docs" in (ROOT / ".ci" / "check_links").read_text()


def test_a_release_is_built_without_secrets_and_published_by_identity() -> None:
    path = ROOT / ".github" / "workflows" / "release.yml"
    workflow = yaml.safe_load(path.read_text())
    assert workflow[True] == {"release": {"types": ["published"]}}
    build, publish = workflow["jobs"]["build"], workflow["jobs"]["publish"]
    assert publish["needs"] == "build"
    assert "permissions" not in build  # only what publishes may prove who it is, and runs no script of ours
    assert publish["permissions"] == {"id-token": "write"}
    assert not [step for step in publish["steps"] if "run" in step]
    assert "secrets" not in path.read_text()


def test_recipes_are_the_checks_of_ci() -> None:
    """A recipe of the justfile that checks something runs what .ci/run does."""
    recipes = (ROOT / "justfile").read_text()
    script = (ROOT / ".ci" / "run").read_text()
    for name in ("lint", "types", "docs"):
        [lines] = re.findall(rf"^{name}:\n((?:    .+\n)+)", recipes, re.MULTILINE)
        for line in map(str.strip, lines.splitlines()):
            program, *options = line.split("|")[-1].removeprefix(" xargs ").split()
            assert program in script
            assert all(option in script for option in options if option.startswith("-")), line
