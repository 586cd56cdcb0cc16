"""An environment whose observations have any size and whose steps cost next to nothing."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

#: What ``gymnasium.make`` takes, with the argument ``size``.
ENV_ID = f"{__name__}:Noise-v0"
_N_STEPS = 200  # of an episode, as in Pendulum-v1

Observation = npt.NDArray[np.float32]


class Noise(gymnasium.Env[Observation, npt.NDArray[np.float32]]):
    """Observations are uniform noise, the reward is highest for an action of zero; only the time limit ends it.

    :param size: elements of an observation
    """

    def __init__(self, size: int) -> None:
        self.observation_space = spaces.Box(0, 1, (size,))
        self.action_space = spaces.Box(-1, 1, (1,))
        self._size = size

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, Any]:
        """Draw a first observation."""
        super().reset(seed=seed, options=options)
        return self._observe(), {}

    def step(self, action: npt.NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Draw another one."""
        return self._observe(), -(float(action[0]) ** 2), False, False, {}

    def _observe(self) -> Observation:
        return self.np_random.random(self._size, np.float32)


gymnasium.register("Noise-v0", f"{__name__}:Noise", max_episode_steps=_N_STEPS)
