"""Measurements along the axes, and the floors they are held to."""

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

    @property
    def is_end_to_end(self) -> bool:
        """Whether environment steps of ``learn`` were measured, beside gradient steps of ``train``."""
        return bool(self.results.values(OURS, "steps_per_second"))

    def cost(self, peer: str) -> float:
        """Microseconds of an environment step where these were measured, else of a gradient step."""
        rate = "steps_per_second" if self.is_end_to_end else "updates_per_second"
        cost = self.results.microseconds(peer, rate)
        assert cost is not None
        return cost

    def least_cost(self) -> float:
        """What :meth:`cost` would be if there were only matrix products, at the FMA peak."""
        settings = self.results.settings
        microseconds = 1e6 * self.results.update_flops / median(self.results.peak_flops)
        if not self.is_end_to_end:
            return microseconds
        return microseconds * settings.updates_per_step

    def advantage(self) -> float:
        """How many times as high Stable-Baselines3's :meth:`cost` is: the median of the rounds' ratios."""
        advantage = self.results.advantage(THEIRS, "steps_per_second" if self.is_end_to_end else "updates_per_second")
        assert advantage is not None
        return advantage

    def misses(self) -> dict[str, bool]:
        """Which floors TinySAC misses, of those that hold here and were measured."""
        results = self.results
        is_wide = min(results.settings.net_arch) >= FROM_WIDTH
        floors = {
            "update_advantage": (results.advantage(THEIRS, "updates_per_second"), LEAST_ADVANTAGE),
            "step_advantage": (results.advantage(THEIRS, "steps_per_second"), LEAST_ADVANTAGE),
            "fraction_of_peak": (results.median(OURS, "fraction_of_peak") if is_wide else None, LEAST_FRACTION_OF_PEAK),
            "memory": (results.advantage(THEIRS, "peak_memory"), 1),
        }
        return {name: value < floor for name, (value, floor) in floors.items() if value is not None}


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
