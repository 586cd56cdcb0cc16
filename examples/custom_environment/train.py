"""Train SAC on an environment in C++: the one that environment.h, beside this script, describes, or another."""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import numpy as np
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy

from sb3_tinyrl import NativeVecEnv, TinySAC, register_environment

matplotlib.use("Agg")  # draws into files, so no display is needed
import matplotlib.pyplot as plt

EVALUATIONS = 20


def draw(evaluations: Path, title: str, picture: Path) -> None:
    """Draw what ``EvalCallback`` has written: mean, least and greatest return of each evaluation."""
    results = np.load(evaluations)
    steps, returns = results["timesteps"], results["results"]
    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    axes.plot(steps, returns.mean(axis=1), color="tab:orange", label=f"mean of {returns.shape[1]} episodes")
    axes.fill_between(steps, returns.min(axis=1), returns.max(axis=1), color="tab:orange", alpha=0.2, linewidth=0)
    axes.set(title=title, xlabel="environment steps", ylabel="return")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(picture, dpi=150)


def main() -> None:
    """Train, evaluate, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--timesteps", type=int, default=10_000, help="environment steps to train for")
    parser.add_argument("--output", type=Path, default=Path("runs/custom_environment"), help="folder for results")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent, help="folder with environment.h")
    arguments = parser.parse_args()

    register_environment("my/Environment-v0", arguments.folder)
    env = NativeVecEnv("my/Environment-v0", seed=1)
    model = TinySAC(
        "MlpPolicy",
        "my/Environment-v0",
        learning_rate=1e-3,
        policy_kwargs={"net_arch": [64, 64]},
        seed=0,
    )
    evaluation = EvalCallback(
        env,
        n_eval_episodes=10,
        eval_freq=max(1, arguments.timesteps // EVALUATIONS),
        log_path=str(arguments.output),
        verbose=0,
    )
    model.learn(arguments.timesteps, evaluation, progress_bar=True)

    mean, deviation = evaluate_policy(model, env, n_eval_episodes=10)
    print(f"mean return {mean:.0f} +- {deviation:.0f} over 10 episodes")
    model.save(arguments.output / "model")
    print(f"model {arguments.output / 'model.zip'}")
    title = f"TinySAC on {arguments.folder.resolve().name}/environment.h"
    draw(arguments.output / "evaluations.npz", title, arguments.output / "learning_curve.png")
    print(f"learning curve {arguments.output / 'learning_curve.png'}")


if __name__ == "__main__":
    main()
