"""The order of the house: which module may import which, where addresses may be, and how long a file may get.

Imports count wherever they stand: at the top, under ``TYPE_CHECKING`` and inside functions.
"""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sb3_tinyrl"

#: From the bottom up: a module imports those below its layer, and those of its own name. The longest name counts.
LAYERS = (
    ("_native",),  # errors
    ("_native.jit",),
    ("_native.abi",),
    (
        "sb3_names",
        "storage",
        "observations",
        "callback_schedule",
        "status",
        "files",
        "activations",
        "environments",
        "reserved_names",
    ),
    ("networks", "export", "saving"),
    ("contract",),
    ("capabilities",),
    ("memory", "batches"),
    ("session", "fused_loop"),
    ("native_actor",),
    ("fused_collection",),
    ("off_policy",),
    ("sac",),
    ("bench", "tinyrl"),
    ("commands",),
    ("", "__main__"),
)
#: Imports that go up all the same, and may close a circle.
ALLOWED: set[tuple[str, str]] = set()

#: Where `data_ptr` and `.ctypes.data` are used.
ROOMS_WITH_ADDRESSES = {"_native.abi", "memory", "batches", "storage", "fused_loop"}

MAX_LINES = 450
#: Files that are longer, and how long they may be.
LONGER = {
    "sb3_tinyrl/tinyrl/checkpoint_parser.py": 488,
}


def modules_of(package: Path) -> dict[str, ast.Module]:
    """The syntax trees of a package's modules, by their names within the package; its own name is empty.

    What lies in a folder without ``__init__.py`` is no module: templates for files of the user's.
    """
    trees = {}
    for path in sorted(path for path in package.rglob("*.py") if (path.parent / "__init__.py").exists()):
        parts = path.relative_to(package).with_suffix("").parts
        trees[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text(encoding="utf-8"))
    return trees


def imports_of(package: Path) -> dict[str, set[str]]:
    """Which modules of the same package each module imports."""
    trees = modules_of(package)
    return {name: set(_imported(tree, package.name, trees.keys())) for name, tree in trees.items()}


def _imported(tree: ast.Module, package: str, modules: set[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import; write the whole name"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for full in names:
            top, _, name = full.partition(".")
            if top == package:
                # The name of a module, or of something in one.
                yield name if name in modules else name.rpartition(".")[0]


def layer(module: str, layers=LAYERS) -> tuple[int, str]:
    """The number of a module's layer, and the name in it that is the module's."""
    names = {name: i for i, names in enumerate(layers) for name in names}
    parts = module.split(".")
    for end in range(len(parts), 0, -1):
        if (name := ".".join(parts[:end])) in names:
            return names[name], name
    raise AssertionError(f"{module} has no layer; give it one in LAYERS of {Path(__file__).name}")


def arrows_up(imports: dict[str, set[str]], layers=LAYERS) -> list[tuple[str, str]]:
    """The imports that do not go down to a lower layer, nor stay within a name."""
    arrows = [(module, other) for module, others in imports.items() for other in sorted(others)]
    placed = [(arrow, *(layer(module, layers) for module in arrow)) for arrow in arrows]
    return [arrow for arrow, (i, name), (j, other) in placed if name != other and j >= i]


def cycle(imports: dict[str, set[str]]) -> list[str]:
    """The modules of a circle of imports; empty where there is none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


def modules_with_addresses(package: Path) -> set[str]:
    """The modules that ask torch or numpy for an address."""
    return {
        name
        for name, tree in modules_of(package).items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and (node.attr == "data_ptr" or (node.attr == "data" and getattr(node.value, "attr", None) == "ctypes"))
    }


def test_imports_point_down():
    assert {*arrows_up(imports_of(PACKAGE))} == ALLOWED


def test_imports_go_in_no_circle():
    allowed = imports_of(PACKAGE)
    for module, other in ALLOWED:
        allowed[module].discard(other)
    assert cycle(allowed) == []


def test_every_layer_has_modules():
    names = {name for names in LAYERS for name in names}
    assert {layer(module)[1] for module in modules_of(PACKAGE)} == names


def test_few_rooms_know_addresses():
    assert {layer(module)[1] for module in modules_with_addresses(PACKAGE)} == ROOMS_WITH_ADDRESSES


def test_files_are_short_enough_to_read():
    files = [path for folder in ("sb3_tinyrl", "rl_tools") for path in (ROOT / folder).rglob("*") if path.is_file()]
    lines = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in files
        if path.suffix in (".py", ".h", ".cpp", ".inl")
    }
    for name, n_lines in sorted(lines.items(), key=lambda item: -item[1]):
        print(f"{n_lines:5} {name}")
    assert {name: n for name, n in lines.items() if n > LONGER.get(name, MAX_LINES)} == {}, "split these files"
    assert {name for name in LONGER if lines.get(name, 0) <= MAX_LINES} == set(), "take these from LONGER"


@pytest.mark.parametrize(
    ("line", "up", "circle", "has_address"),
    [
        ("from house.low import name", False, False, False),
        ("import house.low", False, False, False),
        ("from house import attic", True, True, False),
        ("from house.attic import name", True, True, False),
        ("import house.attic", True, True, False),
        ("def later():\n    from house import attic", True, True, False),
        ("if TYPE_CHECKING:\n    import house.attic.roof", True, False, False),
        ("from house.side import name", True, False, False),
        ("address = tensor.data_ptr()", False, False, True),
        ("address = array.ctypes.data", False, False, True),
        ("value = array.data", False, False, False),
    ],
)
def test_a_planted_fault_is_found(line: str, up: bool, circle: bool, has_address: bool, tmp_path: Path):
    house = tmp_path / "house"
    (house / "attic").mkdir(parents=True)
    layers = (("low",), ("middle", "side"), ("attic", ""))
    for name in ("__init__", "low", "side", "attic/roof"):
        (house / f"{name}.py").touch()
    (house / "middle.py").write_text(line)
    (house / "attic" / "__init__.py").write_text("from house import middle")
    imports = imports_of(house)
    assert bool(arrows_up(imports, layers)) is up
    assert bool(cycle(imports)) is circle
    assert modules_with_addresses(house) == ({"middle"} if has_address else set())
