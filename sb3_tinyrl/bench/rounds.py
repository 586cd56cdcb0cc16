"""The benchmark itself: all peers get ready, then each has its turn in every round.

Only one of them works at a time, and everything that is compared is measured within the same minute, since the speed
of machines drifts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from sb3_tinyrl.bench.fma_peak import FmaPeak
from sb3_tinyrl.bench.peers import PEERS
from sb3_tinyrl.bench.process import PeerError, PeerProcess
from sb3_tinyrl.bench.results import PeerResults, Results

_ONCE = ("set_up", "peak_memory")


def n_measurements(names: list[str], n_rounds: int) -> int:
    """Return how often :func:`run` is going to call ``progress``."""
    return n_rounds + sum(len(_ONCE) + n_rounds * len(PEERS[name].measurements) for name in names)


def run(
    results: Results,
    names: list[str],
    folder: Path,
    progress: Callable[[str], None],
    *,
    peak: Callable[[], float] | None = None,
    measurements: Sequence[str] | None = None,
    kernels: Path | None = None,
) -> None:
    """Measure.

    :param results: where everything goes
    :param names: of the peers; the first is the one the others are compared with
    :param folder: for temporary files
    :param progress: called before each measurement with what comes
    :param peak: returns the floating-point operations per second that the cores used can do; by default compiled here
    :param measurements: what to take in each round; by default all that a peer has
    :param kernels: where compiled kernels are kept; by default in a folder of each peer, so that compiling is cold
    :raises PeerError: when the first peer fails; others that fail are left out
    """
    with ExitStack() as stack:
        peak = peak or FmaPeak(folder, results.settings.threads)
        processes: dict[str, PeerProcess] = {}
        for name in names:
            results.peers[name] = PeerResults(PEERS[name].label, PEERS[name].version())
            processes[name] = stack.enter_context(PeerProcess(name, results.settings, folder / name, kernels))

        def ask(name: str, measurement: str, when: str = "") -> None:
            progress(f"{when}{PEERS[name].label}: {measurement.replace('_', ' ')}")
            if name not in results.peers:
                return
            try:
                results.peers[name].add(measurement, processes[name].ask(measurement))
            except PeerError as error:
                if name == names[0]:
                    raise PeerError(f"{PEERS[name].label}: {error}") from error
                del results.peers[name]
                results.failures[name] = str(error)

        for name in names:
            ask(name, "set_up")
        for i in range(results.settings.rounds):
            when = f"round {i + 1} of {results.settings.rounds}, "
            progress(f"{when}FMA peak")
            results.peak_flops.append(peak())
            # No peer always comes right after the same neighbour.
            first = i % len(names)
            for name in (*names[first:], *names[:first]):
                for measurement in measurements or PEERS[name].measurements:
                    ask(name, measurement, when)
        for name in names:
            ask(name, "peak_memory")
