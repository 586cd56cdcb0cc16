"""Which number of threads is settled on, given how long the updates took."""

import os
import sys
from pathlib import Path

import pytest

from sb3_tinyrl._native.abi import thread_tuner
from sb3_tinyrl._native.abi.thread_tuner import (
    ThreadTuner,
    available_fast_threads,
    available_threads,
    require_n_threads,
)


def settle(count: ThreadTuner, seconds: dict[int, float]) -> set[int]:
    """Let it measure until it has settled; returns what it tried."""
    tried = set()
    for _ in range(300):
        n_threads = count.next()
        tried.add(n_threads)
        count.record(n_threads, seconds[n_threads])
    return tried


@pytest.mark.parametrize("fastest", [1, 2, 4, 6])
def test_the_fastest_is_kept(fastest, monkeypatch):
    monkeypatch.setattr(thread_tuner, "available_threads", lambda: 6)
    monkeypatch.setattr(thread_tuner, "available_fast_threads", lambda: 6)
    count = ThreadTuner()
    assert count.largest == 6
    assert settle(count, {n: 1.0 + abs(n - fastest) for n in (1, 2, 4, 6)}) == {1, 2, 4, 6}
    assert count.next() == fastest


def test_a_call_that_was_held_up_does_not_count(monkeypatch):
    monkeypatch.setattr(thread_tuner, "available_threads", lambda: 2)
    count = ThreadTuner()
    count.record(count.next(), 100.0)
    settle(count, {1: 2.0, 2: 1.0})
    assert count.next() == 2


def test_a_machine_that_is_no_longer_busy_is_noticed(monkeypatch):
    monkeypatch.setattr(thread_tuner, "available_threads", lambda: 2)
    count = ThreadTuner()
    settle(count, {1: 2.0, 2: 3.0})
    assert count.next() == 1
    for _ in range(4):
        settle(count, {1: 2.0, 2: 1.0})
    assert count.next() == 2


def test_a_busy_moment_does_not_upset_the_choice(monkeypatch):
    monkeypatch.setattr(thread_tuner, "available_threads", lambda: 2)
    count = ThreadTuner()

    def call(seconds: dict[int, float]) -> int:
        n_threads = count.next()
        count.record(n_threads, seconds[n_threads])
        return n_threads

    quiet, busy = {1: 2.0, 2: 1.0}, {1: 2.0, 2: 3.0}
    for _ in range(2 * thread_tuner._CALLS_EACH + thread_tuner._CALLS_UNTIL_NEXT_TRIAL):
        call(quiet)
    assert {call(busy) for _ in range(2 * thread_tuner._CALLS_EACH_LATER)} == {1, 2}, "it tries both again"
    assert [call(quiet) for _ in range(1000)].count(1) < 50, "it tries one thread, and no more"


def test_a_number_that_the_user_asks_for_is_not_questioned():
    count = ThreadTuner(3)
    assert count.largest == 3
    assert settle(count, {3: 1.0}) == {3}


def test_no_more_than_the_process_may_use():
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    assert ThreadTuner().largest == available_threads() <= allowed


def test_no_more_than_were_started(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    assert settle(ThreadTuner(n_started=3), {1: 3.0, 2: 2.0, 3: 1.0}) == {1, 2, 3}
    assert settle(ThreadTuner(8, n_started=3), {3: 1.0}) == {3}


CAPACITY, FREQUENCY = "cpu_capacity", "cpufreq/cpuinfo_max_freq"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux describes its cores in files")
@pytest.mark.parametrize(
    ("file", "speeds", "n_fast"),
    [
        pytest.param(CAPACITY, [446] * 4 + [1024] * 4, 4, id="big.LITTLE"),
        pytest.param(CAPACITY, [250] * 4 + [870] * 3 + [1024], 4, id="a core above the large ones"),
        pytest.param(CAPACITY, [1024] * 4, 4, id="all alike"),
        pytest.param(FREQUENCY, [1_800_000] * 4 + [2_400_000] * 2, 6, id="nearly alike, in clocks"),
        pytest.param(FREQUENCY, [1_400_000] * 4 + [2_000_000] * 2, 2, id="big.LITTLE, in clocks"),
        pytest.param(CAPACITY, [1024] * 20, 16, id="more than a kernel uses"),
        pytest.param(CAPACITY, [446, 1024, None, 1024], 4, id="untold of one"),
        pytest.param(CAPACITY, ["446", "1024", "", "fast"], 4, id="no numbers"),
    ],
)
def test_fast_cores_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file, speeds, n_fast):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(len(speeds))))
    for number, speed in enumerate(speeds):
        if speed is not None:
            path = tmp_path / f"cpu{number}" / file
            path.parent.mkdir(parents=True)
            path.write_text(f"{speed}\n")
    assert available_fast_threads(tmp_path) == n_fast


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux describes its cores in files")
def test_only_cores_that_the_process_may_use_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for number, capacity in enumerate([446, 446, 1024, 1024]):
        (tmp_path / f"cpu{number}").mkdir()
        (tmp_path / f"cpu{number}" / CAPACITY).write_text(str(capacity))
    for allowed, n_fast in (({0, 1}, 2), ({0, 2}, 1), ({0, 1, 2, 3}, 2)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, allowed=allowed: allowed)
        assert available_fast_threads(tmp_path) == n_fast


def test_one_thread_for_each_fast_core_is_tried(monkeypatch):
    monkeypatch.setattr(thread_tuner, "available_threads", lambda: 6)
    monkeypatch.setattr(thread_tuner, "available_fast_threads", lambda: 3)
    count = ThreadTuner()
    assert settle(count, {n: 1.0 + abs(n - 3) for n in (1, 2, 3, 4, 6)}) == {1, 2, 3, 4, 6}
    assert count.next() == 3
    assert settle(ThreadTuner(n_started=2), {1: 2.0, 2: 1.0}) == {1, 2}


def test_this_machine_has_fast_cores():
    assert 1 <= available_fast_threads() <= available_threads()


@pytest.mark.parametrize("nonsense", [0, -1, 17, 2**32 + 1, 1.5, "4", float("nan"), []])
def test_nonsense_is_no_number_of_threads(nonsense):
    with pytest.raises(ValueError, match=r"^n_threads=.*; expected 1 to 16, or None"):
        require_n_threads(nonsense)


@pytest.mark.parametrize("sense", [None, 1, 16])
def test_a_number_of_threads_is_accepted(sense):
    require_n_threads(sense)
