"""Several C++ environments as one vector environment of Gymnasium."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from sb3_tinyrl._native.abi.env_batch import Autoreset, Environments
from sb3_tinyrl._native.abi.fields import Values
from sb3_tinyrl._native.errors import EpisodeEndedError
from sb3_tinyrl.environments.common import Image, Renderer, box_spaces, load_renderer, metadata, read_options

Array = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


class NativeVectorEnv(VectorEnv[Array, Array, npt.NDArray[Any]]):
    """C++ environments that take their steps in one call; what ``gymnasium.make_vec`` makes.

    Behaves like :class:`gymnasium.vector.SyncVectorEnv` over :class:`~sb3_tinyrl.environments.NativeEnv`.

    :param folder: with ``environment.h``
    :param num_envs: how many environments
    :param max_episode_steps: after how many steps episodes are truncated; by default as the environment declares, never
        for -1
    :param autoreset_mode: when an episode that has ended starts anew
    :param renderer: see :class:`~sb3_tinyrl.environments.NativeEnv`
    :param render_mode: ``"rgb_array"`` or ``None``
    :param parameters: see :meth:`fix_parameters`
    :raises FileNotFoundError: when the folder or the header is missing
    :raises ValueError: when the environment contradicts itself, or does not show such parameters
    :raises TypeError: when there is a render mode, but no renderer
    :raises KernelError: when it can't be compiled
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        num_envs: int = 1,
        max_episode_steps: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        renderer: str | Renderer | None = None,
        render_mode: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        self._renderer = load_renderer(renderer, render_mode)
        self.render_mode = render_mode
        mode = AutoresetMode(autoreset_mode)
        self._autoreset = Autoreset[mode.name]
        self.metadata = {**metadata(renderer), "autoreset_mode": mode}
        self.num_envs = num_envs
        self.environments = Environments(folder, num_envs)
        self.fix_parameters(parameters or {})
        self._step_limit = step_limit(self.environments, max_episode_steps)
        self.single_observation_space, self.single_action_space = box_spaces(self.environments)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Start an episode in each environment.

        :param seed: one for each environment; environment ``i`` gets ``seed + i`` of a single number
        :param options: ``"reset_mask"``, shape ``(num_envs,)``, to reset only some; the others are those of
            :meth:`NativeEnv.reset <sb3_tinyrl.environments.NativeEnv.reset>`, for all environments
        :return: the observations, shape ``(num_envs, observation_dim)``, and an empty dictionary
        """
        super().reset(seed=seed if isinstance(seed, int) else None)
        options = dict(options or {})
        mask = options.pop("reset_mask", None)
        read = read_options(options)
        if mask is not None and (
            not isinstance(mask, np.ndarray) or mask.shape != (self.num_envs,) or mask.dtype != np.bool_
        ):
            raise ValueError(f"reset_mask={mask!r}, expected a numpy array of {self.num_envs} bools")
        seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else seed
        if seeds is not None:
            if len(seeds) != self.num_envs:
                raise ValueError(f"{len(seeds)} seeds, expected one for each of the {self.num_envs} environments")
            for i, one in enumerate(seeds):
                if one is not None and (mask is None or mask[i]):
                    self.environments.seed(i, one)
        self.environments.reset(mask, *read)
        return self.environments.observations.copy(), {}

    def step(self, actions: Array) -> tuple[Array, npt.NDArray[np.float64], Flags, Flags, dict[str, Any]]:
        """Take one step in each environment.

        :param actions: shape ``(num_envs, action_dim)``, in the units of ``action_space`` and clipped to it
        :return: observations, rewards, terminations and truncations, shape ``(num_envs, ...)``, and a dictionary with
            what the environment's ``visit_info`` shows, and ``final_obs`` and ``final_info`` where the mode is
            ``SAME_STEP`` and episodes ended; ``_name`` says which environments have ``name``, as elsewhere in Gymnasium
        :raises ValueError: when the shape does not fit, or an action is not finite
        :raises ResetNeeded: when the mode is ``DISABLED`` and an episode has ended before
        """
        environments = self.environments
        have_stepped = np.ones(self.num_envs, np.bool_)
        if self._autoreset == Autoreset.NEXT_STEP and environments.shows_info:
            have_stepped = ~environments.have_ended()
        try:
            environments.step(actions, self._step_limit, self._autoreset)
        except EpisodeEndedError as error:
            raise gym.error.ResetNeeded(str(error)) from None
        infos: dict[str, Any] = {}
        if self._autoreset == Autoreset.SAME_STEP:
            ended = environments.terminated | environments.truncated
            for i in map(int, np.flatnonzero(ended)):
                info = environments.info(i) if environments.shows_info else {}
                final = {"final_obs": environments.final_observations[i].copy(), "final_info": info}
                infos = self._add_info(infos, final, i)
            have_stepped = ~ended
        if environments.shows_info and have_stepped.any():
            for name, values in environments.infos_by_name().items():
                values[~have_stepped] = 0
                infos |= {name: values, f"_{name}": have_stepped.copy()}
        return (
            environments.observations.copy(),
            environments.rewards.astype(np.float64),
            environments.terminated.copy(),
            environments.truncated.copy(),
            infos,
        )

    @property
    def parameters(self) -> tuple[Values, ...]:
        """Those of each environment, by name, as far as ``visit_parameters`` shows them."""
        return tuple(self.environments.parameters(i) for i in range(self.num_envs))

    @property
    def state(self) -> tuple[Values, ...]:
        """That of each environment, by name, as far as ``visit_state`` shows it."""
        return tuple(self.environments.state(i) for i in range(self.num_envs))

    def fix_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Say what parameters of all environments are to be, from their next resets on; all others are drawn.

        :param parameters: by name; they take the place of those that were fixed before
        :raises ValueError: for a name that the environment does not show, or a value that does not fit
        """
        for i in range(self.num_envs):
            self.environments.fix_parameters(i, parameters)

    def get_state(self) -> tuple[bytes, ...]:
        """Return a snapshot of each environment, for :meth:`set_state`; steps until truncation are in it."""
        return tuple(self.environments.get_state(i) for i in range(self.num_envs))

    def set_state(self, states: Sequence[bytes]) -> Array:
        """Go on from snapshots: the same actions lead to the same numbers, random ones included.

        :param states: one for each environment, from :meth:`get_state`; not to be taken from others, as the C++ uses
            them as they are
        :return: the observations that the environments had made last then, shape ``(num_envs, observation_dim)``
        :raises ValueError: when they are no such snapshots, or not as many as environments
        """
        for i, state in zip(range(self.num_envs), states, strict=True):
            self.environments.set_state(i, state)
        observations: Array = self.environments.observations.copy()
        return observations

    def render(self) -> tuple[Image, ...] | None:
        """Draw the current observations.

        :return: an image of shape ``(height, width, 3)`` for each environment; ``None`` without a render mode
        """
        if self._renderer is None:
            gym.logger.warn("render() draws nothing, as no render_mode was passed; pass render_mode='rgb_array'")
            return None
        return tuple(map(self._renderer, self.environments.observations))


def step_limit(environments: Environments, max_episode_steps: int | None) -> int:
    """Return the steps after which episodes are truncated, 0 for never.

    :param max_episode_steps: as for ``gymnasium.make``: -1 for never, ``None`` for what the environment declares
    :raises ValueError: for anything else below 1
    """
    if max_episode_steps is None:
        return environments.episode_step_limit
    if max_episode_steps == -1:
        return 0
    if max_episode_steps < 1:
        raise ValueError(f"max_episode_steps={max_episode_steps}, expected at least 1, or -1 for no limit")
    return max_episode_steps
