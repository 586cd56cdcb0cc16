"""Replay buffers as they are late in a run: full, and larger than any cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stable_baselines3.common.buffers import ReplayBuffer


def fill(buffer: ReplayBuffer, seed: int) -> None:
    """Fill a buffer with random transitions in which no episode ends.

    :param buffer: of floating-point observations and actions; values between 0 and 1 are drawn for it in place, so
        that filling takes no other memory
    :param seed: of the random numbers
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    for array in (buffer.observations, buffer.next_observations, buffer.actions, buffer.rewards):
        generator.random(out=array, dtype=array.dtype)
    for array in (buffer.dones, buffer.timeouts):
        array.fill(0)  # It was zero, but only a write makes the system provide the memory.
    buffer.pos, buffer.full = 0, True
