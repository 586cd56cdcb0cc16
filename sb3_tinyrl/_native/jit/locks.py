"""Whether processes can lock files: some network file systems are mounted without locks."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

LOCK_MODE = 0o600
"""Of files that are locked: a user who can open one can hold it for ever."""

_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


def has_locks(path: Path) -> bool:
    """Return whether a file, which is made if there is none, can be locked for as long as a process lives.

    :raises OSError: when it can't be opened
    """
    if sys.platform == "win32":
        return True
    import fcntl  # which Windows lacks

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, LOCK_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _NO_LOCKS
    finally:
        os.close(descriptor)
    return True
