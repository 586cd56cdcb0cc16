"""How numbers and tables are written."""

from __future__ import annotations

from collections.abc import Iterable


def number(value: float) -> str:
    """Return three digits or more."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def ratio(value: float) -> str:
    """Return how many times better something is."""
    return f"{value:.0f}x" if value >= 10 else f"{value:.1f}x" if value >= 1 else f"{value:.2f}x"


def markdown_table(header: list[str], rows: Iterable[list[str]]) -> str:
    """Return a table with numbers in all columns but the first."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
