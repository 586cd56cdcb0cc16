"""Learning curves of TinySAC and of Stable-Baselines3's SAC with equal budgets.

Run with: python examples/learning_curve.py --env HalfCheetah-v5 --timesteps 100000 --seeds 0 1 2

An interrupted comparison can be resumed with the same command: finished runs are read from the JSON file.
"""

import argparse
import json
import time
from pathlib import Path

import gymnasium as gym
import matplotlib
import numpy as np
import torch as th
from stable_baselines3 import SAC
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from tqdm import tqdm

from sb3_tinyrl import TinySAC

matplotlib.use("Agg")  # draws into files, so no display is needed
import matplotlib.pyplot as plt

parser = argparse.ArgumentParser(
    description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
)
parser.add_argument("--env", default="HalfCheetah-v5", help="id of a Gymnasium environment")
parser.add_argument("--timesteps", type=int, default=100_000, help="environment steps of each run")
parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one run of each algorithm for each")
parser.add_argument("--evaluations", type=int, default=20, help="evaluations in each run, evenly spaced")
parser.add_argument("--episodes", type=int, default=5, help="episodes in each evaluation")
parser.add_argument("--threads", type=int, default=th.get_num_threads(), help="threads of each algorithm")
parser.add_argument("--output", type=Path, default=Path("runs/learning_curve"), help="folder for JSON and PNG")
args = parser.parse_args()
args.output.mkdir(parents=True, exist_ok=True)
json_path, png_path = args.output / "learning_curve.json", args.output / "learning_curve.png"
th.set_num_threads(args.threads)

# What has been measured already; runs of another budget can't share a picture with these.
budget = {name: getattr(args, name) for name in ("env", "timesteps", "evaluations", "episodes", "threads")}
results = {"budget": budget, "runs": {}}
if json_path.exists():
    results = json.loads(json_path.read_text())
    if results["budget"] != budget:
        parser.error(f"{json_path} holds runs with {results['budget']}, not {budget}; choose another --output")

algorithms = {"TinySAC": (TinySAC, {"kernel": "native", "n_threads": args.threads}), "SAC (SB3)": (SAC, {})}
evaluation_steps = np.linspace(0, args.timesteps, args.evaluations + 1).astype(int)

for seed in args.seeds:
    for name, (algorithm, arguments) in algorithms.items():
        run_id = f"{name}, seed {seed}"
        if run_id in results["runs"]:
            print(f"{run_id}: done before")
            continue
        model = algorithm("MlpPolicy", args.env, seed=seed, device="cpu", **arguments)
        eval_env = Monitor(gym.make(args.env))
        eval_env.reset(seed=1000 + seed)
        curve = {"steps": [], "seconds": [], "returns": []}
        seconds = 0.0
        with tqdm(total=args.timesteps, desc=run_id, unit="step") as progress:
            for n_steps in np.diff(evaluation_steps, prepend=0).tolist():
                if n_steps > 0:
                    start = time.perf_counter()  # training alone, without the evaluations
                    model.learn(n_steps, reset_num_timesteps=False)
                    seconds += time.perf_counter() - start
                mean_return, _ = evaluate_policy(model, eval_env, args.episodes)
                curve["steps"].append(model.num_timesteps)
                curve["seconds"].append(seconds)
                curve["returns"].append(mean_return)
                progress.update(n_steps)
                progress.set_postfix_str(f"return {mean_return:.1f}")
        results["runs"][run_id] = {"algorithm": name, "seed": seed, **curve}
        # Renamed when complete, so that an interrupt leaves either the old file or the new one.
        new_path = json_path.with_suffix(".new")
        new_path.write_text(json.dumps(results, indent=1))
        new_path.replace(json_path)

# Two pictures of the same runs: equal budgets of steps, and what they cost.
figure, (over_steps, over_time) = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
for name, color in zip(algorithms, ("tab:orange", "tab:gray"), strict=True):
    runs = [run for run in results["runs"].values() if run["algorithm"] == name]
    steps = np.mean([run["steps"] for run in runs], axis=0)
    minutes = np.mean([run["seconds"] for run in runs], axis=0) / 60
    returns = np.array([run["returns"] for run in runs])
    for axes, x in ((over_steps, steps), (over_time, minutes)):
        axes.plot(x, returns.mean(axis=0), color=color, label=name)
        axes.fill_between(x, returns.min(axis=0), returns.max(axis=0), color=color, alpha=0.2, linewidth=0)
n_seeds = len(results["runs"]) // len(algorithms)
over_steps.set(xlabel="environment steps", ylabel=f"mean return of {args.episodes} episodes")
over_time.set(xlabel=f"minutes of training (threads: {args.threads})")
over_steps.legend()
for axes in (over_steps, over_time):
    axes.grid(alpha=0.3)
figure.suptitle(f"{args.env}: mean and range over seeds (runs of each: {n_seeds})")
figure.savefig(png_path, dpi=150)
print(f"Wrote {json_path} and {png_path}")
