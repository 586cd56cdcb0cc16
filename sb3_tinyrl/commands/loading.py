"""Files of the user's that pickles are read from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

_T = TypeVar("_T")


def load(what: str, path: Path, loaded: Callable[[], _T]) -> _T:
    """Return what a file holds.

    :param what: is expected in it
    :param loaded: reads it
    :raises OSError: when it can't be read
    :raises ValueError: when it holds something else, whatever that has led to
    """
    try:
        return loaded()
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"{path} can't be loaded, expected {what}: {type(error).__name__}: {error}") from error
