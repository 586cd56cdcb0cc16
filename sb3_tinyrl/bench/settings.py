"""What is measured: the same for all peers."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Settings:
    """One benchmark; by default that of Stable-Baselines3's defaults.

    :param env: id of a Gymnasium environment, ``module:id`` where a module has to be imported first
    :param net_arch: widths of the hidden layers of actor and critics
    :param batch_size: transitions in a gradient step
    :param train_freq: environment steps between calls of ``train``
    :param gradient_steps: gradient steps in each such call
    :param threads: threads that each peer may use
    :param rounds: how often each peer has its turn
    :param steps: environment steps in a turn
    :param use_sde: whether to explore with state-dependent noise
    :param env_kwargs: arguments of the environment
    :param n_envs: environments that take their steps together
    :param buffer_size: transitions that the replay buffer holds
    :param fill_buffer: whether it is full of random transitions from the start
    :param warm_up_steps: environment steps with training before anything is measured
    :param updates_per_call: gradient steps in each call of ``train`` where that is measured alone
    :param update_seconds: how long such calls are repeated in a turn
    :param predict_seconds: how long predictions are
    :param quick: whether the figures need only be rough, and compiling is not measured
    """

    env: str = "Pendulum-v1"
    net_arch: tuple[int, ...] = (256, 256)
    batch_size: int = 256
    train_freq: int = 1
    gradient_steps: int = 1
    threads: int = 1
    rounds: int = 5
    steps: int = 1000
    use_sde: bool = False
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    n_envs: int = 1
    buffer_size: int = 1_000_000
    fill_buffer: bool = False
    warm_up_steps: int = 100
    updates_per_call: int = 16
    update_seconds: float = 1.0
    predict_seconds: float = 0.2
    quick: bool = False

    @property
    def budget_steps(self) -> int:
        """Environment steps in a turn in which it is measured where their time goes."""
        return max(100, self.steps // 5)

    @property
    def updates_per_step(self) -> float:
        """Gradient steps for each environment step."""
        return self.gradient_steps / (self.train_freq * self.n_envs)

    def to_json(self) -> str:
        """Return a text for :meth:`from_json`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """Return the settings that :meth:`to_json` wrote."""
        values = json.loads(text)
        return cls(**{**values, "net_arch": tuple(values["net_arch"])})

    def dimensions(self) -> tuple[int, int]:
        """Return the elements of an observation and of an action.

        :raises gymnasium.error.Error: when there is no such environment
        :raises ImportError: when there is no such module
        :raises ValueError: when a space is not a Box, which SAC's ``MlpPolicy`` takes
        """
        import gymnasium

        env = gymnasium.make(self.env, **self.env_kwargs)
        named_spaces = {"observation": env.observation_space, "action": env.action_space}
        env.close()
        for name, space in named_spaces.items():
            if not isinstance(space, gymnasium.spaces.Box):
                raise ValueError(f"its {name} space is {space}, but SAC's MlpPolicy takes a Box")
        observation_dim, action_dim = (math.prod(space.shape or ()) for space in named_spaces.values())
        return observation_dim, action_dim

    def __str__(self) -> str:
        layers = ",".join(map(str, self.net_arch))
        frequency = (
            ""
            if self.train_freq == self.gradient_steps == 1
            else (f", {self.gradient_steps} gradient steps every {self.train_freq} steps")
        )
        noise = ", gSDE" if self.use_sde else ""
        return (
            f"{self.env}, nets [{layers}], batch {self.batch_size}{noise}{frequency}, {threads_in_words(self.threads)}"
        )


def threads_in_words(n_threads: int) -> str:
    """Return ``"1 thread"`` or ``"2 threads"``."""
    return "1 thread" if n_threads == 1 else f"{n_threads} threads"
