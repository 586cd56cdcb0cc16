"""What the behaviour tests share: small models on few kernels, a scripted environment, and ways to compare."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv

from sb3_tinyrl import TinySAC
from sb3_tinyrl._native.abi.kernel import Kernel

TIMEOUT = 120
"""Seconds after which another process or thread counts as hanging."""


def make(cls: type[SAC] = TinySAC, env: Any = "Pendulum-v1", **arguments: Any) -> Any:
    """Build a model with networks so small that SB3's updates are quick, too."""
    arguments = {
        "policy": "MlpPolicy",
        "policy_kwargs": {"net_arch": [32, 32]},
        "batch_size": 32,
        "buffer_size": 1000,
        "learning_starts": 20,
        "seed": 0,
        "device": "cpu",
        **({"kernel": "native"} if issubclass(cls, TinySAC) else {}),
        **arguments,
    }
    return cls(env=env, **arguments)


class Scripted(gym.Env):
    """Episodes of given lengths, in the spaces of Pendulum-v1 unless told otherwise; each step tells itself apart.

    :param lengths: of the first episodes, and so on in turn; each ends with a termination where the length is odd,
        at a time limit where it is even
    :param observation_space: any Box
    :param spoil: replaces ``(observation, reward)`` of the step with this number, or of the reset for 0
    """

    def __init__(
        self,
        lengths: tuple[int, ...] = (5, 4, 1, 2),
        observation_space: spaces.Box | None = None,
        action_shape: tuple[int, ...] = (1,),
        spoil: Mapping[int, Callable[[np.ndarray, float], tuple[np.ndarray, float]]] | None = None,
    ) -> None:
        self.observation_space = observation_space or spaces.Box(-1000, 1000, (3,), np.float32)
        self.action_space = spaces.Box(-2, 3, action_shape, np.float32)
        self.lengths, self.spoil = lengths, spoil or {}
        self.n_steps = self.n_episodes = self.step_in_episode = 0

    def _outcome(self, reward: float) -> tuple[np.ndarray, float]:
        space = self.observation_space
        values = np.resize([self.n_episodes, self.step_in_episode, self.n_steps % 100], space.shape)
        return self.spoil.get(self.n_steps, lambda *outcome: outcome)(values.astype(space.dtype), reward)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.step_in_episode = 0
        return self._outcome(0.0)[0], {}

    def step(self, action):
        assert action.shape == self.action_space.shape
        assert np.all((self.action_space.low <= action) & (action <= self.action_space.high))
        self.n_steps += 1
        self.step_in_episode += 1
        length = self.lengths[self.n_episodes % len(self.lengths)]
        ends = self.step_in_episode >= length
        observation, reward = self._outcome(float(self.n_steps + action.sum()))
        self.n_episodes += ends
        info = {"is_success": bool(length % 3)} if ends else {}
        return observation, reward, ends and length % 2 == 1, ends and length % 2 == 0, info


def scripted(n_envs: int = 1, subprocesses: bool = False, **arguments: Any) -> VecEnv:
    """Several scripted environments; one starts later in ``lengths`` than the other."""
    lengths = arguments.pop("lengths", (5, 4, 1, 2))

    def environment(i: int) -> Callable[[], gym.Env]:
        turned = lengths[i % len(lengths) :] + lengths[: i % len(lengths)]
        return lambda: Scripted(turned, **arguments)

    environments = [environment(i) for i in range(n_envs)]
    # The quickest way, where there is one.
    start_method = "fork" if hasattr(os, "fork") else "spawn"
    return SubprocVecEnv(environments, start_method=start_method) if subprocesses else DummyVecEnv(environments)


def kernel_of(model: TinySAC) -> Kernel:
    """The kernel that trains the model."""
    bound = model._bound(model.batch_size)
    assert bound is not None
    return bound.kernel


def state(model: SAC) -> dict[str, th.Tensor]:
    """Everything that training changes: parameters, targets, Adam's state, log entropy coefficient; copied."""
    optimizers = {"actor": model.actor.optimizer, "critic": model.critic.optimizer}
    tensors = {f"policy.{name}": tensor for name, tensor in model.policy.state_dict().items()}
    if model.ent_coef_optimizer is not None:
        optimizers["ent_coef"] = model.ent_coef_optimizer
        tensors["log_ent_coef"] = model.log_ent_coef
    for name, optimizer in optimizers.items():
        for i, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"{name}.optimizer.{i}.{key}": tensor for key, tensor in moments.items()}
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def differences(one: Mapping[str, th.Tensor], other: Mapping[str, th.Tensor]) -> list[str]:
    """Names of the tensors that are not the same, bit for bit."""
    assert one.keys() == other.keys()
    return [name for name in one if not th.equal(one[name], other[name])]


def assert_trained(model: SAC, before: Mapping[str, th.Tensor]) -> None:
    """All networks have moved since ``before``, and nothing is NaN or infinite."""
    after = state(model)
    assert all(tensor.isfinite().all() for tensor in after.values())
    moved = [name for name in before if not th.equal(before[name], after[name])]
    for network in ("actor", "critic", "critic_target"):
        assert any(name.startswith(f"policy.{network}.") for name in moved), f"the {network} has not moved"


def step_counts(model: SAC) -> dict[str, float]:
    """Adam's step counts."""
    return {name: tensor.item() for name, tensor in state(model).items() if name.endswith(".step")}


class At(BaseCallback):
    """Does something when the model has taken so many steps; goes on unless that returns ``False``."""

    def __init__(self, n_steps: int, action: Callable[[Any], Any]) -> None:
        super().__init__()
        self.n_steps, self.action = n_steps, action

    def _on_step(self) -> bool:
        return self.n_calls != self.n_steps or self.action(self.model) is not False


def run_python(program: str, *arguments: object) -> None:
    """Run a program in a Python of its own, which finds the packages where this one does."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    folder = Path(__file__).parent  # `-c` puts it first on the path
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT)
    assert result.returncode == 0, result.stderr
