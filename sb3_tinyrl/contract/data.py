"""Facts about what is trained with: the replay buffer, the observations in it, and what normalises them."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.preprocessing import get_action_dim
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
    """Those of :data:`BUFFER_ARRAYS` that a buffer has."""
    return {name: vars(buffer)[name] for name in BUFFER_ARRAYS if name in vars(buffer)}


def require_consistent_buffer(model: SAC) -> None:
    """The arrays have the shapes of the spaces, and the position is a row of theirs."""
    buffer = model.replay_buffer
    assert buffer is not None
    if type(buffer) not in (ReplayBuffer, NStepReplayBuffer) or not isinstance(model.observation_space, spaces.Box):
        return
    arrays = buffer_arrays(buffer)
    missing = {*BUFFER_ARRAYS} - arrays.keys() - ({"next_observations"} if buffer.optimize_memory_usage else set())
    _require(not missing, f"the replay buffer has no {', '.join(sorted(missing))}", "use the buffers that SB3 makes")
    elements = {
        "observations": model.observation_space.shape,
        "next_observations": model.observation_space.shape,
        "actions": (get_action_dim(model.action_space),),
    }
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


def sampled_because_of_environment(model: SAC) -> str | None:
    """Why observations, or what normalises them, are left to Python."""
    space = model.observation_space
    if not isinstance(space, spaces.Box):
        return f"the observations are of a {type(space).__name__} space"
    if space.dtype is None or space.dtype.name not in OBSERVATION_TYPES:
        return f"the observations are {space.dtype}"
    env = model._vec_normalize_env
    if env is None:
        return None
    if type(env) is not VecNormalize:
        return f"a {type(env).__name__} normalises them"
    if name := replaced_on_instance(env) or replaced_method({VecNormalize: SAMPLING_METHODS[VecNormalize]}):
        return f"{name} of the VecNormalize has been replaced"
    return statistics_do_not_fit(model)


def statistics_do_not_fit(model: SAC) -> str | None:
    """Why the statistics of the model's ``VecNormalize`` can't be applied as they are now."""
    env = model._vec_normalize_env
    assert env is not None
    if env.norm_obs and not _is_broadcast_to(env.obs_rms, model.observation_space.shape):
        return "the statistics of the VecNormalize do not fit the observations"
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
    if type(buffer) not in (ReplayBuffer, NStepReplayBuffer):
        return f"the replay buffer is a {type(buffer).__name__}"
    if name := replaced_on_instance(buffer) or replaced_method(SAMPLING_METHODS):
        return f"{name} of the replay buffer has been replaced"
    for name, array in buffer_arrays(buffer).items():
        expected = model.observation_space.dtype if "observations" in name else np.dtype(np.float32)
        if type(array) is not np.ndarray or array.dtype != expected or not array.flags.c_contiguous:
            return f"the replay buffer's {name} are not stored as a contiguous array of {expected}"
        if len(array) >= _SIZES_BELOW:
            return f"the replay buffer has {len(array)} rows"
    return None
