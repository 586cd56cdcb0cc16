"""Facts about what is trained with: the replay buffer, the observations in it, and what normalises them."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.preprocessing import get_action_dim, is_image_space
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecNormalize

from sb3_tinyrl._native.errors import UnsupportedByKernelError
from sb3_tinyrl.contract.methods import SAMPLING_METHODS, replaced_method, replaced_on_instance
from sb3_tinyrl.observations import OBSERVATION_TYPES

_require = UnsupportedByKernelError.unless

#: Arrays of a replay buffer that the kernel reads in place; ``next_observations`` may be missing.
BUFFER_ARRAYS = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")

_SIZES_BELOW = 2**32  # of a replay buffer: what the kernel draws rows with


def buffer_arrays(buffer: ReplayBuffer) -> dict[str, Any]:
    """Those of :data:`BUFFER_ARRAYS` that a buffer has; each entry of a dictionary under a name of its own."""
    arrays: dict[str, Any] = {}
    for name in BUFFER_ARRAYS:
        array = vars(buffer).get(name)
        if isinstance(array, dict):
            arrays |= {f"{name}[{key!r}]": entry for key, entry in array.items()}
        elif name in vars(buffer):
            arrays[name] = array
    return arrays


def _observation_spaces(space: spaces.Space[Any]) -> dict[str, spaces.Space[Any]]:
    """The space of each array of observations, by the end of its name."""
    if isinstance(space, spaces.Dict):
        return {f"[{key!r}]": entry for key, entry in space.spaces.items()}
    return {"": space}


def _array_spaces(space: spaces.Space[Any]) -> dict[str, spaces.Space[Any]]:
    """The space of each array that holds observations or those that follow them, by its name."""
    return {
        name + end: entry
        for name in ("observations", "next_observations")
        for end, entry in _observation_spaces(space).items()
    }


def _classes_in_place(model: SAC) -> tuple[type[ReplayBuffer], ...]:
    is_dict = isinstance(model.observation_space, spaces.Dict)
    return (DictReplayBuffer,) if is_dict else (ReplayBuffer, NStepReplayBuffer)


def require_consistent_buffer(model: SAC) -> None:
    """The arrays have the shapes of the spaces, and the position is a row of theirs."""
    buffer, space = model.replay_buffer, model.observation_space
    assert buffer is not None
    if type(buffer) not in _classes_in_place(model) or sampled_because_of_space(space):
        return
    arrays, observations = buffer_arrays(buffer), _array_spaces(space)
    optional = {name for name in observations if name.startswith("next_")} if buffer.optimize_memory_usage else set()
    missing = {*observations, *BUFFER_ARRAYS[2:]} - arrays.keys() - optional
    _require(not missing, f"the replay buffer has no {', '.join(sorted(missing))}", "use the buffers that SB3 makes")
    elements = {name: entry.shape or () for name, entry in observations.items()}
    elements["actions"] = (get_action_dim(model.action_space),)
    for name, array in arrays.items():
        shape = (buffer.buffer_size, buffer.n_envs, *elements.get(name, ()))
        _require(
            getattr(array, "shape", None) == shape,
            f"the replay buffer's {name} have the shape {getattr(array, 'shape', None)}, expected {shape}",
            "load a replay buffer that was filled in the same observation and action space",
        )
    _require(
        isinstance(buffer.pos, Integral) and 0 <= buffer.pos <= buffer.buffer_size,
        f"the replay buffer's pos is {buffer.pos!r} of {buffer.buffer_size} rows",
        "leave pos and full to the replay buffer",
    )


def sampled_because_of_space(space: spaces.Space[Any]) -> str | None:
    """Why observations of a space are no arrays of numbers that the kernel reads."""
    for end, entry in _observation_spaces(space).items():
        name = f"the observations{end}"
        if not isinstance(entry, spaces.Box):
            return f"{name} are of a {type(entry).__name__} space"
        if entry.dtype is None or entry.dtype.name not in OBSERVATION_TYPES:
            return f"{name} are {entry.dtype}"
        if end and (not entry.shape or is_image_space(entry)):
            return f"{name} are an image, or have no axis"
    return None


def sampled_because_of_environment(model: SAC) -> str | None:
    """Why observations, or what normalises them, are left to Python."""
    if reason := sampled_because_of_space(model.observation_space):
        return reason
    env = model._vec_normalize_env
    if env is None:
        return None
    if type(env) is not VecNormalize:
        return f"a {type(env).__name__} normalises them"
    if name := replaced_on_instance(env) or replaced_method({VecNormalize: SAMPLING_METHODS[VecNormalize]}):
        return f"{name} of the VecNormalize has been replaced"
    return statistics_do_not_fit(model)


def observation_statistics(model: SAC) -> dict[str, Any]:
    """What normalises each array of observations, by the end of the array's name; none for those left as they are."""
    env = model._vec_normalize_env
    if env is None or not env.norm_obs:
        return {}
    if not isinstance(model.observation_space, spaces.Dict):
        return {"": env.obs_rms}
    statistics = env.obs_rms if isinstance(env.obs_rms, dict) else {}
    return {f"[{key!r}]": statistics.get(key) for key in env.norm_obs_keys or ()}


def statistics_do_not_fit(model: SAC) -> str | None:
    """Why the statistics of the model's ``VecNormalize`` can't be applied as they are now."""
    env = model._vec_normalize_env
    assert env is not None
    observation_spaces = _observation_spaces(model.observation_space)
    for end, statistics in observation_statistics(model).items():
        if end not in observation_spaces or not _is_broadcast_to(statistics, observation_spaces[end].shape):
            return f"the statistics of the VecNormalize do not fit the observations{end}"
    if env.norm_reward and not _is_broadcast_to(env.ret_rms, ()):
        return "the statistics of the VecNormalize do not fit the rewards"
    numbers = (env.epsilon, env.clip_obs, env.clip_reward)
    if not all(isinstance(number, Real) and math.isfinite(number) for number in numbers):
        return f"the VecNormalize has epsilon, clip_obs or clip_reward that are no finite numbers: {numbers}"
    return None


def _is_broadcast_to(statistics: object, shape: tuple[int, ...] | None) -> bool:
    if type(statistics) is not RunningMeanStd or shape is None:
        return False
    try:
        return all(
            np.broadcast_shapes(np.shape(moment), shape) == shape and np.asarray(moment).dtype.kind in "fiu"
            for moment in (statistics.mean, statistics.var)
        )
    except ValueError:
        return False


def sampled_because_of_buffer(model: SAC) -> str | None:
    """Why the replay buffer's own Python code draws the batches."""
    buffer = model.replay_buffer
    assert buffer is not None
    if type(buffer) not in _classes_in_place(model):
        return f"the replay buffer is a {type(buffer).__name__}"
    if name := replaced_on_instance(buffer) or replaced_method(SAMPLING_METHODS):
        return f"{name} of the replay buffer has been replaced"
    observations = _array_spaces(model.observation_space)
    for name, array in buffer_arrays(buffer).items():
        expected = observations[name].dtype if name in observations else np.dtype(np.float32)
        if type(array) is not np.ndarray or array.dtype != expected or not array.flags.c_contiguous:
            return f"the replay buffer's {name} are not stored as a contiguous array of {expected}"
        if len(array) >= _SIZES_BELOW:
            return f"the replay buffer has {len(array)} rows"
    return None
