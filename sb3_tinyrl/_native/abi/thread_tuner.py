"""How many threads share an update: measured on the updates themselves, whose results do not depend on it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from numbers import Integral
from pathlib import Path

MAX_THREADS = 16

_CALLS_EACH = 12
_CALLS_EACH_LATER = 4
_CALLS_UNTIL_NEXT_TRIAL = 500
_CALLS_UNTIL_CONFIRMED = 20
#: Where Linux describes its cores.
_CORES = Path("/sys/devices/system/cpu")
#: What the speed of a core must be, beside that of the fastest one, to count as fast: the large cores of ARM's
#: processors and of Intel's lie above, the small ones at a quarter to two thirds.
_FAST = 0.75


def available_threads() -> int:
    """As many threads as the process may use, at most :data:`MAX_THREADS`."""
    if sys.platform == "linux":
        available = len(os.sched_getaffinity(0))
    else:  # a process may use all processors
        available = os.cpu_count() or 1
    return min(available, MAX_THREADS)


def available_fast_threads(cores: Path = _CORES) -> int:
    """As many threads as there are fast cores among those that the process may use, at most :data:`MAX_THREADS`.

    Of a processor with large and small cores these are the large ones, where threads that share their work evenly do
    not wait for slower ones. Where the operating system tells nothing of that, all cores are fast.

    :param cores: a folder as Linux has it, with ``cpu0/cpu_capacity`` or ``cpu0/cpufreq/cpuinfo_max_freq``
    """
    if sys.platform != "linux":
        return available_threads()
    for file in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
        if speeds := _speeds(os.sched_getaffinity(0), cores, file):
            return min(sum(speed >= _FAST * max(speeds) for speed in speeds), MAX_THREADS)
    return available_threads()


def _speeds(numbers: Iterable[int], cores: Path, file: str) -> list[int]:
    """What the file tells of each core; nothing where it is missing for one of them."""
    try:
        return [int((cores / f"cpu{number}" / file).read_text()) for number in numbers]
    except (OSError, ValueError):
        return []


def require_n_threads(n_threads: object) -> None:
    """Refuse what is no number of threads that may share an update, nor ``None`` for the fastest.

    :raises ValueError: for anything but an integer from 1 to :data:`MAX_THREADS`, or ``None``
    """
    if n_threads is not None and not (isinstance(n_threads, Integral) and 1 <= int(n_threads) <= MAX_THREADS):
        raise ValueError(f"n_threads={n_threads!r}; expected 1 to {MAX_THREADS}, or None for as many as are fastest")


def n_trials() -> int:
    """Calls that it takes to choose among as many threads as are available."""
    return len(_candidates(available_threads(), available_fast_threads())) * _CALLS_EACH


def _candidates(largest: int, n_fast: int) -> list[int]:
    powers = {2**i for i in range(largest.bit_length())}
    return sorted(n for n in {*powers, n_fast, largest} if n <= largest)


class ThreadTuner:
    """Tries 1, 2, 4, ... threads and one for each fast core in turn; stays with the fastest, until it tries them again.

    A small network is updated in less time than other threads need to wake up, and a busy machine has no time for
    them; neither is known before, nor does a machine stay as busy as it is. What another program does for a moment
    changes nothing: what is chosen has to lose two trials in a row, with some calls between them.

    :param fixed: a number that the user asks for; nothing is measured then
    :param n_started: threads that there are, if fewer than asked for or available
    """

    def __init__(self, fixed: int | None = None, n_started: int = MAX_THREADS) -> None:
        self.largest = min(available_threads() if fixed is None else fixed, n_started)
        self._candidates = _candidates(self.largest, available_fast_threads()) if fixed is None else [self.largest]
        self._chosen: int | None = self.largest if len(self._candidates) == 1 else None
        self._has_lost = False
        self._try(_CALLS_EACH)

    def _try(self, calls_each: int) -> None:
        # The fastest of several calls: the others were held up by something else.
        self._fastest = dict.fromkeys(self._candidates, float("inf"))
        self._to_try = self._candidates * calls_each if len(self._candidates) > 1 else []

    def next(self) -> int:
        """The number of threads for the next call."""
        return self._to_try[-1] if self._to_try else self._chosen or self.largest

    def record(self, n_threads: int, seconds: float) -> None:
        """Note how long each gradient step of a call took with ``n_threads``."""
        if self._to_try:
            self._to_try.pop()
            self._fastest[n_threads] = min(self._fastest[n_threads], seconds)
            if not self._to_try:
                self._choose(min(self._fastest, key=self._fastest.__getitem__))
        elif len(self._candidates) > 1:
            self._n_calls_left -= 1
            if self._n_calls_left <= 0:
                self._try(_CALLS_EACH_LATER)

    def _choose(self, fastest: int) -> None:
        """Stay with the fastest of a trial, unless what was chosen before loses for the first time."""
        self._has_lost = not self._has_lost and self._chosen not in (None, fastest)
        if not self._has_lost:
            self._chosen = fastest
        self._n_calls_left = _CALLS_UNTIL_CONFIRMED if self._has_lost else _CALLS_UNTIL_NEXT_TRIAL
