"""What is measured: the same for all peers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Settings:
    """One benchmark.

    :param env: id of a Gymnasium environment, ``module:id`` where a module has to be imported first
    :param net_arch: widths of the hidden layers of actor and critics
    :param batch_size: transitions in a gradient step
    :param train_freq: environment steps between calls of ``train``
    :param gradient_steps: gradient steps in each such call
    :param threads: threads that each peer may use
    :param rounds: how often each peer has its turn
    :param steps: environment steps in a turn
    :param use_sde: whether to explore with state-dependent noise
    """

    env: str
    net_arch: tuple[int, ...]
    batch_size: int
    train_freq: int
    gradient_steps: int
    threads: int
    rounds: int
    steps: int
    use_sde: bool = False

    def to_json(self) -> str:
        """Return a text for :meth:`from_json`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """Return the settings that :meth:`to_json` wrote."""
        values = json.loads(text)
        return cls(**{**values, "net_arch": tuple(values["net_arch"])})

    def __str__(self) -> str:
        layers = ",".join(map(str, self.net_arch))
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        frequency = (
            ""
            if self.train_freq == self.gradient_steps == 1
            else (f", {self.gradient_steps} gradient steps every {self.train_freq} steps")
        )
        noise = ", gSDE" if self.use_sde else ""
        return f"{self.env}, nets [{layers}], batch {self.batch_size}{noise}{frequency}, {threads}"
