"""Compiled environments of one kind, stepped together through the C interface of their library."""

from __future__ import annotations

import ctypes
import hashlib
import os
import secrets
from collections.abc import Mapping
from enum import IntEnum, IntFlag
from typing import Any

import numpy as np
import numpy.typing as npt

from sb3_tinyrl._native.abi.env_library import FLAWS, FUNCTIONS, load_environment
from sb3_tinyrl._native.abi.fields import Field, Fields, Shown, Values
from sb3_tinyrl._native.abi.specs import EnvironmentSpec
from sb3_tinyrl._native.abi.structs import CompiledEnvironments, EnvironmentMetadata, StepResults
from sb3_tinyrl._native.errors import EpisodeEndedError, KernelError, NativeEnvironmentError
from sb3_tinyrl._native.jit.headers import digest, require_environment_folder, source_files
from sb3_tinyrl._native.jit.jobs import build_in_foreground

_SEED_BITS = 64


class Autoreset(IntEnum):
    """When an episode that has ended starts anew; the values of ``Autoreset`` in ``episode.h``."""

    DISABLED = 0
    NEXT_STEP = 1
    SAME_STEP = 2


class _Status(IntEnum):
    DONE = 0
    ACTION_NOT_FINITE = 1
    EPISODE_HAS_ENDED = 2
    THREW = 3


class _Flag(IntFlag):
    """What a snapshot says of an environment beside its episode."""

    IS_SEEDED = 1
    HAS_STARTED = 2


_MARK_BYTES = 8  # of a snapshot: what it is one of


class Environments:
    """Several environments of one kind, stepped together. Not thread-safe; may be pickled and copied.

    The same seed and actions give the same numbers however many there are and wherever they run. What a step or reset
    leaves in the arrays below is overwritten by the next.

    :param folder: with ``environment.h``
    :param n: how many environments
    :raises FileNotFoundError: when the folder or the header is missing
    :raises ValueError: when ``n`` is below 1, or the environment's sizes do not fit what it does
    :raises KernelError: when the environment can't be compiled or loaded
    :raises NativeEnvironmentError: when the author's code throws an exception; so do ``reset`` and ``step``
    """

    observations: npt.NDArray[np.float32]
    """Shape ``(n, observation_dim)``; those of the new episode where the step has reset an environment."""
    rewards: npt.NDArray[np.float32]
    """Shape ``(n,)``."""
    terminated: npt.NDArray[np.bool_]
    """Shape ``(n,)``."""
    truncated: npt.NDArray[np.bool_]
    """Shape ``(n,)``."""
    final_observations: npt.NDArray[np.float32]
    """Shape ``(n, observation_dim)``; the last of an episode, where one ended and the same step began another."""
    episode_returns: npt.NDArray[np.float64]
    """Shape ``(n,)``; sums of rewards, where an episode ended."""
    episode_lengths: npt.NDArray[np.int64]
    """Shape ``(n,)``; steps, where an episode ended."""
    infos: npt.NDArray[np.float64]
    """Shape ``(n, elements)``; what the environment shows of the last step, see :meth:`info`."""

    def __init__(self, folder: str | os.PathLike[str], n: int = 1) -> None:
        if n < 1:
            raise ValueError(f"{n} environments, expected at least 1")
        self.folder = require_environment_folder(folder)
        self.n = n
        self._is_seeded = np.zeros(n, np.bool_)
        self._has_started = np.zeros(n, np.bool_)
        self._source_digest = digest(source_files(self.folder))
        self._load()

    def _load(self) -> None:
        self._fixed_parameters: list[Values] = [{} for _ in range(self.n)]
        library = load_environment(build_in_foreground(EnvironmentSpec(self.folder)))
        metadata = EnvironmentMetadata()
        library.environment_metadata(ctypes.byref(metadata))
        self.observation_dim = int(metadata.observation_dim)
        self.action_dim = int(metadata.action_dim)
        self.episode_step_limit = int(metadata.episode_step_limit)
        """Steps after which the author wants episodes truncated, 0 for never."""
        self._episode_bytes = int(metadata.episode_bytes)

        self.observation_low, self.observation_high = np.zeros((2, self.observation_dim), np.float32)
        self.action_low, self.action_high = np.zeros((2, self.action_dim), np.float32)
        library.environment_bounds(
            *(
                bounds.ctypes.data
                for bounds in (self.observation_low, self.observation_high, self.action_low, self.action_high)
            )
        )

        self.observations, self.final_observations = np.zeros((2, self.n, self.observation_dim), np.float32)
        self.rewards = np.zeros(self.n, np.float32)
        self.terminated, self.truncated = np.zeros((2, self.n), np.bool_)
        self.episode_returns = np.zeros(self.n, np.float64)
        self.episode_lengths = np.zeros(self.n, np.int64)
        self._results = StepResults(
            **{name: getattr(self, name).ctypes.data for name in StepResults.layout().offsets if name != "infos"}
        )
        self._actions = np.zeros((self.n, self.action_dim), np.float32)
        self._mask = np.zeros(self.n, np.bool_)
        self._culprit = ctypes.c_int64()
        self._may_step = bool(self._has_started.all())

        self._library = library
        self._handle = library.environment_create(self.n)
        if not self._handle:
            raise KernelError(
                f"There is no memory for {self.n} environments of {self._episode_bytes} bytes; make fewer of them"
            )
        self._culprit.value = -1
        self.raise_failure()  # of init
        flaw = library.environment_check(self._handle)
        self.raise_failure()
        if flaw:
            raise ValueError(
                f"The environment in {self.folder} is at odds with itself: {FLAWS[flaw]}. It declares "
                f"{self.observation_dim}; make OBSERVATION_DIM, or DIM in its Observation, the number that it writes."
            )
        if library.environment_describe(self._handle) == _Status.THREW:
            self.raise_failure()
        self._fields = {shown: Fields(shown, self._shown_fields(shown), self.folder) for shown in Shown}
        self.infos = np.zeros((self.n, self._fields[Shown.INFO].size))
        results = StepResults.from_buffer_copy(self._results)
        if self.shows_info:
            results.infos = self.infos.ctypes.data
        # Addresses that are known: asking numpy each time costs more than a small call.
        self._arguments = self._actions.ctypes.data, ctypes.byref(results), ctypes.byref(self._culprit)

    def _shown_fields(self, shown: Shown) -> list[Field]:
        fields: list[Field] = []
        length = ctypes.c_int64()
        while (name := self._library.environment_field(self._handle, shown, len(fields), length)) is not None:
            fields.append(Field(name.decode(errors="replace"), length.value))
        return fields

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._library.environment_destroy(self._handle)

    def seed(self, index: int, seed: int) -> None:
        """Seed the random numbers of one environment; its next reset is the first to use them.

        :param seed: at least 0; from 2**64 on it starts over
        """
        self._library.environment_seed(self._handle, index, seed % 2**_SEED_BITS)
        self._is_seeded[index] = True

    def reset(
        self,
        mask: npt.NDArray[np.bool_] | None = None,
        nominal: bool = False,
        parameters: Mapping[str, Any] | None = None,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        """Start new episodes; ``observations`` has their first ones.

        Environments that were never seeded are seeded by the operating system's random numbers. These are drawn alike
        with and without ``parameters`` and ``state``, which replace what was drawn.

        :param mask: shape ``(n,)``, which environments; all by default
        :param nominal: whether to start from the environment's ``initial_state`` instead of drawing one
        :param parameters: those of these episodes, by name; they come before those that are fixed
        :param state: what the first state is to be, by name
        :raises ValueError: for a name that the environment does not show, or a value that does not fit; no episode has
            begun then
        """
        self._mask[:] = True if mask is None else mask
        indices = [int(i) for i in np.flatnonzero(self._mask)]
        changed: list[tuple[Shown, int]] = []
        try:
            for index in indices if parameters or state else []:
                for shown, values in (
                    (Shown.PARAMETERS, {**self._fixed_parameters[index], **(parameters or {})}),
                    (Shown.STATE, state or {}),
                ):
                    self._fix(shown, index, values)
                    changed.append((shown, index))
            self._reset(nominal)
        finally:
            for shown, index in changed:
                self._fix(shown, index, self._fixed_parameters[index] if shown == Shown.PARAMETERS else {})

    def _fix(self, shown: Shown, index: int, values: Mapping[str, Any]) -> None:
        elements, is_fixed = self._fields[shown].write(values)
        self._library.environment_fix(self._handle, shown, index, elements.ctypes.data, is_fixed.ctypes.data)

    def _reset(self, nominal: bool) -> None:
        self._has_started |= self._mask
        self._may_step = bool(self._has_started.all())
        for index in np.flatnonzero(self._mask & ~self._is_seeded):
            self.seed(int(index), secrets.randbits(_SEED_BITS))
        status = self._library.environment_reset(
            self._handle, self._mask.ctypes.data, nominal, self.observations.ctypes.data, self._culprit
        )
        if status == _Status.THREW:
            self.raise_failure()

    def step(self, actions: npt.ArrayLike, step_limit: int, autoreset: Autoreset) -> None:
        """Take one step in each environment and leave the results in the arrays.

        :param actions: shape ``(n, action_dim)``, between ``action_low`` and ``action_high``, and clipped to them
        :param step_limit: steps after which episodes are truncated, 0 for never
        :param autoreset: when ended episodes start anew
        :raises ValueError: when the shape does not fit, or an action is not finite; no environment took a step then
        :raises EpisodeEndedError: when an episode has not begun, or has ended and ``autoreset`` is disabled
        """
        if not self._may_step:
            raise EpisodeEndedError("no episode has begun in some environments; call reset() first")
        if np.shape(actions) != self._actions.shape:
            raise ValueError(f"actions of shape {np.shape(actions)}, expected {self._actions.shape}")
        self._actions[...] = actions
        address, results, culprit = self._arguments
        status = self._library.environment_step(self._handle, address, step_limit, autoreset, results, culprit)
        if status == _Status.ACTION_NOT_FINITE:
            index = self._culprit.value
            raise ValueError(
                f"The action {self._actions[index].tolist()} for environment {index} is not finite, expected numbers "
                f"between {self.action_low.tolist()} and {self.action_high.tolist()}. No environment took a step."
            )
        if status == _Status.EPISODE_HAS_ENDED:
            raise EpisodeEndedError(f"the episode of environment {self._culprit.value} has ended; call reset() first")
        if status == _Status.THREW:
            self.raise_failure()

    def raise_failure(self) -> None:
        """Tell of an exception in the author's code, if there was one; all episodes are over then."""
        function = ctypes.c_int32()
        message = self._library.environment_failure(self._handle, function)
        if function.value == 0:
            return
        self._has_started[:] = False
        self._may_step = False
        which, advice = "", ""
        if self._culprit.value >= 0:  # not when the environments are made
            which, advice = f" of environment {self._culprit.value}", "Call reset() to begin new episodes; "
        raise NativeEnvironmentError(
            f"{FUNCTIONS[function.value]}(){which} in {self.folder} threw an exception: "
            f"{message.decode(errors='replace')}. {advice}`python -m sb3_tinyrl check-env` tells the line and "
            "what else is wrong."
        )

    def fix_parameters(self, index: int, parameters: Mapping[str, Any]) -> None:
        """Say what parameters of one environment are to be, from its next reset on; all others are drawn.

        :param parameters: by name; they take the place of those that were fixed before
        :raises ValueError: for a name that the environment does not show, or a value that does not fit
        """
        self._fix(Shown.PARAMETERS, index, parameters)
        self._fixed_parameters[index] = dict(parameters)

    def fixed_parameters(self, index: int) -> Values:
        """Those that :meth:`fix_parameters` has fixed."""
        return dict(self._fixed_parameters[index])

    def parameters(self, index: int) -> Values:
        """Return the parameters of an episode, by name; those that the environment shows.

        :raises EpisodeEndedError: when no episode has begun
        """
        return self._read(Shown.PARAMETERS, index)

    def state(self, index: int) -> Values:
        """Return the state of an episode, by name, as far as the environment shows it.

        :raises EpisodeEndedError: when no episode has begun
        """
        return self._read(Shown.STATE, index)

    def _read(self, shown: Shown, index: int) -> Values:
        if not self._has_started[index]:
            raise EpisodeEndedError("no episode has begun; call reset() first")
        elements = np.zeros(self._fields[shown].size)
        self._culprit.value = index
        if self._library.environment_read(self._handle, shown, index, elements.ctypes.data) == _Status.THREW:
            self.raise_failure()
        return self._fields[shown].read(elements)

    @property
    def shows_info(self) -> bool:
        """Whether there is something to be told of each step."""
        return self._fields[Shown.INFO].size > 0

    def info(self, index: int) -> Values:
        """Return what the environment shows of the last step, by name."""
        return self._fields[Shown.INFO].read(self.infos[index])

    def infos_by_name(self) -> Values:
        """Return what each environment shows of the last step, arrays of shape ``(n,)`` or ``(n, length)``."""
        return self._fields[Shown.INFO].columns(self.infos)

    def have_ended(self) -> npt.NDArray[np.bool_]:
        """Whether the episode of each environment has ended, shape ``(n,)``."""
        ended = np.zeros(self.n, np.bool_)
        self._library.environment_ended(self._handle, ended.ctypes.data)
        return ended

    def get_state(self, index: int) -> bytes:
        """Return a snapshot of one environment, for :meth:`set_state`: all that its steps depend on."""
        flags = _Flag.IS_SEEDED * bool(self._is_seeded[index]) | _Flag.HAS_STARTED * bool(self._has_started[index])
        start = index * self._episode_bytes
        return b"".join(
            (
                self._mark(),
                bytes([flags]),
                self.observations[index].tobytes(),
                self.episodes[start : start + self._episode_bytes],
            )
        )

    def set_state(self, index: int, state: bytes) -> None:
        """Go on from a snapshot: the same actions lead to the same numbers, random ones included.

        What is fixed by :meth:`fix_parameters` is not part of it.

        :param state: of an environment of this kind, from :meth:`get_state`; not to be taken from others, as the C++
            code uses it as it is
        :raises ValueError: when it is no such snapshot
        """
        n_observation = self.observations[index].nbytes
        n_bytes = _MARK_BYTES + 1 + n_observation + self._episode_bytes
        if not isinstance(state, bytes) or len(state) != n_bytes or state[:_MARK_BYTES] != self._mark():
            what = f"{len(state)} bytes" if isinstance(state, bytes) else repr(state)
            raise ValueError(
                f"{what} are no state of the environment in {self.folder} as it is now, expected what get_state() of "
                f"such an environment has returned; to start from values of your own, pass them to reset as "
                "options={'state': {...}}"
            )
        flags, rest = _Flag(state[_MARK_BYTES]), state[_MARK_BYTES + 1 :]
        self._is_seeded[index] = _Flag.IS_SEEDED in flags
        self._has_started[index] = _Flag.HAS_STARTED in flags
        self._may_step = bool(self._has_started.all())
        self.observations[index] = np.frombuffer(rest[:n_observation], np.float32)
        episodes = self._library.environment_episodes(self._handle)
        ctypes.memmove(episodes + index * self._episode_bytes, rest[n_observation:], self._episode_bytes)

    def _mark(self) -> bytes:
        """What snapshots of this environment begin with."""
        kind = f"{self._source_digest} {self.observation_dim} {self._episode_bytes}"
        return hashlib.sha256(kind.encode()).digest()[:_MARK_BYTES]

    def compiled(self, step_limit: int) -> CompiledEnvironments:
        """These environments for a loop in another library, which must not outlive this object.

        :param step_limit: steps after which episodes are truncated, 0 for never
        """
        return CompiledEnvironments(
            step=ctypes.cast(self._library.environment_step, ctypes.c_void_p),
            environments=self._handle,
            results=ctypes.addressof(self._results),
            step_limit=step_limit,
        )

    @property
    def episodes(self) -> bytes:
        """All that a step changes, random numbers included; what :attr:`episodes` is set to goes on from there.

        :raises ValueError: when set to the bytes of other environments
        """
        return ctypes.string_at(self._library.environment_episodes(self._handle), self.n * self._episode_bytes)

    @episodes.setter
    def episodes(self, episodes: bytes) -> None:
        if len(episodes) != self.n * self._episode_bytes:
            raise ValueError(
                f"{len(episodes)} bytes are no {self.n} episodes of the environment in {self.folder}, expected "
                f"{self._episode_bytes} for each"
            )
        ctypes.memmove(self._library.environment_episodes(self._handle), episodes, len(episodes))

    def __getstate__(self) -> dict[str, Any]:
        return {
            "folder": self.folder,
            "n": self.n,
            "source_digest": self._source_digest,
            "is_seeded": self._is_seeded,
            "has_started": self._has_started,
            "observations": self.observations,
            "episodes": self.episodes,
            "fixed_parameters": self._fixed_parameters,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.folder = require_environment_folder(state["folder"])
        self.n = state["n"]
        self._is_seeded, self._has_started = state["is_seeded"].copy(), state["has_started"].copy()
        self._source_digest = digest(source_files(self.folder))
        if self._source_digest != state["source_digest"]:
            raise ValueError(
                f"The environment in {self.folder} has changed since this was pickled, so its state can't be restored; "
                "make the environment anew, or bring the old sources back."
            )
        self._load()
        self.observations[...] = state["observations"]
        self.episodes = state["episodes"]
        for index, parameters in enumerate(state.get("fixed_parameters", ())):  # not in earlier versions
            self.fix_parameters(index, parameters)
