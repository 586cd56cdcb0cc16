"""Pieces of the loop that collects transitions."""

from __future__ import annotations

from typing import Any

import numpy as np
from stable_baselines3.common.noise import ActionNoise, VectorizedActionNoise
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.sac.policies import Actor

_LARGEST = np.float64(np.finfo(np.float32).max)


class NonFiniteError(ValueError):
    """The environment or the policy produced NaN, an infinite value, or one too large for float32."""


def require_finite(values: np.ndarray | dict[str, np.ndarray], what: str, timestep: int) -> None:
    """Refuse what is NaN or infinite, or would be in float32, before it reaches the replay buffer or the environment.

    :param values: shape ``(n_envs, ...)``; or a dictionary of such arrays
    :param what: names them in the message
    :param timestep: where training was
    :raises NonFiniteError: naming the first culprit
    """
    if isinstance(values, dict):
        for key, array in values.items():
            require_finite(array, f"{what} {key!r}", timestep)
        return
    if values.dtype.kind != "f" or np.vdot(values, values) <= _LARGEST:
        return  # the usual case, seen quickly: a small sum of squares has no large terms
    finite = np.abs(values) <= _LARGEST
    if not finite.all():
        environment, *index = (int(i) for i in np.argwhere(~finite)[0])
        element = f", element {index if len(index) > 1 else index[0]}" if index else ""
        raise NonFiniteError(
            f"The {what} of environment {environment}{element} is {values[(environment, *index)]} at timestep "
            f"{timestep}, expected a finite number of float32. Nothing was stored or trained with it. "
            "stable_baselines3.common.vec_env.VecCheckNan finds where it comes from."
        )


def require_collectable(env: VecEnv, train_freq: TrainFreq) -> None:
    """Check what SB3's ``collect_rollouts`` asserts.

    :raises AssertionError: for a frequency below one, or episodes of several environments
    """
    assert isinstance(env, VecEnv), "You must pass a VecEnv"
    assert train_freq.frequency > 0, "train_freq must be at least one step or episode"
    assert env.num_envs == 1 or train_freq.unit == TrainFrequencyUnit.STEP, (
        "train_freq in episodes needs a single environment; use steps instead"
    )


def next_observations(new_obs: np.ndarray, dones: np.ndarray, infos: list[dict[str, Any]]) -> np.ndarray:
    """What followed the actions: a VecEnv that has reset itself keeps the last observation in ``infos``.

    :return: ``new_obs`` itself where no episode ended
    """
    ended = [i for i in dones.nonzero()[0] if infos[i].get("terminal_observation") is not None]
    if not ended:
        return new_obs
    next_obs = new_obs.copy()
    for i in ended:
        next_obs[i] = infos[i]["terminal_observation"]
    return next_obs


def reset_noise(action_noise: ActionNoise, env_index: int, n_envs: int) -> None:
    """Start the noise anew for the environment whose episode ended."""
    if n_envs > 1:
        assert isinstance(action_noise, VectorizedActionNoise)
        action_noise.reset(indices=[env_index])
    else:
        action_noise.reset()


def exploration_matrices(actor: Actor, n_envs: int) -> tuple[int | None, int]:
    """Address and stride of the matrices with which ``actor`` explores, as SB3's ``get_noise`` chooses them.

    :return: no address without state-dependent noise
    """
    if not actor.use_sde:
        return None, 0
    distribution = actor.action_dist
    matrices = distribution.exploration_matrices
    if n_envs == 1 or n_envs != len(matrices):
        return distribution.exploration_mat.data_ptr(), 0
    return matrices.data_ptr(), matrices[0].numel()
