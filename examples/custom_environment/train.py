"""Train SAC on an environment in C++: the one that environment.h, beside this script, describes, or another."""

from __future__ import annotations

import argparse
from pathlib import Path

import gymnasium as gym
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from sb3_tinyrl import TinySAC, register_environment


def main() -> None:
    """Train, evaluate, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--timesteps", type=int, default=10_000, help="environment steps to train for")
    parser.add_argument("--output", type=Path, default=Path("runs/custom_environment"), help="folder for the model")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent, help="folder with environment.h")
    arguments = parser.parse_args()

    register_environment("my/Environment-v0", arguments.folder)
    model = TinySAC(
        "MlpPolicy",
        gym.make("my/Environment-v0"),
        learning_rate=1e-3,
        policy_kwargs={"net_arch": [64, 64]},
        seed=0,
    )
    model.learn(arguments.timesteps, progress_bar=True)

    env = Monitor(gym.make("my/Environment-v0"))
    mean, deviation = evaluate_policy(model, env, n_eval_episodes=10)
    print(f"mean return {mean:.0f} +- {deviation:.0f} over 10 episodes")
    model.save(arguments.output / "model")
    print(f"model {arguments.output / 'model.zip'}")


if __name__ == "__main__":
    main()
