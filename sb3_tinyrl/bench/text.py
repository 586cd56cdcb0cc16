"""How numbers and tables are written."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rich import box
from rich.table import Table
from rich.text import Text

_MISSED = "(!)"


def number(value: float) -> str:
    """Return three digits or more."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def ratio(value: float) -> str:
    """Return how many times better something is."""
    return f"{value:.0f}x" if value >= 10 else f"{value:.1f}x" if value >= 1 else f"{value:.2f}x"


def optional(value: float | None, show: Callable[[float], str]) -> str:
    """Return how a value is written, if there is one."""
    return "-" if value is None else show(value)


def console_table(header: list[str], rows: Iterable[list[str]], title: str | None = None) -> Table:
    """Return a table for the terminal with numbers in all columns but the first."""
    table = Table(header[0], box=box.SIMPLE, title=title, title_justify="left", title_style="bold")
    for label in header[1:]:
        table.add_column(label, justify="right")
    for row in rows:
        # A cell may hold the name of a folder, with brackets, which rich would take for markup.
        table.add_row(*(Text(cell, style="bold red" if cell.endswith(_MISSED) else "") for cell in row))
    return table


def markdown_table(header: list[str], rows: Iterable[list[str]]) -> str:
    """Return a table with numbers in all columns but the first."""
    body = [[f"**{cell}**" if cell.endswith(_MISSED) else cell for cell in row] for row in rows]
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def missed(text: str, is_missed: bool) -> str:
    """Return a cell of a table, which stands out where the number in it misses its floor."""
    return f"{text} {_MISSED}" if is_missed else text
