"""What can be read and set of one C++ environment: parameters and state by name, and snapshots."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from sb3_tinyrl._native.abi.env_batch import Environments
from sb3_tinyrl._native.abi.fields import Values
from sb3_tinyrl._native.errors import EpisodeEndedError


class StateAccess:
    """One of several environments, the first unless ``index`` is set."""

    environments: Environments
    index: int = 0

    @property
    def parameters(self) -> Values:
        """The parameters of the episode, by name, as far as the environment's ``visit_parameters`` shows them.

        :raises ResetNeeded: when no episode has begun
        """
        return self._read(self.environments.parameters)

    @property
    def state(self) -> Values:
        """The state of the episode, by name, as far as the environment's ``visit_state`` shows it.

        :raises ResetNeeded: when no episode has begun
        """
        return self._read(self.environments.state)

    def _read(self, read: Callable[[int], Values]) -> Values:
        try:
            return read(self.index)
        except EpisodeEndedError as error:
            raise gym.error.ResetNeeded(str(error)) from None

    def fix_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Say what parameters are to be in all episodes to come, from the next reset on; all others are drawn.

        :param parameters: by name; they take the place of those that were fixed before
        :raises ValueError: for a name that the environment does not show, or a value that does not fit
        """
        self.environments.fix_parameters(self.index, parameters)

    def get_state(self) -> bytes:
        """Return a snapshot for :meth:`set_state`: parameters, state, random numbers and statistics of the episode.

        The steps that ``TimeLimit`` has counted, which ``gymnasium.make`` puts around the environment, are not in it.
        """
        return self.environments.get_state(self.index)

    def set_state(self, state: bytes) -> npt.NDArray[np.float32]:
        """Go on from a snapshot: the same actions lead to the same numbers, random ones included.

        :param state: from :meth:`get_state` of an environment with the same C++; not to be taken from others, as the
            C++ uses it as it is
        :return: the observation that the environment had made last then, shape ``(observation_dim,)``
        :raises ValueError: when it is no such snapshot
        """
        self.environments.set_state(self.index, state)
        observation: npt.NDArray[np.float32] = self.environments.observations[self.index].copy()
        return observation
