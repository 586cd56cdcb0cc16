"""Write the table of TinyRL's hyperparameters, from the code that reads them: python docs/tinyrl_hyperparameters.py."""

from dataclasses import fields
from pathlib import Path

from sb3_tinyrl.tinyrl.hyperparameters import HyperParameters

PATH = Path(__file__).parent / "_static" / "tinyrl_hyperparameters.md"


def render() -> str:
    """Return the table in Markdown."""
    rows = [["hyperparameter", "default", "meaning"], ["---"] * 3]
    rows += [
        [f"`{field.name}`", f"`{field.default!r}`", field.metadata["meaning"]] for field in fields(HyperParameters)
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


if __name__ == "__main__":
    PATH.write_text(render())
    print(f"Wrote {PATH}")
