"""Tune SAC with Optuna: one kernel serves all trials, as hyperparameters are arguments of its calls.

Run with: python examples/optuna_sweep.py
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import gymnasium as gym
import optuna
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from sb3_tinyrl import TinySAC

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--env", default="Pendulum-v1", help="environment id (default: Pendulum-v1)")
parser.add_argument("--trials", type=int, default=10, help="trials of the sweep (default: 10)")
parser.add_argument("--timesteps", type=int, default=2_000, help="environment steps of each (default: 2000)")
parser.add_argument("--net-arch", type=int, nargs="+", default=[64, 64], help="hidden layers (default: 64 64)")
args = parser.parse_args()

# An empty cache shows what is compiled; sweeps of your own are better off with the usual one.
folder = tempfile.TemporaryDirectory()
cache = Path(os.environ.setdefault("SB3_TINYRL_CACHE_DIR", folder.name))


def objective(trial: optuna.Trial) -> float:
    """Mean return after training with the trial's hyperparameters; says what the trial cost."""
    kernels, start = len([*cache.glob("*.so")]), time.perf_counter()
    train_freq = trial.suggest_categorical("train_freq", [1, 4, 16])
    model = TinySAC(
        "MlpPolicy",
        args.env,
        learning_rate=trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
        gamma=1 - trial.suggest_float("one_minus_gamma", 1e-3, 0.1, log=True),
        tau=trial.suggest_float("tau", 1e-3, 0.1, log=True),
        train_freq=train_freq,
        gradient_steps=train_freq,
        policy_kwargs={"net_arch": args.net_arch},
        seed=trial.number,
    )
    model.learn(args.timesteps)
    mean_return, _ = evaluate_policy(model, Monitor(gym.make(args.env)), n_eval_episodes=5)
    compiled = len([*cache.glob("*.so")]) - kernels
    seconds = time.perf_counter() - start
    print(f"trial {trial.number}: return {mean_return:.0f}, kernels compiled: {compiled}, {seconds:.1f} s")
    return mean_return


optuna.logging.set_verbosity(optuna.logging.WARNING)
study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
study.optimize(objective, n_trials=args.trials)
print(f"best return {study.best_value:.0f} with", *(f"{name}={value:.3g}" for name, value in study.best_params.items()))
