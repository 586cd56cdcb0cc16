"""What looking through a replay buffer takes."""

import tracemalloc

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.buffers import ReplayBuffer

from sb3_tinyrl.batches import InPlaceReplay

N_ROWS = 400_000


@pytest.fixture
def buffer() -> ReplayBuffer:
    box = spaces.Box(-1, 1, (10,), np.float32)
    buffer = ReplayBuffer(N_ROWS, box, box, "cpu")
    buffer.full = True
    return buffer


def test_it_takes_little_memory(buffer: ReplayBuffer) -> None:
    tracemalloc.start()
    try:
        InPlaceReplay(buffer)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < buffer.observations.size  # bytes: a mask of the whole array takes so many


@pytest.mark.parametrize("row", [0, N_ROWS // 2, N_ROWS - 1])
def test_no_row_is_overlooked(buffer: ReplayBuffer, row: int) -> None:
    buffer.observations[row, 0, 7] = np.nan
    with pytest.raises(ValueError, match=rf"holds nan in observations at index \({row}, 0, 7\)"):
        InPlaceReplay(buffer)
