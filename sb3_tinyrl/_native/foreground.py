"""Compiling while the user waits, with a sign of life."""

from __future__ import annotations

from pathlib import Path

from sb3_tinyrl._native.background import BackgroundBuild
from sb3_tinyrl._native.spec import LibrarySpec

_SECONDS_IN_SILENCE = 0.5


def build_in_foreground(spec: LibrarySpec, what: str) -> Path:
    """Return the library for ``spec``; tell the terminal when it takes longer than a look into the cache.

    :param spec: what to compile for
    :param what: names it in the message
    :raises KernelError: what :func:`sb3_tinyrl._native.build.build` raised
    """
    build = BackgroundBuild(spec)
    try:
        if build.is_done_within(_SECONDS_IN_SILENCE):
            return build.result()
        from rich.console import Console  # slow to import, and only needed here

        with Console(stderr=True).status(f"Compiling {what}, once on this machine; it takes some seconds"):
            return build.result()
    except KeyboardInterrupt:  # wherever it comes, be it during the import
        build.cancel()
        raise
