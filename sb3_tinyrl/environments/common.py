"""What single and vectorised environments share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.envs.registration import load_env_creator

from sb3_tinyrl._native.abi.env_batch import Environments

Image = npt.NDArray[np.uint8]
Renderer = Callable[[npt.NDArray[np.float32]], Image]

RENDER_FPS = 30


def box_spaces(environments: Environments) -> tuple[spaces.Box, spaces.Box]:
    """Return the spaces of observations and of actions of a single environment."""
    return (
        spaces.Box(environments.observation_low, environments.observation_high, dtype=np.float32),
        spaces.Box(environments.action_low, environments.action_high, dtype=np.float32),
    )


def metadata(renderer: str | Renderer | None) -> dict[str, Any]:
    """Return what Gymnasium wants to know of an environment; without a renderer nothing is drawn."""
    return {"render_modes": ["rgb_array"] if renderer is not None else [], "render_fps": RENDER_FPS}


def load_renderer(renderer: str | Renderer | None, render_mode: str | None) -> Renderer | None:
    """Return the function that draws an observation, or ``None`` where nothing is drawn.

    :param renderer: the function, or where it is, as ``"module:function"``
    :param render_mode: ``"rgb_array"`` or ``None``
    :raises ValueError: when there is no such mode
    :raises TypeError: when there is nothing to draw with; SB3's ``make_vec_env`` then makes it without a render mode
    """
    if render_mode is None:
        return None
    if render_mode != "rgb_array":
        raise ValueError(f"render_mode={render_mode!r}, expected 'rgb_array' or None")
    if renderer is None:
        raise TypeError(
            "render_mode='rgb_array', but this environment has no renderer; leave render_mode out, or "
            "pass a function from an observation to an image as `renderer` to register_environment"
        )
    if isinstance(renderer, str):
        loaded: Any = load_env_creator(renderer)
        return loaded  # type: ignore[no-any-return]
    return renderer


class ResetOptions(NamedTuple):
    """What native environments take as ``options`` of a reset."""

    nominal: bool = False
    """Whether to start from the environment's nominal initial state."""
    parameters: Mapping[str, Any] | None = None
    """Parameters of the episode, by name; all others are drawn."""
    state: Mapping[str, Any] | None = None
    """What the first state is to be, by name; the rest of it is drawn, or nominal."""


def read_options(options: dict[str, Any] | None) -> ResetOptions:
    """Return the options of a reset.

    :raises ValueError: for any other option
    """
    unknown = sorted({*(options or {})} - {*ResetOptions._fields})
    if unknown:
        raise ValueError(
            f"unknown reset options {unknown}; native environments know 'nominal': True, which starts from the "
            "environment's initial_state instead of drawing one, and 'parameters' and 'state', dictionaries with "
            "values by name"
        )
    read = ResetOptions(**(options or {}))
    return read._replace(nominal=bool(read.nominal))
