"""The table of faults, promises and tests names tests that there are."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guide" / "reliability.md").read_text(encoding="utf-8")
ROWS = [row for row in re.findall(r"^\|(.*)\|$", PAGE, re.MULTILINE) if not re.match(r" fault |---", row)]


def functions(path: Path) -> set[str]:
    """Names of the functions in a module."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in module.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", ROWS)
def test_every_promise_has_a_test(row: str) -> None:
    _, _, tests = row.split(" | ")
    names = re.findall(r"`([^`]+)`", tests)
    assert names
    for name in names:
        path, _, function = name.partition("::")
        assert function in functions(ROOT / path)


@pytest.mark.parametrize("path", sorted(Path(__file__).parent.glob("test_*.py")), ids=lambda path: path.name)
def test_every_test_of_faults_has_a_promise(path: Path) -> None:
    named = set(re.findall(rf"`tests/faults/{path.name}::(\w+)`", PAGE))
    if path != Path(__file__):
        assert named == {name for name in functions(path) if name.startswith("test_")}
