"""How long it will take, with numbers that can be checked by eye."""

import pytest

from sb3_tinyrl.bench.duration import in_words, rounds_seconds
from sb3_tinyrl.bench.settings import Settings


def test_rounds_are_what_is_measured_in_them() -> None:
    settings = Settings(rounds=3, steps=1000, update_seconds=2, predict_seconds=0.5)
    fast = (0.001, ("steps_per_second", "predict_microseconds"))  # 1 s and 0.5 s
    slow = (0.01, ("steps_per_second", "updates_per_second", "budget", "phases"))  # 10 s, 2 s, 200 steps, 2 s
    assert rounds_seconds(settings, [fast]) == pytest.approx(3 * (0.4 + 1.5))
    assert rounds_seconds(settings, [fast, slow]) == pytest.approx(3 * (0.4 + 1.5 + 16))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.1, "1 s"), (45.4, "45 s"), (99, "99 s"), (99.9, "1 min 40 s"), (118, "2 min"), (3661, "61 min")],
)
def test_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
