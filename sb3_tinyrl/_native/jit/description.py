"""The file beside each library: the hash of its contents, and what it is for."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sb3_tinyrl._native.jit.trust import open_trusted

NEVER = 0.0
_MOST_BYTES = 2**16
_BYTES_AT_ONCE = 2**20


@dataclass(frozen=True)
class Description:
    """What is known of a library.

    :param sha256: the hash of its contents
    :param purpose: what it was compiled for; empty if that is not written there
    :param used: when it was last loaded, in seconds since the epoch; ``NEVER``
    """

    sha256: str
    purpose: str
    used: float


def read_description(path: Path) -> Description | None:
    """Return what a file says, or None if it says nothing that makes sense.

    :raises UntrustedError: when others can write to it
    :raises OSError: when it can't be read
    """
    with open(open_trusted(path), "rb") as file:
        used, text = os.fstat(file.fileno()).st_mtime, file.read(_MOST_BYTES)
    try:
        values = json.loads(text)
        return Description(str(values["sha256"]), str(values.get("for", "")), used)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def write_description(path: Path, sha256: str, purpose: str) -> None:
    """Write a new file, of a library that was never loaded.

    :raises OSError: when that is not possible
    """
    path.write_text(json.dumps({"sha256": sha256, "for": purpose}), encoding="utf-8")
    os.utime(path, (NEVER, NEVER))


def file_hash(file: IO[bytes]) -> str:
    """Return the SHA-256 of an open file.

    :raises OSError: when it can't be read
    """
    total = hashlib.sha256()
    while block := file.read(_BYTES_AT_ONCE):
        total.update(block)
    return total.hexdigest()
