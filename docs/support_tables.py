"""Write the tables of what the kernel takes and relies on, from what decides it: python docs/support_tables.py."""

from pathlib import Path

from sb3_tinyrl.capabilities import ARGUMENTS
from sb3_tinyrl.contract import FACTS

_STATIC = Path(__file__).parent / "_static"

TABLES = {
    _STATIC / "support_matrix.md": (
        ARGUMENTS,
        {
            "argument": lambda argument: f"`{argument.name}`",
            "native": lambda argument: argument.native,
            "native, sampled by SB3's Python": lambda argument: argument.sampled,
            "through PyTorch": lambda argument: argument.torch,
            "error": lambda argument: argument.error,
        },
    ),
    _STATIC / "contract.md": (
        FACTS,
        {
            "about": lambda fact: fact.name,
            "what must hold": lambda fact: fact.promise,
            "otherwise": lambda fact: fact.otherwise,
            "acting rests on it, too": lambda fact: "yes" if fact.acting else "",
        },
    ),
}


def render(path: Path) -> str:
    """Return one of the tables in Markdown."""
    items, columns = TABLES[path]
    rows = [[*columns], ["---"] * len(columns)]
    rows += [[column(item) or " " for column in columns.values()] for item in items]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


if __name__ == "__main__":
    for path in TABLES:
        path.write_text(render(path))
        print(f"Wrote {path}")
