"""Which environments run nothing but code of Gymnasium and Stable-Baselines3, none of the user's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

#: Those of ``gymnasium.make`` and of SB3's models; others may have been given a function.
_WRAPPERS = (Monitor, OrderEnforcing, PassiveEnvChecker, TimeLimit)
_LIBRARIES = frozenset({"gymnasium", "stable_baselines3", "typing", "abc"})


def runs_library_code(env: VecEnv) -> bool:
    """Whether all that runs in a step of these environments was written by Gymnasium or SB3.

    :param env: any vectorised environment
    """
    return type(env) is DummyVecEnv and all(_is_unchanged(item) for item in (env, *_layers(env)))


def _layers(env: DummyVecEnv) -> Iterator[gym.Env[Any, Any] | None]:
    """All wrappers and environments, and ``None`` for one that is not known."""
    for layer in env.envs:
        while type(layer) in _WRAPPERS:
            yield layer
            layer = layer.env  # type: ignore[attr-defined]
        yield layer if type(layer).__module__.startswith("gymnasium.envs.") else None


def _is_unchanged(item: object) -> bool:
    """Whether an object has the methods that its class was written with."""
    classes = [cls for cls in type(item).__mro__ if cls is not object]
    methods = (value for cls in classes for value in vars(cls).values() if callable(value))
    return (
        item is not None
        and all(map(_is_of_library, classes))
        and all(map(_is_of_library, methods))
        and not any(callable(value) and callable(getattr(type(item), name, None)) for name, value in vars(item).items())
    )


def _is_of_library(item: object) -> bool:
    return str(getattr(item, "__module__", None)).partition(".")[0] in _LIBRARIES
