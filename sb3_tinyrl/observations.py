"""What an observation is to the kernel, and which numbers may reach it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.type_aliases import PyTorchObs

#: Data types in which the kernel reads observations from a replay buffer.
OBSERVATION_TYPES = (
    "float32",
    "float64",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
)

#: The networks compute in float32: what it can't hold would turn into an infinity there.
LARGEST = np.float64(np.finfo(np.float32).max)

_ELEMENTS_AT_ONCE = 2**18


class NonFiniteError(ValueError):
    """The environment or the policy produced NaN, an infinite value, or one too large for float32."""


def require_finite(values: Any, what: str, timestep: int) -> None:
    """Refuse what is NaN or infinite, or would be in float32, before it reaches the replay buffer or the environment.

    :param values: anything that numpy takes for an array of shape ``(n_envs, ...)``; or a dictionary of such
    :param what: names them in the message
    :param timestep: where training was
    :raises NonFiniteError: naming the first culprit
    """
    if isinstance(values, dict):
        for key, array in values.items():
            require_finite(array, f"{what} {key!r}", timestep)
        return
    array = np.asarray(values)
    if array.dtype.kind != "f" or np.vdot(array, array) <= LARGEST:
        return  # the usual case, seen quickly: a small sum of squares has no large terms
    if (place := _first_not_finite(array)) is not None:
        environment, *index = place
        element = f", element {index if len(index) > 1 else index[0]}" if index else ""
        raise NonFiniteError(
            f"The {what} of environment {environment}{element} is {array[place]} at timestep "
            f"{timestep}, expected a finite number of float32. Nothing was stored or trained with it. "
            "stable_baselines3.common.vec_env.VecCheckNan finds where it comes from."
        )


def require_finite_rows(array: npt.NDArray[Any], name: str) -> None:
    """Refuse an array of a replay buffer, or of a batch from it, by the same limit.

    :param array: rows first
    :param name: of the array, for the message
    :raises ValueError: naming the first culprit
    """
    if array.dtype.kind != "f":
        return
    # Piece by piece: a mask of a whole replay buffer would be the most memory that a run takes.
    n_rows = max(1, _ELEMENTS_AT_ONCE // max(1, array[:1].size))
    for start in range(0, len(array), n_rows):
        if (place := _first_not_finite(array[start : start + n_rows])) is not None:
            index = (start + place[0], *place[1:])
            raise ValueError(
                f"The replay buffer holds {array[index]} in {name} at index {index}; one such value would turn all "
                "weights into NaN. Find the environment or file it came from and fill the buffer anew."
            )


def _first_not_finite(array: npt.NDArray[Any]) -> tuple[int, ...] | None:
    finite = np.abs(array) <= LARGEST  # a comparison with NaN is false, too
    return None if finite.all() else tuple(int(i) for i in np.argwhere(~finite)[0])


def features(model: SAC, observations: PyTorchObs) -> th.Tensor:
    """What the networks see of a batch of observations, shape ``(n, features_dim)``."""
    actor = model.policy.actor
    with th.no_grad():
        return actor.extract_features(observations, actor.features_extractor)


def ordered_entries(model: SAC) -> dict[str, spaces.Box]:
    """The entries of a dictionary of boxes in the order in which ``CombinedExtractor`` joins them; empty for others."""
    space = model.observation_space
    if not isinstance(space, spaces.Dict):
        return {}
    return {name: space.spaces[name] for name in getattr(model.policy.actor.features_extractor, "extractors", ())}  # type: ignore[misc]


def joined_entries(
    observation: object, space: spaces.Space[Any], order: Iterable[str]
) -> tuple[npt.NDArray[np.float32], bool] | None:
    """What ``CombinedExtractor`` makes of a dictionary of numbers, without torch.

    :param observation: one observation, or several of them along a first axis of each entry
    :param order: names of the entries in the order of the extractor
    :return: one row for each observation, and whether there is a first axis; ``None`` where an entry is an image, not
        of a ``Box``, without an axis or of another shape than its space
    """
    order = [*order]
    if not isinstance(space, spaces.Dict) or type(observation) is not dict:
        return None
    if not observation.keys() == space.spaces.keys() == {*order}:
        return None
    arrays, n_rows = [], set()
    for name in order:
        array, entry = observation[name], space.spaces[name]
        if type(array) is not np.ndarray or not isinstance(entry, spaces.Box) or is_image_space(entry):
            return None
        is_batch = array.ndim > len(entry.shape)
        if not entry.shape or array.shape[is_batch:] != entry.shape:
            return None
        n_rows.add(len(array) if is_batch else None)
        arrays.append(array)
    if len(n_rows) != 1:
        return None
    (n,) = n_rows
    rows = [array.astype(np.float32).reshape(1 if n is None else n, -1) for array in arrays]
    return np.concatenate(rows, axis=1), n is not None


def is_scaled_image(model: SAC, space: spaces.Space[Any]) -> bool:
    """Whether SB3 divides observations of a space by 255."""
    return bool(model.policy.normalize_images) and is_image_space(space)
