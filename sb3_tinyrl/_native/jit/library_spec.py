"""What a spec tells the build: which source is compiled, and with which generated header."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Protocol


class LibrarySpec(Protocol):
    """What :func:`sb3_tinyrl._native.jit.build.build` needs to know; equal specs share one library."""

    source: ClassVar[str]
    """The translation unit, in our folder ``rl_tools/``."""
    advice: ClassVar[str]
    """What the user may do when it does not compile."""

    @property
    def folder(self) -> Path | None:
        """A folder of the user's with headers that the source includes by name."""

    def summary(self) -> str:
        """Return what a user calls the library, in a few words."""

    def header(self) -> str:
        """Return the text of ``kernel_spec.h``, which the source may include."""
