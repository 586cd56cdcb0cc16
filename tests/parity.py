"""The same weights, batches and noise through SB3's ``train()`` and through the kernel.

The kernel says what it draws for each gradient step, and SB3 is given exactly that: numbers for its replay buffer to
draw, and an action distribution that uses the same noise. All arithmetic is SB3's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from unittest import mock

import gymnasium as gym
import numpy as np
import torch as th
from draw import draw
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.distributions import SquashedDiagGaussianDistribution, StateDependentNoiseDistribution
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import CombinedExtractor, FlattenExtractor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize
from stable_baselines3.sac.policies import Actor

from sb3_tinyrl import TinySAC
from sb3_tinyrl.batches import InPlaceReplay


class Spaces(gym.Env):
    """An environment of any shape, for models whose replay buffer is filled by hand."""

    def __init__(self, observation_space: spaces.Space, action_dim: int) -> None:
        self.observation_space = observation_space
        self.action_space = spaces.Box(-2.0, 2.0, (action_dim,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), float(-np.square(action).sum()), False, False, {}


class DoubleExtractor(FlattenExtractor):
    """SB3 casts observations to float32; float64 networks want them cast back."""

    def forward(self, observations: th.Tensor) -> th.Tensor:
        return super().forward(observations).double()


class DoubleCombinedExtractor(CombinedExtractor):
    """The same for dictionaries."""

    def forward(self, observations: dict[str, th.Tensor]) -> th.Tensor:
        return super().forward(observations).double()


class GivenNoise(SquashedDiagGaussianDistribution):
    """SB3's distribution with noise from a list instead of torch's generator."""

    def __init__(self, action_dim: int, noise: list[th.Tensor]) -> None:
        super().__init__(action_dim)
        self.noise = noise

    def sample(self) -> th.Tensor:
        self.gaussian_actions = self.distribution.mean + self.noise.pop(0) * self.distribution.stddev
        return th.tanh(self.gaussian_actions)


class GivenMatrix(StateDependentNoiseDistribution):
    """SB3's distribution of gSDE with a matrix from a list instead of torch's generator."""

    def __init__(self, actor: Actor, noise: list[th.Tensor]) -> None:
        old = actor.action_dist
        super().__init__(
            old.action_dim, old.full_std, old.use_expln, squash_output=True, learn_features=old.learn_features
        )
        self.latent_sde_dim = old.latent_sde_dim
        self.noise = noise

    def sample_weights(self, log_std: th.Tensor, batch_size: int = 1) -> None:
        self.exploration_mat = self.get_std(log_std) * self.noise.pop(0)
        self.exploration_matrices = self.exploration_mat.unsqueeze(0)


@contextmanager
def given_indices(buffer: ReplayBuffer, indices: list[tuple[np.ndarray, np.ndarray]]) -> Iterator[None]:
    """Have SB3's replay buffer sample these rows and environments; all else is its own code."""
    drawn = []
    for rows, environments in indices:
        # The memory-optimised buffer draws how far behind the newest transition a row lies.
        is_ring = buffer.optimize_memory_usage and buffer.full
        drawn += [(rows - buffer.pos) % buffer.buffer_size if is_ring else rows, environments]
    with mock.patch.object(np.random, "randint", side_effect=lambda *_, **__: drawn.pop(0)):
        yield
    assert not drawn


def n_sampled_batches(model: TinySAC) -> int:
    """Batches that the kernel has drawn for this model so far; SB3's own update leaves the number as it is."""
    return model._n_sampled_batches


@dataclass
class KernelDraws:
    """What the kernel draws in some gradient steps on a replay buffer that does not change between them.

    :param noise: standard normal variates, one array for each call of SB3's distribution
    :param indices: rows and environments of each batch; ``None`` where the buffer's own ``sample`` draws them
    """

    noise: list[th.Tensor]
    indices: list[tuple[np.ndarray, np.ndarray]] | None

    @classmethod
    def of(cls, model: TinySAC, batch_size: int, first: int, gradient_steps: int) -> KernelDraws:
        """Ask the model's kernel, before or after these gradient steps.

        :param first: what ``n_sampled_batches`` is before the first of them
        """
        bound = model._bound(batch_size)
        assert bound is not None
        assert model._kernel_key is not None
        is_in_place = isinstance(bound.replay, InPlaceReplay)
        # A batch sampled in Python has no rows to draw, and asking for a view would sample one more.
        view = bound.replay.batches(model) if is_in_place else bound.replay._view
        noise: list[th.Tensor] = []
        indices = []
        for step in range(gradient_steps):
            *index, drawn = draw(bound.kernel.spec, view, model._kernel_key, first + step)
            indices.append(tuple(index))
            noise += map(th.tensor, drawn)
        return cls(noise, indices if is_in_place else None)

    @contextmanager
    def given_to(self, reference: SAC) -> Iterator[None]:
        """Have SB3's ``train`` use these draws, all of them."""
        actor, noise = reference.actor, [*self.noise]
        distribution = actor.action_dist
        if reference.use_sde:
            actor.action_dist = GivenMatrix(actor, noise)
        else:
            actor.action_dist = GivenNoise(reference.action_space.shape[0], noise)
        try:
            with nullcontext() if self.indices is None else given_indices(reference.replay_buffer, self.indices):
                yield
        finally:
            actor.action_dist = distribution
        assert not noise


@dataclass
class Pair:
    """A model of ours and SB3's with the same weights and data."""

    ours: TinySAC
    reference: SAC
    dtype: th.dtype

    def train(self, gradient_steps: int) -> None:
        """Take the same gradient steps with both."""
        ours, reference = self.ours, self.reference
        draws = KernelDraws.of(ours, ours.batch_size, n_sampled_batches(ours), gradient_steps)
        for model in (ours, reference):
            # What is sampled in Python is drawn from numpy's generator.
            np.random.seed(gradient_steps)  # noqa: NPY002
            with draws.given_to(reference) if model is reference else nullcontext():
                model.train(gradient_steps, model.batch_size)

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

    def synchronise(self) -> None:
        """Give ours the numbers of SB3's, so that what has added up so far is forgotten."""
        for ours, expected in self.tensors().values():
            ours.copy_(expected)

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
        observation, next_observation = (_random(buffer.observation_space, n_envs, rng) for _ in range(2))
        action = np.clip(rng.normal(size=(n_envs, action_dim)), -1, 1)
        # Few digits, so that sums of several rewards are exact in float32, too.
        reward = np.round(rng.normal(size=n_envs) * 32) / 32
        buffer.add(observation, next_observation, action, reward, done, infos)


def _random(space: spaces.Space, n_envs: int, rng: np.random.Generator) -> Any:
    if isinstance(space, spaces.Dict):
        return {key: _random(entry, n_envs, rng) for key, entry in space.items()}
    if isinstance(space, spaces.Discrete):
        return rng.integers(space.n, size=n_envs)
    if is_image_space(space):
        return rng.integers(0, 256, size=(n_envs, *space.shape))
    return rng.normal(size=(n_envs, *space.shape))


def make_pair(
    observation_dim: int,
    action_dim: int,
    dtype: th.dtype = th.float32,
    observation_space: spaces.Space | None = None,
    observation_type: type = np.float32,
    n_envs: int = 1,
    n_transitions: int = 200,
    buffer_size: int = 1000,
    normalize: dict[str, Any] | None = None,
    seed: int = 1,
    n_threads: int = 2,
    backend: str | None = None,
    policy: str = "MlpPolicy",
    **arguments: Any,
) -> Pair:
    """Build both models with the same weights and the same filled replay buffer.

    :param observation_space: instead of a vector of ``observation_dim`` elements
    :param normalize: arguments of a ``VecNormalize``, which both models share
    """
    observation_space = observation_space or spaces.Box(-np.inf, np.inf, (observation_dim,), observation_type)
    env: VecEnv = DummyVecEnv([lambda: Spaces(observation_space, action_dim)] * n_envs)
    if normalize is not None:
        env = VecNormalize(env, **normalize)
        env.seed(seed)
        env.reset()
        for _ in range(10):
            env.step(np.ones((n_envs, action_dim), np.float32))
    common = dict(policy=policy, env=env, seed=seed, buffer_size=buffer_size * n_envs, device="cpu", **arguments)
    ours = TinySAC(kernel="native", n_threads=n_threads, backend=backend, **common)
    policy_kwargs = dict(arguments.get("policy_kwargs", {}))
    if dtype == th.float64:
        is_dict = isinstance(observation_space, spaces.Dict)
        policy_kwargs["features_extractor_class"] = DoubleCombinedExtractor if is_dict else DoubleExtractor
    reference = SAC(**{**common, "policy_kwargs": policy_kwargs})
    for model in (ours, reference):
        model.set_logger(Logger(folder=None, output_formats=[]))
        model.policy.to(dtype)
        if model.log_ent_coef is not None:
            model.log_ent_coef.data = model.log_ent_coef.data.to(dtype)
        else:
            model.ent_coef_tensor = model.ent_coef_tensor.to(dtype)
        fill(model.replay_buffer, n_transitions, np.random.default_rng(seed))
    sample = reference.replay_buffer.sample
    reference.replay_buffer.sample = lambda *args, **kwargs: _to(sample(*args, **kwargs), dtype)
    for ours_parameter, parameter in zip(ours.policy.parameters(), reference.policy.parameters(), strict=True):
        assert th.equal(ours_parameter, parameter)
    return Pair(ours, reference, dtype)


def _to(samples: Any, dtype: th.dtype) -> Any:
    """All but observations, which SB3 itself casts, in the type of the networks."""
    names = ("actions", "rewards", "dones", "discounts")
    values = {name: getattr(samples, name) for name in names}
    return samples._replace(**{name: value.to(dtype) for name, value in values.items() if value is not None})
