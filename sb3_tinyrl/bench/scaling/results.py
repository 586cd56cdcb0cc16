"""What came out, and what it should be."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Any

from sb3_tinyrl.bench.results import Results

OURS, THEIRS = "tiny", "sb3"

#: How many times as fast as Stable-Baselines3 TinySAC has to be at every point.
LEAST_ADVANTAGE = 2.5
#: The least fraction of the FMA peak, for hidden layers of at least that width.
LEAST_FRACTION_OF_PEAK, FROM_WIDTH = 0.6, 128


@dataclass
class Point:
    """One value on one axis.

    :param results: of both peers
    """

    value: int
    results: Results

    def update_microseconds(self, peer: str) -> float:
        """A gradient step of ``train`` alone."""
        updates_per_second = self.results.median(peer, "updates_per_second")
        assert updates_per_second is not None
        return 1e6 / updates_per_second

    def step_microseconds(self, peer: str) -> float | None:
        """An environment step of ``learn``, where it was measured."""
        steps_per_second = self.results.median(peer, "steps_per_second")
        return None if steps_per_second is None else 1e6 / steps_per_second

    def cost(self, peer: str) -> float:
        """Microseconds of an environment step where these were measured, else of a gradient step."""
        return self.step_microseconds(peer) or self.update_microseconds(peer)

    def least_cost(self) -> float:
        """What :meth:`cost` would be if there were only matrix products, at the FMA peak."""
        settings = self.results.settings
        microseconds = 1e6 * self.results.update_flops / median(self.results.peak_flops)
        if self.step_microseconds(OURS) is None:
            return microseconds
        return microseconds * settings.gradient_steps / (settings.train_freq * settings.n_envs)

    def fraction_of_peak(self, peer: str) -> float:
        """The arithmetic of gradient steps as a fraction of what the cores could do at most."""
        fraction = self.results.median(peer, "fraction_of_peak")
        assert fraction is not None
        return fraction

    def update_advantage(self) -> float:
        """How many times as fast TinySAC's gradient steps are: the median of the rounds' ratios."""
        advantage = self.results.advantage(THEIRS, "updates_per_second")
        assert advantage is not None
        return advantage

    def step_advantage(self) -> float | None:
        """The same of environment steps, where these were measured."""
        return self.results.advantage(THEIRS, "steps_per_second")

    def memory(self, peer: str) -> float | None:
        """Most bytes that the process ever had in memory, or None where nobody knows."""
        return self.results.median(peer, "peak_memory")

    def misses(self) -> dict[str, bool]:
        """Which floors TinySAC misses, of those that hold here."""
        step_advantage, ours, theirs = self.step_advantage(), self.memory(OURS), self.memory(THEIRS)
        misses = {"update_advantage": self.update_advantage() < LEAST_ADVANTAGE}
        if step_advantage is not None:
            misses["step_advantage"] = step_advantage < LEAST_ADVANTAGE
        if min(self.results.settings.net_arch) >= FROM_WIDTH:
            misses["fraction_of_peak"] = self.fraction_of_peak(OURS) < LEAST_FRACTION_OF_PEAK
        if ours is not None and theirs is not None:
            misses["memory"] = ours > theirs
        return misses


@dataclass
class ScalingResults:
    """All points.

    :param machine: on what they were measured
    :param rounds: in which each peer had its turn at each point
    :param points: of each axis, by the axis' name
    :param failures: why a point is missing, by axis and value
    :param is_complete: whether every point was tried
    """

    command: str
    machine: dict[str, Any]
    threads: int
    rounds: int
    points: dict[str, list[Point]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    is_complete: bool = False

    def measured(self) -> dict[str, list[Point]]:
        """The axes of which there are points."""
        return {axis: points for axis, points in self.points.items() if points}

    def all_points(self) -> list[Point]:
        """Those of all axes."""
        return [point for points in self.points.values() for point in points]
