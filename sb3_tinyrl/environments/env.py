"""A C++ environment as an environment of Gymnasium."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.wrappers import TimeLimit

from sb3_tinyrl._native.abi.env_batch import Autoreset, Environments
from sb3_tinyrl._native.errors import EpisodeEndedError
from sb3_tinyrl.environments.common import Image, Renderer, box_spaces, load_renderer, metadata, read_options
from sb3_tinyrl.environments.state_access import StateAccess

Array = npt.NDArray[np.float32]


class NativeEnv(gym.Env[Array, Array], StateAccess):
    """A C++ environment, compiled when the first of its kind is made and then kept on disk.

    Like Gymnasium's own classes it knows no time limit; ``gymnasium.make`` adds that as a wrapper.

    :param folder: with ``environment.h``
    :param renderer: draws an observation, shape ``(observation_dim,)``, as an image, shape ``(height, width, 3)``; the
        function or its place, as ``"module:function"``
    :param render_mode: ``"rgb_array"`` or ``None``
    :param parameters: see :meth:`fix_parameters`
    :raises FileNotFoundError: when the folder or the header is missing
    :raises ValueError: when the environment contradicts itself, or does not show such parameters
    :raises TypeError: when there is a render mode, but no renderer
    :raises KernelError: when it can't be compiled
    """

    # Gymnasium reads the class's before it makes one, to see whether there is a mode that it can make others of.
    metadata: dict[str, Any] = metadata("any")

    def __init__(
        self,
        folder: str | os.PathLike[str],
        renderer: str | Renderer | None = None,
        render_mode: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        self._renderer = load_renderer(renderer, render_mode)
        self.metadata = metadata(renderer)
        self.render_mode = render_mode
        self.environments = Environments(folder)
        self.fix_parameters(parameters or {})
        self.observation_space, self.action_space = box_spaces(self.environments)  # type: ignore[assignment]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Start an episode.

        :param seed: of the environment's random numbers; they go on where they were without one
        :param options: ``"nominal": True`` to start from the environment's ``initial_state``, ``"parameters"`` with
            those of this episode by name, and ``"state"`` with the first state by name; what is not named is drawn
        :return: the first observation, shape ``(observation_dim,)``, and an empty dictionary
        :raises ValueError: for another option, a name that the environment does not show, or a value that does not fit
        """
        super().reset(seed=seed)
        read = read_options(options)
        if seed is not None:
            self.environments.seed(0, seed)
        self.environments.reset(None, *read)
        return self.environments.observations[0].copy(), {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Take a step.

        :param action: shape ``(action_dim,)``, in the units of ``action_space`` and clipped to it
        :return: observation, reward, whether the episode has terminated, ``False``, and what the environment's
            ``visit_info`` shows, by name
        :raises ValueError: when the action's shape does not fit, or it is not finite
        :raises ResetNeeded: when no episode has begun, or it has terminated
        """
        environments = self.environments
        try:
            environments.step(np.asarray(action)[np.newaxis], 0, Autoreset.DISABLED)
        except EpisodeEndedError as error:
            raise gym.error.ResetNeeded(str(error)) from None
        reward, terminated = environments.rewards.item(), environments.terminated.item()
        info = environments.info(0) if environments.shows_info else {}
        return environments.observations[0].copy(), reward, terminated, False, info

    def render(self) -> Image | None:
        """Draw the current observation.

        :return: shape ``(height, width, 3)``; ``None`` without a render mode
        """
        if self._renderer is None:
            gym.logger.warn("render() draws nothing, as no render_mode was passed; pass render_mode='rgb_array'")
            return None
        return self._renderer(self.environments.observations[0])


def make_with_time_limit(**arguments: Any) -> gym.Env[Array, Array]:
    """Make a :class:`NativeEnv` with the time limit that its author declares."""
    env = NativeEnv(**arguments)
    limit = env.environments.episode_step_limit
    return TimeLimit(env, limit) if limit else env


# Gymnasium looks here for the modes before it makes an environment, and wraps it for "human" and lists of pictures.
make_with_time_limit.metadata = NativeEnv.metadata  # type: ignore[attr-defined]
