"""Along what the work grows: one thing at a time, the rest stays at Stable-Baselines3's defaults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sb3_tinyrl.bench.scaling.environment import ENV_ID
from sb3_tinyrl.bench.settings import Settings

#: Environment steps per turn are as many as bring about so many gradient steps.
_UPDATES_IN_TURN = 64
_UPDATE_SECONDS = 0.5


@dataclass(frozen=True)
class Axis:
    """What changes from point to point.

    :param label: what the values are
    :param values: those that are measured
    :param changes: the settings that a value changes
    :param is_end_to_end: whether environment steps are measured, too: where the axis changes what surrounds the update
    """

    label: str
    values: tuple[int, ...]
    changes: Callable[[int], dict[str, Any]]
    is_end_to_end: bool = False

    @property
    def measurements(self) -> tuple[str, ...]:
        """What is measured in each round."""
        return ("updates_per_second", "steps_per_second") if self.is_end_to_end else ("updates_per_second",)

    def settings(self, value: int, threads: int, rounds: int) -> Settings:
        """Return the settings of one point."""
        defaults = Settings(threads=threads, rounds=rounds, fill_buffer=True, update_seconds=_UPDATE_SECONDS)
        settings = replace(defaults, **self.changes(value))
        n_trainings = max(1, _UPDATES_IN_TURN // settings.gradient_steps) if self.is_end_to_end else 1
        steps = settings.n_envs * n_trainings
        return replace(settings, steps=steps, warm_up_steps=steps)


#: In the order in which they are measured and shown.
AXES: dict[str, Axis] = {
    "width": Axis(
        "width of the two hidden layers",
        (32, 64, 128, 256, 512, 1024),
        lambda width: {"net_arch": (width, width)},
    ),
    "batch": Axis("batch size", (64, 128, 256, 512, 1024, 2048), lambda size: {"batch_size": size}),
    "observation": Axis(
        "observation size",
        (3, 11, 27, 105, 376),
        lambda size: {"env": ENV_ID, "env_kwargs": {"size": size}},
    ),
    "gradient-steps": Axis(
        "gradient steps per training",
        (1, 4, 16, 64),
        # Trainings are measured as they happen: with what each of them costs beside its gradient steps.
        lambda n: {"gradient_steps": n, "updates_per_call": n},
        is_end_to_end=True,
    ),
    "n-envs": Axis("environments", (1, 2, 4, 8, 16), lambda n: {"n_envs": n}, is_end_to_end=True),
    "replay": Axis(
        "transitions in the replay buffer",
        (10_000, 100_000, 1_000_000, 10_000_000),
        lambda size: {"buffer_size": size},
    ),
}
