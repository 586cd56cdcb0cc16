"""Measurements of one benchmark, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Any

from sb3_tinyrl.bench.flops import update_flops
from sb3_tinyrl.bench.settings import Settings

#: Measurements where less is better.
_COSTS = frozenset({"predict_microseconds", "overhead_microseconds", "peak_memory", "cold", "warm"})


@dataclass
class PeerResults:
    """One peer: measurements of each round, and what is measured once.

    :param rounds: one list for each measurement
    :param budgets: one for each round: microseconds in an environment step, by where they go
    :param phases: the same for a gradient step
    :param compile_seconds: ``cold`` and ``warm``, as far as they apply
    :param peak_memory: bytes
    :param instruction_set: that its kernel was compiled for, where it has one
    """

    label: str
    version: str
    rounds: dict[str, list[float]] = field(default_factory=dict)
    budgets: list[dict[str, float]] = field(default_factory=list)
    phases: list[dict[str, float]] = field(default_factory=list)
    compile_seconds: dict[str, float] = field(default_factory=dict)
    peak_memory: int | None = None
    instruction_set: str | None = None

    def add(self, measurement: str, value: Any) -> None:
        """Take in what the peer's method of that name returned."""
        if measurement == "set_up":
            self.compile_seconds = value
        elif measurement == "peak_memory":
            self.peak_memory = value
        elif measurement == "instruction_set":
            self.instruction_set = value
        elif measurement == "budget":
            self.budgets.append(value)
            # Of a native environment these are not known apart.
            if "environment" in value:
                overhead = value["total"] - value["environment"] - value["gradient steps"]
                self.rounds.setdefault("overhead_microseconds", []).append(overhead)
        elif measurement == "phases":
            self.phases.append(value)
        else:
            self.rounds.setdefault(measurement, []).append(value)


def median_parts(breakdowns: list[dict[str, float]]) -> dict[str, float]:
    """Medians over all rounds of what adds up to a step."""
    parts = breakdowns[0] if breakdowns else {}
    return {part: median(breakdown[part] for breakdown in breakdowns) for part in parts}


@dataclass
class Results:
    """All peers.

    :param machine: on what they ran
    :param update_flops: floating-point operations in the matrix products of one gradient step
    :param peak_flops: floating-point operations per second that the cores used can do, in each round
    :param round_trip_seconds: that two threads take to answer each other, in each round; empty with one thread
    :param env_seconds: that a step of the environment takes without wrappers, in each round; empty where that was not
        measured
    :param peers: by name; the first is the one the others are compared with
    :param failures: why a peer is missing, by name
    """

    settings: Settings
    command: str
    machine: dict[str, Any]
    update_flops: int
    peak_flops: list[float] = field(default_factory=list)
    round_trip_seconds: list[float] = field(default_factory=list)
    env_seconds: list[float] = field(default_factory=list)
    peers: dict[str, PeerResults] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @classmethod
    def empty(cls, settings: Settings, command: str = "", machine: dict[str, Any] | None = None) -> Results:
        """Return what there is before the first measurement.

        :raises Exception: see :meth:`~sb3_tinyrl.bench.settings.Settings.dimensions`
        """
        observation_dim, action_dim = settings.dimensions()
        layers = settings.net_arch
        n_flops = update_flops(observation_dim, action_dim, layers, layers, settings.batch_size)
        return cls(settings, command, machine or {}, n_flops)

    def limits(self) -> list[float]:
        """The most environment steps per second that this machine allows, in each round; none where not measured.

        That is with matrix products at the FMA peak, the step of the environment itself, and nothing else.
        """
        if not self.env_seconds:
            return []
        n_flops = self.update_flops * self.settings.updates_per_step
        return [
            1 / (n_flops / peak + env_seconds)
            for peak, env_seconds in zip(self.peak_flops, self.env_seconds, strict=True)
        ]

    def values(self, peer: str, measurement: str) -> list[float]:
        """One value for each round, or one in all; none where it was not measured."""
        results = self.peers[peer]
        if measurement == "fraction_of_peak":
            rates = results.rounds.get("updates_per_second")
            pairs = zip(rates, self.peak_flops, strict=True) if rates else ()
            return [rate * self.update_flops / peak for rate, peak in pairs]
        if measurement == "fraction_of_limit":
            steps = results.rounds.get("steps_per_second")
            limits = self.limits()
            return [rate / limit for rate, limit in zip(steps, limits, strict=True)] if steps and limits else []
        if measurement == "peak_memory":
            return [] if results.peak_memory is None else [results.peak_memory]
        if measurement in ("cold", "warm"):
            return [results.compile_seconds[measurement]] if measurement in results.compile_seconds else []
        return results.rounds.get(measurement, [])

    def median(self, peer: str, measurement: str) -> float | None:
        """The median over the rounds."""
        values = self.values(peer, measurement)
        return median(values) if values else None

    def microseconds(self, peer: str, rate: str) -> float | None:
        """How long a step takes of which so many are done per second."""
        per_second = self.median(peer, rate)
        return None if per_second is None else 1e6 / per_second

    def advantage(self, peer: str, measurement: str) -> float | None:
        """How many times better the first peer is: the median over the ratios of each round."""
        first, others = self.values(next(iter(self.peers)), measurement), self.values(peer, measurement)
        if not first or not others:
            return None
        ratios = [a / b for a, b in zip(first, others, strict=True)]
        return median(1 / ratio for ratio in ratios) if measurement in _COSTS else median(ratios)
