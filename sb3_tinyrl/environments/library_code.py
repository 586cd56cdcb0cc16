"""Which objects run nothing but code of Gymnasium, Stable-Baselines3 and ours, none of the user's."""

from __future__ import annotations

from collections.abc import Iterator
from types import FunctionType
from typing import Any

import gymnasium as gym
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

#: Those of ``gymnasium.make`` and of SB3's models; others may have been given a function.
_WRAPPERS = (Monitor, OrderEnforcing, PassiveEnvChecker, TimeLimit)
#: Packages whose environments take no functions either.
_ENVIRONMENTS = tuple(f"gymnasium.envs.{kind}." for kind in ("box2d", "classic_control", "mujoco", "toy_text"))
_LIBRARIES = frozenset({"gymnasium", "stable_baselines3", "sb3_tinyrl", "typing", "abc"})


def runs_library_code(env: VecEnv) -> bool:
    """Whether all that runs in a step of these environments was written by Gymnasium or SB3.

    :param env: any vectorised environment
    """
    return type(env) is DummyVecEnv and all(map(is_unchanged, (env, *_layers(env))))


def _layers(env: DummyVecEnv) -> Iterator[gym.Env[Any, Any] | None]:
    """All wrappers and environments, and ``None`` for one that is not known."""
    for layer in env.envs:
        while type(layer) in _WRAPPERS:
            yield layer
            layer = layer.env  # type: ignore[attr-defined]
        yield layer if type(layer).__module__.startswith(_ENVIRONMENTS) else None


def is_unchanged(item: object) -> bool:
    """Whether an object has no methods but those that a library wrote into its class.

    :param item: any object; ``None`` is not one of a library
    """
    classes = [cls for cls in type(item).__mro__ if cls is not object]
    methods = (value for cls in classes for value in vars(cls).values() if callable(value))
    return (
        item is not None
        and all(map(_is_of_library, classes))
        and all(map(_is_of_library, methods))
        and not any(callable(value) and callable(getattr(type(item), name, None)) for name, value in vars(item).items())
    )


def _is_of_library(item: object) -> bool:
    """Whether a class or a method was written in a library; a decorator may have copied the name of its module."""
    names = [getattr(item, "__module__", None)]
    if isinstance(item, FunctionType):
        names.append(item.__globals__.get("__name__"))
    return all(str(name).partition(".")[0] in _LIBRARIES for name in names)
