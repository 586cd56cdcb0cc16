"""What is learned, and by what: environments with the hyperparameters of RL Zoo (its hyperparams/sac.yml)."""

from dataclasses import dataclass
from typing import Any

from stable_baselines3 import SAC
from stable_baselines3.common.utils import LinearSchedule

from sb3_tinyrl import TinySAC


@dataclass(frozen=True)
class Published:
    """Mean and standard deviation of episode returns in RL Zoo's benchmark.md, one trained model each."""

    env: str
    timesteps: int
    mean: float
    std: float


@dataclass(frozen=True)
class Task:
    """An environment and how to learn it."""

    env: str
    timesteps: int
    settings: dict[str, Any]
    published: Published


TASKS = {
    "pendulum": Task(
        "Pendulum-v1", 20_000, {"learning_rate": 1e-3}, Published("Pendulum-v1", 20_000, -156.995, 88.714)
    ),
    "mountain_car": Task(
        "MountainCarContinuous-v0",
        50_000,
        {
            "learning_rate": 3e-4,
            "batch_size": 512,
            "ent_coef": 0.1,
            "train_freq": 32,
            "gradient_steps": 32,
            "gamma": 0.9999,
            "tau": 0.01,
            "learning_starts": 0,
            "use_sde": True,
            "policy_kwargs": {"log_std_init": -3.67, "net_arch": [64, 64], "use_expln": True},
        },
        Published("MountainCarContinuous-v0", 50_000, 94.679, 1.134),
    ),
    "lunar_lander": Task(
        "LunarLanderContinuous-v3",
        100_000,
        {
            "learning_rate": LinearSchedule(7.3e-4, 0.0, 1.0),
            "tau": 0.01,
            "learning_starts": 10_000,
            "policy_kwargs": {"net_arch": [400, 300]},
        },
        Published("LunarLanderContinuous-v2", 500_000, 260.390, 65.467),
    ),
    "hopper": Task(
        "Hopper-v5", 100_000, {"learning_starts": 10_000}, Published("Hopper-v3", 1_000_000, 2325.547, 1129.676)
    ),
    "half_cheetah": Task(
        "HalfCheetah-v5",
        100_000,
        {"learning_starts": 10_000},
        Published("HalfCheetah-v3", 1_000_000, 9535.451, 100.470),
    ),
}

# A run that fell back to PyTorch would compare SB3 with itself, so TinySAC has to train natively.
ALGORITHMS: dict[str, tuple[type[SAC], dict[str, Any]]] = {
    "TinySAC": (TinySAC, {"kernel": "native", "n_threads": 1}),
    "SAC": (SAC, {}),
}
