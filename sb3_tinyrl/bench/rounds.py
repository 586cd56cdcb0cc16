"""The benchmark itself: all peers get ready, then each has its turn in every round.

Only one of them works at a time, and everything that is compared is measured within the same minute, since the speed
of machines drifts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sb3_tinyrl.bench.checkout import Revision
from sb3_tinyrl.bench.duration import in_words, rounds_seconds
from sb3_tinyrl.bench.fma_peak import FmaPeak
from sb3_tinyrl.bench.peers.base import Peer
from sb3_tinyrl.bench.peers.registry import PEERS
from sb3_tinyrl.bench.peers.revision import AGAINST
from sb3_tinyrl.bench.peers.revision import Revision as RevisionPeer
from sb3_tinyrl.bench.process import PeerError, PeerProcess
from sb3_tinyrl.bench.raw_env import RAW_ENVIRONMENT
from sb3_tinyrl.bench.results import PeerResults, Results
from sb3_tinyrl.bench.round_trip import RoundTrip

_LAST = ("instruction_set", "peak_memory")
#: What the environment alone is called where it failed.
_ENVIRONMENT = "the environment without wrappers"


def _peer(name: str) -> type[Peer]:
    return RevisionPeer if name == AGAINST else PEERS[name]


def n_measurements(names: list[str], n_rounds: int) -> int:
    """Return how often :func:`run` is going to call ``progress``, with its defaults."""
    of_machine = 1 + 2 * n_rounds  # the environment is set up; then its step and the FMA peak
    return of_machine + sum(2 + len(_LAST) + n_rounds * len(_peer(name).measurements) for name in names)


def run(
    results: Results,
    names: list[str],
    folder: Path,
    progress: Callable[[str], None],
    *,
    peak: Callable[[], float] | None = None,
    round_trip: Callable[[], float] | None = None,
    measurements: Sequence[str] | None = None,
    kernels: Path | None = None,
    with_limit: bool = True,
    against: Revision | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Measure.

    :param results: where everything goes
    :param names: of the peers; the first is the one the others are compared with
    :param folder: for temporary files
    :param progress: called before each measurement with what comes
    :param peak: returns the floating-point operations per second that the cores used can do; by default compiled here
    :param round_trip: returns the seconds that two threads take to answer each other; by default compiled here, for
        more than one thread
    :param measurements: what to take in each round; by default all that a peer has
    :param kernels: where compiled kernels are kept; by default in a folder of each peer, so that compiling is cold
    :param with_limit: whether to measure the environment alone, for the limit of steps per second
    :param against: what the peer :data:`~sb3_tinyrl.bench.peers.revision.AGAINST` is
    :param say: gets how long the rounds are going to take, before they begin
    :raises PeerError: when the first peer or the other revision fails; others that fail are left out
    """
    with ExitStack() as stack:
        peak = peak or FmaPeak(folder, results.settings.threads)
        if results.settings.threads > 1:
            round_trip = round_trip or RoundTrip(folder)
        processes: dict[str, PeerProcess] = {}
        for name in names:
            if name == AGAINST:
                assert against is not None
                results.peers[name] = PeerResults(against.label, against.commit)
                checkout = (folder / "checkout").resolve()
                against.write_files(checkout)
                # Kernels of its own: what a key stands for is that revision's affair.
                process = PeerProcess(name, results.settings, folder / name, None, checkout)
            else:
                results.peers[name] = PeerResults(PEERS[name].label, PEERS[name].version())
                process = PeerProcess(name, results.settings, folder / name, kernels)
            processes[name] = stack.enter_context(process)

        labels = {name: peer.label for name, peer in results.peers.items()}

        def ask(name: str, measurement: str, when: str = "") -> Any:
            """Return nothing from a peer that has failed."""
            progress(f"{when}{labels[name]}: {measurement.replace('_', ' ')}")
            if name not in results.peers:
                return None
            try:
                return processes[name].ask(measurement)
            except PeerError as error:
                if name in (names[0], AGAINST):
                    raise PeerError(f"{labels[name]}: {error}") from error
                del results.peers[name]
                results.failures[name] = str(error)
                return None

        def measure(name: str, measurement: str, when: str = "") -> None:
            value = ask(name, measurement, when)
            if name in results.peers:
                results.peers[name].add(measurement, value)

        def ask_env(process: PeerProcess, measurement: str, when: str = "") -> Any:
            """Return nothing once it has failed: it may need a wrapper that the peers give it."""
            progress(f"{when}environment alone: {measurement.replace('_', ' ')}")
            if _ENVIRONMENT in results.failures:
                return None
            try:
                return process.ask(measurement)
            except PeerError as error:
                results.failures[_ENVIRONMENT] = str(error)
                results.env_seconds.clear()
                return None

        env = None
        if with_limit:
            env = stack.enter_context(PeerProcess(RAW_ENVIRONMENT, results.settings, folder / RAW_ENVIRONMENT, kernels))
            ask_env(env, "set_up")
        for name in names:
            measure(name, "set_up")
        estimates = {name: ask(name, "seconds_per_step") for name in names}
        taking_part = {name: seconds for name, seconds in estimates.items() if seconds is not None}
        duration = rounds_seconds(
            results.settings,
            [(seconds, measurements or _peer(name).measurements) for name, seconds in taking_part.items()],
        )
        say(f"All are ready. The {results.settings.rounds} rounds will take about {in_words(duration)}.")
        for i in range(results.settings.rounds):
            when = f"round {i + 1} of {results.settings.rounds}, "
            progress(f"{when}FMA peak")
            results.peak_flops.append(peak())
            if round_trip is not None:
                results.round_trip_seconds.append(round_trip())
            if env is not None and (step_seconds := ask_env(env, "step_seconds", when)) is not None:
                results.env_seconds.append(step_seconds)
            # No peer always comes right after the same neighbour.
            first = i % len(names)
            for name in (*names[first:], *names[:first]):
                for measurement in measurements or _peer(name).measurements:
                    measure(name, measurement, when)
        for name in names:
            for measurement in _LAST:
                measure(name, measurement)
