"""Write the table of what the kernel takes, from the one by which sb3_tinyrl decides: python docs/support_matrix.py."""

from pathlib import Path

from sb3_tinyrl.capabilities import ARGUMENTS

PATH = Path(__file__).parent / "_static" / "support_matrix.md"

COLUMNS = {
    "argument": lambda argument: f"`{argument.name}`",
    "native": lambda argument: argument.native,
    "native, sampled by SB3's Python": lambda argument: argument.sampled,
    "through PyTorch": lambda argument: argument.torch,
    "error": lambda argument: argument.error,
}


def render() -> str:
    """Return the table in Markdown."""
    rows = [[*COLUMNS], ["---"] * len(COLUMNS)]
    rows += [[column(argument) or " " for column in COLUMNS.values()] for argument in ARGUMENTS]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


if __name__ == "__main__":
    PATH.write_text(render())
    print(f"Wrote {PATH}")
