"""What two threads take to answer each other."""

from pathlib import Path

from sb3_tinyrl.bench.round_trip import RoundTrip


def test_two_threads_answer_each_other(tmp_path: Path) -> None:
    """Not in no time, and within what a scheduler gives to the one that waits."""
    measure = RoundTrip(tmp_path)
    assert 1e-9 < min(measure() for _ in range(3)) < 0.01
