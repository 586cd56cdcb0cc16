"""What a C++ environment shows of its parameters, its state and its steps: numbers and arrays of numbers, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Values = dict[str, Any]
"""A float for each number, and an array of float64 for each array."""


class Shown(IntEnum):
    """What is shown; the values of ``Shown`` in ``fields.h``."""

    PARAMETERS = 0
    STATE = 1
    INFO = 2

    @property
    def function(self) -> str:
        """The author's function that shows it."""
        return f"visit_{self.name.lower()}"


class Field(NamedTuple):
    """A number or an array of the author's."""

    name: str
    length: int
    """Elements of the array, 0 for a number."""


#: Names in the ``info`` of a step that Gymnasium and Stable-Baselines3 give a meaning.
_TAKEN = {"TimeLimit.truncated", "terminal_observation", "episode", "final_obs", "final_info"}


class Fields:
    """The fields of one kind, which lie one behind the other in an array of float64.

    :param shown: which kind
    :param fields: in the order in which the author's function shows them
    :param folder: the environment's, for messages
    :raises ValueError: for names that are empty, taken, or there twice
    """

    def __init__(self, shown: Shown, fields: Sequence[Field], folder: object) -> None:
        self._shown = shown
        self._folder = folder
        self._places: dict[str, slice | int] = {}
        self.size = 0
        """Elements of all fields together."""
        for name, length in fields:
            is_taken = shown == Shown.INFO and (name in _TAKEN or name.startswith("_"))
            if not name or is_taken or name in self._places:
                reason = "twice" if name in self._places else "which is taken" if is_taken else "expected a name"
                raise ValueError(f"{shown.function}() of the environment in {folder} shows {name!r}, {reason}")
            self._places[name] = slice(self.size, self.size + length) if length else self.size
            self.size += length or 1

    def read(self, elements: npt.NDArray[np.float64]) -> Values:
        """Return the fields of one environment by name.

        :param elements: shape ``(size,)``
        """
        return {
            name: elements[place].copy() if isinstance(place, slice) else elements[place].item()
            for name, place in self._places.items()
        }

    def columns(self, elements: npt.NDArray[np.float64]) -> Values:
        """Return the fields of several environments by name, each with the environments along its first axis.

        :param elements: shape ``(n, size)``
        """
        return {name: elements[:, place].copy() for name, place in self._places.items()}

    def write(self, values: Mapping[str, Any]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Return elements, and which of them are among the values, both of shape ``(size,)``.

        :raises ValueError: for a name that is not known, or a value that is not finite or of another length
        """
        elements, is_set = np.zeros(self.size), np.zeros(self.size, np.bool_)
        if not isinstance(values, Mapping) or (unknown := [name for name in values if name not in self._places]):
            what = values if not isinstance(values, Mapping) else unknown
            raise ValueError(f"{self._shown.name.lower()}: {what!r}, expected {self._expected()}")
        for name, value in values.items():
            place = self._places[name]
            array = np.asarray(value, np.float64)
            if array.shape != elements[place].shape or not np.isfinite(array).all():
                shape = f"{elements[place].size} finite numbers" if isinstance(place, slice) else "a finite number"
                raise ValueError(f"{self._shown.name.lower()}: {name}={value!r}, expected {shape}")
            elements[place], is_set[place] = array, True
        return elements, is_set

    def _expected(self) -> str:
        if not self._places:
            return (
                f"none, as the environment in {self._folder} shows none: add a function {self._shown.function} to it, "
                "as examples/cartpole has one"
            )
        return f"a dictionary with some of {', '.join(self._places)}"
