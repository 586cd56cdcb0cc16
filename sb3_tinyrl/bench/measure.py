"""Taking the time."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any
from unittest import mock


def seconds(function: Callable[[], object]) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def calls_per_second(function: Callable[[], object], at_least: float) -> float:
    """Call ``function`` again and again.

    :param at_least: for so many seconds, and once in any case
    """
    n_calls = 0
    start = time.perf_counter()
    while True:
        function()
        n_calls += 1
        elapsed = time.perf_counter() - start
        if elapsed >= at_least:
            return n_calls / elapsed


class Stopwatches:
    """Adds up the time spent in chosen methods, each under a name."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def watching(self, owner: object, method: str, name: str) -> Iterator[None]:
        """Count calls of ``owner.method`` for as long as the context lasts.

        :param owner: an object, or a class to watch the method of all of its objects
        """
        function = getattr(owner, method)

        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[name] += time.perf_counter() - start

        with mock.patch.object(owner, method, timed):
            yield


def peak_memory() -> int | None:
    """Return the most memory in bytes that this process ever had resident, or None where the platform does not tell."""
    if sys.platform == "linux":
        # getrusage would be simpler, but counts the parent's memory, too, from before this program was started.
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None
