"""Train SAC on the environment that environment.h, beside this script, describes. Importing it registers its id."""

from __future__ import annotations

import argparse
from pathlib import Path

import gymnasium as gym
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from sb3_tinyrl import TinySAC, register_environment

ENV_ID = "$env_id"
register_environment(ENV_ID, Path(__file__).parent)


def main() -> None:
    """Train, evaluate, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--timesteps", type=int, default=5_000, help="environment steps to train for")
    parser.add_argument("--output", type=Path, default=Path("runs/$name"), help="folder for the model")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)  # before the time that its contents take

    model = TinySAC("MlpPolicy", gym.make(ENV_ID), policy_kwargs={"net_arch": [64, 64]}, seed=0)
    model.learn(arguments.timesteps, progress_bar=True)

    mean, deviation = evaluate_policy(model, Monitor(gym.make(ENV_ID)), n_eval_episodes=10)
    print(f"mean return {mean:.0f} +- {deviation:.0f} over 10 episodes")
    model.save(arguments.output / "model")
    print(f"model {arguments.output / 'model.zip'}")


if __name__ == "__main__":
    main()
