"""Files that exist as a whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file, replacing an earlier one only when all of it is on the disk.

    :param path: folders that are missing are created, as by SB3's ``save``
    :raises OSError: naming the path, when it can't be written; an earlier file stays what it was
    """
    target = Path(os.path.realpath(path))  # a symbolic link stays one
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder; expected the name of a file to write")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise NotADirectoryError(f"can't write {target}: {error.filename} is no folder") from error
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    except OSError as error:
        raise OSError(error.errno, f"can't write {target}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
