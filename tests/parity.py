"""The same weights, batches and noise through SB3's ``train()`` and through the kernel.

The kernel says what it draws for each gradient step, and SB3 is given exactly that: by a replay buffer that returns
the same transitions and an action distribution that uses the same noise. All arithmetic is SB3's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.distributions import SquashedDiagGaussianDistribution
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_tinyrl import TinySAC


class Spaces(gym.Env):
    """An environment of any shape, for models whose replay buffer is filled by hand."""

    def __init__(self, observation_dim: int, action_dim: int, observation_type: type = np.float32) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (observation_dim,), observation_type)
        self.action_space = spaces.Box(-2.0, 2.0, (action_dim,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), float(-np.square(action).sum()), False, False, {}


class DoubleExtractor(FlattenExtractor):
    """SB3 casts observations to float32; float64 networks want them cast back."""

    def forward(self, observations: th.Tensor) -> th.Tensor:
        return super().forward(observations).double()


class GivenNoise(SquashedDiagGaussianDistribution):
    """SB3's distribution with noise from a list instead of torch's generator."""

    def __init__(self, action_dim: int, noise: list[th.Tensor]) -> None:
        super().__init__(action_dim)
        self.noise = noise

    def sample(self) -> th.Tensor:
        self.gaussian_actions = self.distribution.mean + self.noise.pop(0) * self.distribution.stddev
        return th.tanh(self.gaussian_actions)


class GivenIndices(ReplayBuffer):
    """SB3's replay buffer with indices from a list instead of numpy's generator."""

    indices: list[tuple[np.ndarray, np.ndarray]]
    dtype: th.dtype

    def sample(self, batch_size: int, env: Any = None) -> ReplayBufferSamples:
        rows, environments = self.indices.pop(0)
        assert len(rows) == batch_size
        done = self.dones[rows, environments] * (1 - self.timeouts[rows, environments])
        data = (
            self.actions[rows, environments],
            self.next_observations[rows, environments],
            done.reshape(-1, 1),
            self.rewards[rows, environments].reshape(-1, 1),
        )
        actions, next_observations, dones, rewards = (th.tensor(array) for array in data)
        return ReplayBufferSamples(
            observations=th.tensor(self.observations[rows, environments]),
            actions=actions.to(self.dtype),
            next_observations=next_observations,
            dones=dones.to(self.dtype),
            rewards=rewards.to(self.dtype),
        )


@dataclass
class Pair:
    """A model of ours and SB3's with the same weights and data."""

    ours: TinySAC
    reference: SAC
    dtype: th.dtype

    def train(self, gradient_steps: int) -> None:
        """Take the same gradient steps with both."""
        ours, reference = self.ours, self.reference
        buffer = ours.replay_buffer
        binding = ours._binding(ours.batch_size)
        assert binding is not None
        assert ours._kernel_key is not None
        noise, indices = [], []
        for step in range(gradient_steps):
            *index, action_noise, next_action_noise = binding.kernel.draw(
                buffer.size(), buffer.n_envs, ours._kernel_key, ours._n_sampled_batches + step
            )
            indices.append(tuple(index))
            noise += [th.tensor(action_noise), th.tensor(next_action_noise)]
        reference.actor.action_dist = GivenNoise(ours.action_space.shape[0], noise)
        reference.replay_buffer.indices = indices
        ours.train(gradient_steps, ours.batch_size)
        reference.train(gradient_steps, reference.batch_size)
        assert not noise
        assert not indices

    def tensors(self) -> dict[str, tuple[th.Tensor, th.Tensor]]:
        """Parameters, targets, Adam's moments and the entropy coefficient, of ours and of SB3's."""
        result = {}
        ours, reference = (
            dict(self.ours.policy.named_parameters()),
            dict(self.reference.policy.named_parameters()),
        )
        assert ours.keys() == reference.keys()
        for name in ours:
            result[name] = ours[name].data, reference[name].data
        for name in ("actor.optimizer", "critic.optimizer", "ent_coef_optimizer"):
            if name == "ent_coef_optimizer" and self.ours.ent_coef_optimizer is None:
                continue
            states = [model.get_parameters()[name]["state"] for model in (self.ours, self.reference)]
            for index, (state, expected) in enumerate(zip(*(state.values() for state in states), strict=True)):
                assert state["step"] == expected["step"]
                assert state.keys() == expected.keys()
                for moment in state.keys() - {"step"}:
                    result[f"{name}.{index}.{moment}"] = state[moment], expected[moment]
        if self.ours.log_ent_coef is not None:
            result["log_ent_coef"] = self.ours.log_ent_coef.data, self.reference.log_ent_coef.data
        return result

    def losses(self) -> dict[str, tuple[float, float]]:
        """What both logged of their last call."""
        ours, reference = (
            {k: v for k, v in model.logger.name_to_value.items() if k.startswith("train/")}
            for model in (self.ours, self.reference)
        )
        assert ours.keys() == reference.keys()
        return {name: (ours[name], reference[name]) for name in ours}


def fill(buffer: ReplayBuffer, n: int, rng: np.random.Generator) -> None:
    """Add random transitions with terminations and time limits among them."""
    n_envs, action_dim = buffer.n_envs, buffer.action_dim
    for _ in range(n):
        done = rng.random(n_envs) < 0.2
        infos = [{"TimeLimit.truncated": bool(d and rng.random() < 0.5)} for d in done]
        observation, next_observation = rng.normal(size=(2, n_envs, *buffer.obs_shape))
        action = np.clip(rng.normal(size=(n_envs, action_dim)), -1, 1)
        buffer.add(observation, next_observation, action, rng.normal(size=n_envs), done, infos)


def make_pair(
    observation_dim: int,
    action_dim: int,
    dtype: th.dtype = th.float32,
    observation_type: type = np.float32,
    n_envs: int = 1,
    n_transitions: int = 200,
    seed: int = 1,
    n_threads: int = 2,
    **arguments: Any,
) -> Pair:
    """Build both models with the same weights and the same filled replay buffer."""
    env = DummyVecEnv([lambda: Spaces(observation_dim, action_dim, observation_type)] * n_envs)
    common = dict(policy="MlpPolicy", env=env, seed=seed, buffer_size=1000 * n_envs, device="cpu", **arguments)
    ours = TinySAC(kernel="native", n_threads=n_threads, **common)
    policy_kwargs = dict(arguments.get("policy_kwargs", {}))
    if dtype == th.float64:
        policy_kwargs["features_extractor_class"] = DoubleExtractor
    reference = SAC(**{**common, "replay_buffer_class": GivenIndices, "policy_kwargs": policy_kwargs})
    for model in (ours, reference):
        model.set_logger(Logger(folder=None, output_formats=[]))
        model.policy.to(dtype)
        if model.log_ent_coef is not None:
            model.log_ent_coef.data = model.log_ent_coef.data.to(dtype)
        else:
            model.ent_coef_tensor = model.ent_coef_tensor.to(dtype)
        fill(model.replay_buffer, n_transitions, np.random.default_rng(seed))
    reference.replay_buffer.dtype = dtype
    for ours_parameter, parameter in zip(ours.policy.parameters(), reference.policy.parameters(), strict=True):
        assert th.equal(ours_parameter, parameter)
    return Pair(ours, reference, dtype)
