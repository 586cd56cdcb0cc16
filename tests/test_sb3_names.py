"""What is private to Stable-Baselines3 and used by us is listed, and its loss is told in a sentence."""

import ast
from pathlib import Path

import pytest
from stable_baselines3 import SAC
from stable_baselines3.common.vec_env import VecEnv

import sb3_tinyrl
from sb3_tinyrl import sb3_names

PACKAGE = Path(sb3_tinyrl.__file__).parent


def private_names_used(path: Path) -> set[str]:
    """Names after a dot, or of methods that override, with one leading underscore."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    names |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    return {name for name in names if name.startswith("_") and not name.startswith("__")}


def test_this_version_has_them_all() -> None:
    sb3_names.require()


@pytest.mark.parametrize("owner", [SAC, VecEnv])
def test_every_name_that_the_package_uses_is_listed(owner: type) -> None:
    files = [path for path in PACKAGE.rglob("*.py") if "bench" not in path.parts]
    files = [path for path in files if (path.name == "vec_env.py") == (owner is VecEnv)]
    used = {name for path in files for name in private_names_used(path) if sb3_names.has(owner, name)}
    assert used - set(sb3_names.NAMES[owner]) == set()


def test_a_missing_name_is_told() -> None:
    with pytest.raises(
        ImportError, match=r"Stable-Baselines3 \d\S+ has no SAC\._gone, which sb3-tinyrl .* pip install"
    ):
        sb3_names.require({SAC: ("_last_obs", "_gone"), VecEnv: ("_seeds",)})


@pytest.mark.parametrize("name", ["_last_obs", "_store_transition", "_vec_normalize_env"])
def test_attributes_and_methods_count(name: str) -> None:
    assert sb3_names.has(SAC, name)
    assert not sb3_names.has(SAC, f"{name}_of_another_version")
