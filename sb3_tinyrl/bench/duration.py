"""How long the rounds are going to take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sb3_tinyrl.bench.settings import Settings

_SECONDS_OF_MACHINE = 0.4  # the FMA peak and the environment alone, a fifth of a second each


def rounds_seconds(settings: Settings, peers: Iterable[tuple[float, Sequence[str]]]) -> float:
    """Return the seconds of all rounds.

    :param peers: of each the seconds of an environment step with training, and what is measured in a round
    """
    n_steps = {"steps_per_second": settings.steps, "budget": settings.budget_steps}
    seconds = {
        "predict_microseconds": settings.predict_seconds,
        "updates_per_second": settings.update_seconds,
        "phases": settings.update_seconds,
    }
    total = _SECONDS_OF_MACHINE
    for seconds_per_step, measurements in peers:
        for measurement in measurements:
            total += n_steps.get(measurement, 0) * seconds_per_step + seconds.get(measurement, 0)
    return settings.rounds * total


def in_words(seconds: float) -> str:
    """Return about how long that is, in words."""
    if seconds < 99.5:
        return f"{max(1, round(seconds))} s"
    minutes, rest = divmod(round(seconds / 10) * 10, 60)
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"
