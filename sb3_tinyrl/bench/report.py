"""How results are shown: tables on the terminal and in Markdown, everything as JSON, perhaps a picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from sb3_tinyrl.bench.text import console_table, markdown_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Report:
    """What there is to show of a measurement.

    :param name: of the files
    :param command: that measures it anew
    :param content: everything that was measured and what follows from it, for JSON
    :param tables: titles, where there are any, and rows, the header first
    :param failures: why something is missing, by what it is
    :param footnote: how and on what it was measured
    :param draw: draws the picture into an empty figure, where there is one
    :param verdict: what to conclude, where there is something
    :param interruption: where the measurement was interrupted
    """

    name: str
    command: str
    content: dict[str, Any]
    tables: list[tuple[str | None, list[list[str]]]]
    failures: dict[str, str]
    footnote: str
    draw: Callable[[Figure], None] | None = None
    verdict: str = ""
    interruption: str = ""

    @property
    def files(self) -> list[str]:
        """The names of the files that :meth:`write` writes."""
        return [f"{self.name}.{suffix}" for suffix in ("json", "md", *(["png"] if self.draw else []))]

    def show(self, console: Console) -> None:
        """Print the tables."""
        for title, (header, *rows) in self.tables:
            console.print(console_table(header, rows, title))
        for line in failure_lines(self.failures):
            console.print(escape(line), style="red", highlight=False)
        if self.verdict:
            console.print(self.verdict, style="bold", highlight=False)
        console.print(self.footnote, style="dim", highlight=False)

    def write(self, folder: Path) -> None:
        """Write the files."""
        content, markdown, *picture = (folder / file for file in self.files)
        content.write_text(json.dumps(self.content, indent=2) + "\n")
        markdown.write_text(self._markdown(), encoding="utf-8")
        if self.draw:
            self._write_picture(self.draw, *picture)

    def _markdown(self) -> str:
        blocks = []
        for title, (header, *rows) in self.tables:
            blocks += [f"**{title}**"] if title else []
            blocks.append(markdown_table(header, rows))
        if self.failures:
            blocks.append("\n".join(f"- {line}" for line in failure_lines(self.failures)))
        sentences = (self.verdict, self.footnote, f"Command: `{self.command}`.")
        return "\n\n".join([*blocks, " ".join(filter(None, sentences))]) + "\n"

    def _write_picture(self, draw: Callable[[Figure], None], path: Path) -> None:
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plt

        figure = plt.figure(layout="constrained")
        draw(figure)
        for axes in figure.axes:
            axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, dpi=150)
        plt.close(figure)


def failure_lines(failures: dict[str, str]) -> list[str]:
    """Return what is missing, and of each reason the first and the last line."""
    lines = []
    for what, reason in failures.items():
        first, *others = reason.splitlines() or [""]
        lines.append(f"{what} is missing: {' '.join([first, *others[-1:]])}")
    return lines


def where(machine: dict[str, Any], threads: int) -> str:
    """Return in words on what something was measured."""
    return f"{machine['cpu']}, {threads} of {machine['cores']} cores, {machine['compiler']}."
