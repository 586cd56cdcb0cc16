"""Models of every kind that the kernel takes, and of every kind that it leaves to torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium import spaces
from models import Scripted, scripted
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.envs import BitFlippingEnv
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from stable_baselines3.sac.policies import SACPolicy


class OwnPolicy(SACPolicy):
    pass


class OwnExtractor(FlattenExtractor):
    pass


IMAGES = spaces.Box(0, 255, (36, 36, 1), np.uint8)


class OwnActivation(th.nn.ReLU):
    def forward(self, input: th.Tensor) -> th.Tensor:
        return super().forward(input).clamp(max=6)


def small_images() -> gym.Env:
    return Scripted(observation_space=IMAGES)


def with_observations(space: spaces.Space) -> gym.Env:
    """Pendulum whose observations are drawn from a space instead."""

    class Wrapper(gym.ObservationWrapper):
        observation_space = space

        def observation(self, observation: Any) -> Any:
            return space.sample()

    return Wrapper(gym.make("Pendulum-v1"))


def policy_kwargs(**arguments: Any) -> dict[str, Any]:
    return {"policy_kwargs": {"net_arch": [32, 32], **arguments}}


def optimizer_kwargs(**arguments: Any) -> dict[str, Any]:
    return policy_kwargs(optimizer_kwargs=arguments)


#: Arguments of the model, what the reason says, and what its remedy says.
UNSUPPORTED: dict[str, tuple[Callable[[], dict[str, Any]], str, str]] = {
    "CnnPolicy": (lambda: {"policy": "CnnPolicy", "env": small_images(), "batch_size": 2}, "CnnPolicy", "MlpPolicy"),
    "a policy of one's own": (lambda: {"policy": OwnPolicy}, "OwnPolicy", "MlpPolicy"),
    "an image in a dictionary": (
        lambda: {"policy": "MultiInputPolicy", "env": with_observations(spaces.Dict(camera=IMAGES)), "batch_size": 2},
        "image",
        "wrapper",
    ),
    "another activation": (lambda: policy_kwargs(activation_fn=th.nn.Mish), r"Mish\(\)", "activation_fn.*Softplus"),
    "a subclass that computes something else": (
        lambda: policy_kwargs(activation_fn=OwnActivation),
        r"OwnActivation\(\)",
        "activation_fn",
    ),
    "a parameter out of range": (
        lambda: policy_kwargs(activation_fn=partial(th.nn.Softplus, beta=-1.0)),
        r"Softplus\(beta=-1.0",
        "beta above zero",
    ),
    "another extractor": (
        lambda: policy_kwargs(features_extractor_class=OwnExtractor),
        "OwnExtractor",
        "features_extractor_class",
    ),
    "NAdam": (lambda: policy_kwargs(optimizer_class=th.optim.NAdam), "NAdam", "optimizer_class"),
    "RMSprop": (lambda: policy_kwargs(optimizer_class=th.optim.RMSprop), "RMSprop", "optimizer_class"),
    "ascent": (lambda: optimizer_kwargs(maximize=True), "maximize=True", "maximize"),
    "fused": (
        lambda: policy_kwargs(optimizer_class=th.optim.AdamW, optimizer_kwargs={"fused": True}),
        "AdamW has fused=True",
        "fused",
    ),
}


class OwnReplayBuffer(ReplayBuffer):
    pass


#: Arguments of the model.
SUPPORTED: dict[str, Callable[[], dict[str, Any]]] = {
    "images": lambda: {"env": small_images(), "batch_size": 2},
    "Dict": lambda: {
        "policy": "MultiInputPolicy",
        "env": with_observations(spaces.Dict(a=spaces.Box(-1, 1), b=spaces.Discrete(2))),
    },
    "Discrete": lambda: {"env": with_observations(spaces.Discrete(4))},
    "float16": lambda: {"env": with_observations(spaces.Box(-1, 1, (3,), np.float16))},
    "gSDE": lambda: {"use_sde": True},
    "gSDE drawn anew in each episode": lambda: {"use_sde": True, "train_freq": (1, "episode"), "env": scripted()},
    "gSDE in several environments": lambda: {
        "use_sde": True,
        "sde_sample_freq": 2,
        "use_sde_at_warmup": True,
        "train_freq": 4,
        "env": scripted(3),
    },
    "VecNormalize": lambda: {"env": VecNormalize(scripted())},
    "VecNormalize of a Dict": lambda: {
        "policy": "MultiInputPolicy",
        "env": VecNormalize(DummyVecEnv([lambda: with_observations(spaces.Dict(a=spaces.Box(-1, 1)))])),
    },
    "n steps": lambda: {"n_steps": 3},
    "little memory": lambda: {
        "optimize_memory_usage": True,
        "replay_buffer_kwargs": {"handle_timeout_termination": False},
        "buffer_size": 30,
    },
    "hindsight": lambda: {
        "policy": "MultiInputPolicy",
        "env": BitFlippingEnv(n_bits=3, continuous=True, max_steps=3),
        "replay_buffer_class": HerReplayBuffer,
    },
    "a replay buffer of one's own": lambda: {"replay_buffer_class": OwnReplayBuffer},
    "no hidden layers": lambda: policy_kwargs(net_arch=[]),
}
