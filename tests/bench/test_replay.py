"""A full replay buffer."""

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.buffers import ReplayBuffer

from sb3_tinyrl.bench.replay import fill


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_is_full_of_finite_transitions_of_its_types(dtype: type) -> None:
    buffer = ReplayBuffer(
        50, spaces.Box(-1, 1, (3,), dtype), spaces.Box(-1, 1, (2,), np.float32), "cpu", n_envs=2
    )  # 25 rows
    fill(buffer, seed=0)
    assert buffer.size() == 25
    for array in (buffer.observations, buffer.next_observations, buffer.actions, buffer.rewards):
        assert array.min() >= 0
        assert array.max() <= 1
        assert len(np.unique(array)) == array.size
    assert buffer.observations.dtype == dtype
    assert not buffer.dones.any()
    assert not buffer.timeouts.any()
    assert len(buffer.sample(8).rewards) == 8


def test_the_seed_decides() -> None:
    box = spaces.Box(-1, 1, (3,), np.float32)
    buffers = [ReplayBuffer(20, box, box, "cpu") for _ in range(3)]
    for buffer, seed in zip(buffers, (0, 0, 1), strict=True):
        fill(buffer, seed)
    np.testing.assert_array_equal(buffers[0].actions, buffers[1].actions)
    assert (buffers[0].actions != buffers[2].actions).any()
