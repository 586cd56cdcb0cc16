"""What the tests of TinyRL's interface share: hyperparameters of the kernel that most other tests use, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
from models import Scripted

from sb3_tinyrl.tinyrl import SAC

ROOT = Path(__file__).parents[2]
FOLDER = {"path": ROOT / "examples" / "custom_environment", "action_dim": 1, "observation_dim": 3}

SMALL = {
    "ACTOR_HIDDEN_DIM": 32,
    "CRITIC_HIDDEN_DIM": 32,
    "ACTOR_BATCH_SIZE": 32,
    "CRITIC_BATCH_SIZE": 32,
    "N_WARMUP_STEPS": 20,
}


def pendulum() -> gym.Env:
    return gym.make("Pendulum-v1")


def small(source: Any = pendulum, **arguments: Any) -> SAC:
    return SAC(source, **{"enable_evaluation": False, "STEP_LIMIT": 60, **SMALL, **arguments})


def finish(state: Any) -> Any:
    while not state.step():
        pass
    return state


class Recorded:
    """A factory that keeps the environments it makes."""

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments
        self.made: list[Scripted] = []

    def __call__(self) -> Scripted:
        self.made.append(Scripted(**self.arguments))
        return self.made[-1]
