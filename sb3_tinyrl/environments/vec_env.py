"""Several C++ environments as one ``VecEnv`` of Stable-Baselines3."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from sb3_tinyrl._native.abi.env_batch import Autoreset, Environments
from sb3_tinyrl.environments.common import RENDER_FPS, Image, Renderer, box_spaces, load_renderer, read_options
from sb3_tinyrl.environments.env import NativeEnv
from sb3_tinyrl.environments.registration import find_native_spec
from sb3_tinyrl.environments.state_access import StateAccess
from sb3_tinyrl.environments.vector_env import step_limit


class NativeVecEnv(VecEnv):
    """C++ environments that take their steps in one call, for any algorithm of Stable-Baselines3.

    Behaves like a ``DummyVecEnv`` over ``Monitor``: an environment whose episode ends is reset in the same step, and
    its ``info`` has ``terminal_observation``, ``TimeLimit.truncated`` and the statistics ``episode``.

    :param env_id: id of a native environment, as for ``gymnasium.make``
    :param n_envs: how many environments
    :param seed: environment ``i`` gets ``seed + i``
    :param max_episode_steps: after how many steps episodes are truncated; by default as registered or declared by the
        environment, never for -1
    :param render_mode: ``"rgb_array"`` or ``None``
    :param parameters: what parameters are to be in all episodes, by name; all others are drawn
    :raises ValueError: when the id is that of another kind of environment, or the environment contradicts itself or
        does not show such parameters
    :raises KernelError: when it can't be compiled
    """

    actions: npt.NDArray[np.float32]

    def __init__(
        self,
        env_id: str,
        n_envs: int = 1,
        seed: int | None = None,
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        spec = find_native_spec(env_id)
        renderer = load_renderer(spec.kwargs.get("renderer"), render_mode)
        self.environments = Environments(spec.kwargs["folder"], n_envs)
        for i in range(n_envs):
            self.environments.fix_parameters(i, spec.kwargs.get("parameters", {}) if parameters is None else parameters)
        limit = spec.max_episode_steps if max_episode_steps is None else max_episode_steps
        self._step_limit = step_limit(self.environments, limit)
        observation_space, action_space = box_spaces(self.environments)
        self._views = [
            _View(self.environments, i, spec, observation_space, action_space, renderer, render_mode)
            for i in range(n_envs)
        ]
        super().__init__(n_envs, observation_space, action_space)
        self.metadata["render_fps"] = RENDER_FPS  # type: ignore[assignment]  # SB3 annotates less than it allows
        self._start = time.time()
        if seed is not None:
            self.seed(seed)

    def reset(self) -> npt.NDArray[np.float32]:
        """Start an episode in each environment.

        :return: observations, shape ``(n_envs, observation_dim)``
        """
        for i, seed in enumerate(self._seeds):
            if seed is not None:
                self.environments.seed(i, seed)
        options = [read_options(each) for each in self._options]
        has_values = np.array([bool(each.parameters or each.state) for each in options])
        nominal = np.array([each.nominal for each in options])
        for is_from_nominal in (False, True):
            mask = ~has_values & (nominal == is_from_nominal)
            if mask.any():
                self.environments.reset(mask, is_from_nominal)
        for i in map(int, np.flatnonzero(has_values)):
            self.environments.reset(np.arange(self.num_envs) == i, *options[i])
        self._reset_seeds()
        self._reset_options()
        self.reset_infos = [{} for _ in range(self.num_envs)]
        observations: npt.NDArray[np.float32] = self.environments.observations.copy()
        return observations

    def step_async(self, actions: npt.NDArray[np.float32]) -> None:
        """Remember the actions.

        :param actions: shape ``(n_envs, action_dim)``, in the units of ``action_space`` and clipped to it
        """
        self.actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Take the step.

        :return: observations, rewards and ends of episodes, shape ``(n_envs, ...)``, and a dictionary for each
            environment
        :raises ValueError: when the shape of the actions does not fit, or one is not finite
        """
        environments = self.environments
        environments.step(self.actions, self._step_limit, Autoreset.SAME_STEP)
        dones = environments.terminated | environments.truncated
        infos: list[dict[str, Any]] = [{"TimeLimit.truncated": False} for _ in range(self.num_envs)]
        for i in range(self.num_envs) if environments.shows_info else ():
            infos[i].update(environments.info(i))
        for i in map(int, dones.nonzero()[0]):
            infos[i].update(
                {
                    "TimeLimit.truncated": bool(environments.truncated[i] and not environments.terminated[i]),
                    "terminal_observation": environments.final_observations[i].copy(),
                    "episode": self.episode_info(
                        environments.episode_returns[i].item(), environments.episode_lengths[i].item()
                    ),
                }
            )
        return environments.observations.copy(), environments.rewards.copy(), dones, infos

    @property
    def step_limit(self) -> int:
        """Steps after which episodes are truncated, 0 for never."""
        return self._step_limit

    def episode_info(self, episode_return: float, length: int) -> dict[str, float]:
        """Return what SB3's ``Monitor`` tells of an episode that has just ended."""
        return {"r": round(episode_return, 6), "l": length, "t": round(time.time() - self._start, 6)}

    def close(self) -> None:
        """Do nothing: there is nothing that ends before the object does."""

    def get_images(self) -> Sequence[Image | None]:
        """Draw the current observation of each environment."""
        return [view.render() for view in self._views]

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute of each environment; there are those of a Gymnasium environment, and those set before.

        :raises AttributeError: when there is none of that name
        """
        return [getattr(self._views[i], attr_name) for i in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of each environment; the C++ does not see it."""
        for i in self._get_indices(indices):
            setattr(self._views[i], attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of each environment, such as ``render``, ``get_state`` or ``fix_parameters``.

        :raises AttributeError: when there is none of that name
        """
        return [getattr(self._views[i], method_name)(*method_args, **method_kwargs) for i in self._get_indices(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Return whether an environment does what a wrapper does: SB3's ``Monitor`` is built in."""
        return [wrapper_class is Monitor for _ in self._get_indices(indices)]


def as_native_vec_env(env: gym.Env[Any, Any]) -> NativeVecEnv | None:
    """Return a native ``VecEnv`` in place of a single environment, or ``None`` where it would not do the same.

    :param env: one that has not been stepped yet; with wrappers of ``gymnasium.make`` only
    """
    limit = -1
    wrapped = env
    while isinstance(wrapped, gym.Wrapper):
        if type(wrapped) not in (TimeLimit, OrderEnforcing, PassiveEnvChecker):
            return None
        if isinstance(wrapped, TimeLimit):
            limit = wrapped._max_episode_steps if limit < 0 else min(limit, wrapped._max_episode_steps)
        wrapped = wrapped.env
    if not isinstance(wrapped, NativeEnv) or wrapped.spec is None:
        return None
    return NativeVecEnv(
        wrapped.spec.id,
        max_episode_steps=limit,
        render_mode=wrapped.render_mode,
        parameters=wrapped.environments.fixed_parameters(0),
    )


class _View(StateAccess):
    """What SB3 sees of one of the environments: the attributes of a Gymnasium environment."""

    def __init__(
        self,
        environments: Environments,
        index: int,
        spec: EnvSpec,
        observation_space: spaces.Box,
        action_space: spaces.Box,
        renderer: Renderer | None,
        render_mode: str | None,
    ) -> None:
        self.environments = environments
        self.index = index
        self._renderer = renderer
        self.spec = spec
        self.observation_space = observation_space
        self.action_space = action_space
        self.render_mode = render_mode

    def render(self) -> Image | None:
        if self._renderer is None:
            return None
        return self._renderer(self.environments.observations[self.index])
