"""Learning curves of TinySAC and of Stable-Baselines3's SAC with equal budgets.

Run with: python examples/learning_curve.py --tasks pendulum hopper --seeds 0 1 2

An interrupted comparison can be resumed with the same command: finished runs are read from the JSON file. Needs the
extra "zoo" for Box2D and MuJoCo, and rliable for the confidence bands (the extra "test" has both).
"""

import argparse
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import matplotlib
import numpy as np
import torch as th
from rliable import library, metrics
from stable_baselines3 import SAC
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from tqdm import tqdm

from sb3_tinyrl import TinySAC

matplotlib.use("Agg")  # draws into files, so no display is needed
import matplotlib.pyplot as plt


@dataclass(frozen=True)
class Task:
    """An environment and how to learn it."""

    env: str
    timesteps: int
    arguments: dict[str, Any] = field(default_factory=dict)


# State-dependent exploration as rl-zoo tunes it for Box2D.
GSDE = {"use_sde": True, "learning_rate": 7.3e-4, "tau": 0.02, "gamma": 0.98, "train_freq": 8, "gradient_steps": 8}
TASKS = {
    "pendulum": Task("Pendulum-v1", 6_000, {"policy_kwargs": {"net_arch": [64, 64]}}),
    "lunar_lander": Task("LunarLanderContinuous-v3", 10_000, {**GSDE, "learning_starts": 1000}),
    "bipedal_walker": Task("BipedalWalker-v3", 100_000, {**GSDE, "learning_starts": 1000}),
    "hopper": Task("Hopper-v5", 10_000),
    "half_cheetah": Task("HalfCheetah-v5", 12_000),
}
ALGORITHMS = {"TinySAC": (TinySAC, {"kernel": "native", "n_threads": 1}), "SAC (SB3)": (SAC, {})}
EVALUATIONS, EPISODES = 8, 3


def run(algorithm: str, task: Task, seed: int, timesteps: int) -> dict[str, list[float]]:
    """Train once. The time is that of the processor, one thread, which other programs don't lengthen."""
    cls, arguments = ALGORITHMS[algorithm]
    model = cls("MlpPolicy", task.env, seed=seed, device="cpu", **task.arguments, **arguments)
    eval_env = Monitor(gym.make(task.env))
    eval_env.reset(seed=1000 + seed)
    steps = np.linspace(0, timesteps, EVALUATIONS + 1).astype(int)
    curve: dict[str, list[float]] = {"steps": [], "seconds": [], "returns": []}
    seconds = 0.0
    with tqdm(total=timesteps, desc=f"{task.env}, {algorithm}, seed {seed}", unit="step") as progress:
        for n_steps in np.diff(steps, prepend=0).tolist():
            if n_steps > 0:
                start = time.process_time()  # training alone, without the evaluations
                model.learn(n_steps, reset_num_timesteps=False)
                seconds += time.process_time() - start
            mean_return, _ = evaluate_policy(model, eval_env, EPISODES)
            curve["steps"].append(model.num_timesteps)
            curve["seconds"].append(seconds)
            curve["returns"].append(float(mean_return))
            progress.update(n_steps)
            progress.set_postfix_str(f"return {mean_return:.1f}")
    return curve


def draw(axes: Any, curves: list[dict[str, list[float]]], label: str, color: str) -> None:
    """Interquartile means with bootstrapped 95 % confidence bands, over steps and over time."""
    returns = np.array([curve["returns"] for curve in curves])[:, np.newaxis]

    def interquartile_means(scores: np.ndarray) -> np.ndarray:
        return np.array([metrics.aggregate_iqm(scores[..., i]) for i in range(scores.shape[-1])])

    points, intervals = library.get_interval_estimates({label: returns}, interquartile_means, reps=2000)
    steps = np.mean([curve["steps"] for curve in curves], axis=0)
    minutes = np.mean([curve["seconds"] for curve in curves], axis=0) / 60
    for ax, x in zip(axes, (steps, minutes), strict=True):
        ax.plot(x, points[label], color=color, label=f"{label} ({len(curves)} runs)")
        ax.fill_between(x, *intervals[label], color=color, alpha=0.2, linewidth=0)
        ax.grid(alpha=0.3)


parser = argparse.ArgumentParser(
    description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
)
parser.add_argument(
    "--tasks", choices=TASKS, nargs="+", default=["pendulum"], help="environments and how to learn them"
)
parser.add_argument("--timesteps", type=int, help="environment steps of each run, if not the task's own number")
parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one run of each algorithm for each")
parser.add_argument("--output", type=Path, default=Path("runs/learning_curve"), help="folder for JSON and PNG")
args = parser.parse_args()
args.output.mkdir(parents=True, exist_ok=True)
json_path, png_path = args.output / "learning_curve.json", args.output / "learning_curve.png"
th.set_num_threads(1)

# By task, algorithm and seed; runs of another length can't share a picture with these.
results: dict[str, dict[str, dict[str, Any]]] = json.loads(json_path.read_text()) if json_path.exists() else {}
for seed in args.seeds:
    for name in args.tasks:
        timesteps = args.timesteps or TASKS[name].timesteps
        for algorithm in ALGORITHMS:
            curves = results.setdefault(name, {}).setdefault(algorithm, {})
            if str(seed) not in curves:
                curves[str(seed)] = run(algorithm, TASKS[name], seed, timesteps)
                # Renamed when complete, so that an interrupt leaves either the old file or the new one.
                new_path = json_path.with_suffix(".new")
                new_path.write_text(json.dumps(results, indent=1))
                new_path.replace(json_path)
            elif curves[str(seed)]["steps"][-1] < timesteps:
                parser.error(f"{json_path} holds shorter runs of {name}; choose another --output")

figure, rows = plt.subplots(len(results), 2, figsize=(10, 3.2 * len(results)), layout="constrained", squeeze=False)
for (name, algorithms), axes in zip(results.items(), rows, strict=True):
    for (algorithm, curves), color in zip(algorithms.items(), ("tab:orange", "tab:gray"), strict=True):
        draw(axes, [*curves.values()], algorithm, color)
    axes[0].set(xlabel="environment steps", ylabel=f"return in {TASKS[name].env}")
    axes[1].set(xlabel="minutes of training (processor time, one thread)")
    axes[0].legend()
figure.savefig(png_path, dpi=120)
print(f"Wrote {json_path} and {png_path}")
