"""What TinyRL takes as an environment, as environments of Stable-Baselines3."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit, TransformAction
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from sb3_tinyrl._native.abi.env_batch import Environments
from sb3_tinyrl.environments import NativeVecEnv, register_environment

EnvFactory = Callable[[], gym.Env[Any, Any]]

_FOLDER_KEYS = ("path", "action_dim", "observation_dim")


class EnvironmentSource(Protocol):
    """Makes environments of one kind."""

    steps_at_once: int
    """Steps that may be deferred and run together; reading any result runs them first."""

    def make(self, n: int, step_limit: int | None) -> VecEnv:
        """Make ``n`` environments.

        :param step_limit: steps after which episodes are truncated; by default as the environment has it
        """


def environment_source(source: EnvFactory | Mapping[str, Any]) -> EnvironmentSource:
    """Return what makes the environments that the user describes.

    :param source: a function that makes a Gymnasium environment, or the dictionary of a C++ environment
    :raises TypeError: when it is neither, or the function makes something else
    :raises ValueError: when a space is no vector, or the dictionary does not fit the folder
    """
    if isinstance(source, Mapping):
        return _Folder(**_folder_arguments(source))
    if callable(source) and not isinstance(source, gym.Env):
        return _Factory(source)
    raise TypeError(
        f"env_factory is {source!r}, expected a function without arguments that makes a Gymnasium environment, or "
        f"{{'path': ..., 'action_dim': ..., 'observation_dim': ...}} of a C++ environment"
    )


class _Factory:
    steps_at_once = 1

    def __init__(self, factory: EnvFactory) -> None:
        self._factory = factory
        example = factory()
        if not isinstance(example, gym.Env):
            raise TypeError(f"env_factory made {example!r}, expected a Gymnasium environment; return one from it")
        for name in ("observation_space", "action_space"):
            space = getattr(example, name)
            if not isinstance(space, spaces.Box) or len(space.shape) != 1:
                raise ValueError(
                    f"the {name} is {space}, expected a Box with one axis; wrap the environment so that it has one, "
                    "with gymnasium.wrappers.FlattenObservation for instance"
                )
        example.close()

    def make(self, n: int, step_limit: int | None) -> VecEnv:
        def environment() -> gym.Env[Any, Any]:
            env = self._factory()
            assert isinstance(env.action_space, spaces.Box)
            if not env.action_space.is_bounded():
                # RLtools' convention for all actions, and what TinyRL's examples mean with ClipAction.
                bounds = spaces.Box(-1, 1, env.action_space.shape, env.action_space.dtype.type)
                env = TransformAction(env, lambda action: action, bounds)
            return Monitor(env if step_limit is None else TimeLimit(env, step_limit))

        return DummyVecEnv([environment] * n)


class _Folder:
    steps_at_once = 1000

    def __init__(self, path: str | os.PathLike[str], action_dim: int, observation_dim: int) -> None:
        environments = Environments(path)
        for name, declared in (("action_dim", action_dim), ("observation_dim", observation_dim)):
            actual = getattr(environments, name)
            if declared != actual:
                raise ValueError(
                    f"{name} is {declared!r}, but the environment in {environments.folder} has {actual}; pass that, "
                    "or correct environment.h"
                )
        folder = str(environments.folder)
        self._env_id = f"tinyrl/{hashlib.sha256(folder.encode()).hexdigest()[:16]}-v0"
        if self._env_id not in gym.registry:
            register_environment(self._env_id, folder)

    def make(self, n: int, step_limit: int | None) -> VecEnv:
        return NativeVecEnv(self._env_id, n, max_episode_steps=step_limit)


def _folder_arguments(source: Mapping[str, Any]) -> dict[str, Any]:
    if {*source} != {*_FOLDER_KEYS}:
        raise ValueError(
            f"the dictionary of the environment has the keys {sorted(map(str, source))}, expected exactly "
            f"{', '.join(_FOLDER_KEYS)}"
        )
    return dict(source)


class IgnoreTermination(VecEnvWrapper):
    """Reports each termination as a truncation, so that values go on beyond it."""

    def reset(self) -> VecEnvObs:
        """Start an episode in each environment."""
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        """Take the step."""
        observations, rewards, dones, infos = self.venv.step_wait()
        for i in np.flatnonzero(dones):
            infos[i]["TimeLimit.truncated"] = True
        return observations, rewards, dones, infos
