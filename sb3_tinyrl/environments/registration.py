"""Ids for C++ environments in Gymnasium's registry. Nothing is compiled here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from sb3_tinyrl._native.jit.headers import require_environment_folder

if TYPE_CHECKING:
    from sb3_tinyrl.environments.common import Renderer

_ZOO = Path(__file__).parents[2] / "rl_tools" / "rl" / "zoo"
_ENV = "sb3_tinyrl.environments.env:NativeEnv"
_ENV_WITH_TIME_LIMIT = "sb3_tinyrl.environments.env:make_with_time_limit"
_VECTOR_ENV = "sb3_tinyrl.environments.vector_env:NativeVectorEnv"

#: Name, folder, steps after which episodes are truncated (EPISODE_STEP_LIMIT of the header), function that draws.
_SHIPPED = (
    ("Pendulum-v0", "pendulum", 200, "draw_pendulum"),
    ("Acrobot-v0", "acrobot", 500, "draw_acrobot"),
    ("AcrobotSwingup-v0", "acrobot_swingup", 500, "draw_acrobot"),
    ("Car-v0", "car", 500, "draw_car"),
    ("CarTrack-v0", "car_track", 1000, "draw_car_on_track"),
    ("L2F-v0", "l2f", 500, None),
)


def register_environment(
    env_id: str,
    folder: str | os.PathLike[str],
    max_episode_steps: int | None = None,
    renderer: str | Renderer | None = None,
    checked: bool = False,
) -> None:
    """Give a C++ environment an id, for ``gymnasium.make``, ``gymnasium.make_vec`` and the libraries that call them.

    :param env_id: such as ``"my/Pendulum-v0"``
    :param folder: has ``environment.h``, a header that declares ``ENVIRONMENT_FACTORY<T, TI>`` in RLtools' interface
    :param max_episode_steps: after how many steps episodes are truncated; by default ``EPISODE_STEP_LIMIT`` of the
        environment, or never where it declares none
    :param renderer: draws an observation, shape ``(observation_dim,)``, as an image of 8-bit RGB, shape
        ``(height, width, 3)``; the function or its place, as ``"module:function"``
    :param checked: whether to build it with sanitizers first and run some thousand steps in a process of its own, see
        :func:`~sb3_tinyrl.environments.checking.check_environment`; takes some seconds. What is made of the id later is
        built without them, at full speed, and runs in the caller's process
    :raises FileNotFoundError: when there is no such folder, or no ``environment.h`` in it
    :raises NativeEnvironmentError: with ``checked``, naming file and line, when something is wrong
    :raises KernelError: with ``checked``, when it can't be compiled
    """
    path = require_environment_folder(folder)
    if checked:
        from sb3_tinyrl.environments.checking import check_environment  # slow to import, and only needed here

        check_environment(path)
    _register(env_id, path, max_episode_steps, renderer)


def register_shipped_environments() -> None:
    """Register RLtools' own environments as ``rl_tools/<name>``."""
    for name, folder, max_episode_steps, renderer in _SHIPPED:
        place = f"sb3_tinyrl.environments.rendering:{renderer}" if renderer else None
        _register(f"rl_tools/{name}", _ZOO / folder, max_episode_steps, place)


def _register(env_id: str, folder: Path, max_episode_steps: int | None, renderer: str | Renderer | None) -> None:
    gym.register(
        env_id,
        entry_point=_ENV if max_episode_steps else _ENV_WITH_TIME_LIMIT,
        vector_entry_point=_VECTOR_ENV,
        max_episode_steps=max_episode_steps,
        kwargs={"folder": str(folder), **({"renderer": renderer} if renderer else {})},
    )


def find_native_spec(env_id: str) -> EnvSpec:
    """Return the specification of a C++ environment.

    :param env_id: as for ``gymnasium.make``; what is before a colon is imported first
    :raises gymnasium.error.Error: when there is no such id
    :raises ValueError: when it is that of another kind of environment
    """
    module, _, name = env_id.rpartition(":")
    if module:
        __import__(module)
    spec = gym.spec(name)
    if spec.vector_entry_point != _VECTOR_ENV:
        raise ValueError(
            f"{env_id} is no native environment; use stable_baselines3.common.env_util.make_vec_env for it, or one of "
            + ", ".join(sorted(id_ for id_, other in gym.registry.items() if other.vector_entry_point == _VECTOR_ENV))
        )
    return spec
