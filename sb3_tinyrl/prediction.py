"""``predict`` without torch, for the observations that a kernel understands."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.preprocessing import is_image_space

from sb3_tinyrl import rollout
from sb3_tinyrl.runtime import Runtime


def predict(model: SAC, runtime: Runtime, observation: object, deterministic: bool) -> npt.NDArray[Any] | None:
    """Compute what ``model.policy.predict`` returns, to within rounding and with the same random numbers.

    :param observation: of the model's observation space, or several of them along a first axis
    :return: the actions; ``None`` where only SB3 knows what to do, or there is no kernel
    """
    observation_space, action_space = model.observation_space, model.action_space
    if type(observation) is not np.ndarray or not isinstance(observation_space, spaces.Box):
        return None
    assert isinstance(action_space, spaces.Box)
    is_batch = observation.ndim > len(observation_space.shape)
    observations = observation if is_batch else observation[np.newaxis]
    if observations.shape[1:] != observation_space.shape or is_image_space(observation_space):
        return None  # an error, whose message is SB3's, or channels to be moved
    kernel = runtime.predicting_kernel(model)
    if kernel is None or kernel.spec.scalar_type != "float32":
        return None

    if model.policy.training:
        model.policy.set_training_mode(False)
    n = len(observations)
    noise: tuple[Any, ...] = ()
    if not deterministic and model.actor.use_sde:
        noise = (None, None, *rollout.exploration_matrices(model.actor, n))
    elif not deterministic:
        noise = (None, th.randn(n, kernel.spec.action_dim).numpy())
    scaled_actions, actions, is_finite = kernel.act(observations, *noise)
    if not is_finite:
        return None  # SB3 has an error for that, too
    shape = (n, *action_space.shape) if is_batch else action_space.shape
    if action_space.dtype != np.float32:
        actions = model.policy.unscale_action(scaled_actions.reshape(-1, *action_space.shape))
    return actions.reshape(shape)
