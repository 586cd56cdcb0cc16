"""Tune SAC with Ray Tune, on one machine or many: bad trials end early, lost ones go on from their checkpoints.

Run with: python examples/ray_tune_sweep.py

On a cluster, from any of its machines: python examples/ray_tune_sweep.py --address auto --output /shared/ray_tune_sweep

An interrupted sweep goes on with the same command. Needs the extra "sweep".
"""

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import ray
import torch as th
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from sb3_tinyrl import TinySAC

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--address", help="of a running Ray cluster, or auto; by default a new one on this machine")
parser.add_argument("--env", default="Pendulum-v1", help="environment id (default: Pendulum-v1)")
parser.add_argument("--trials", type=int, default=20, help="trials of the sweep (default: 20)")
parser.add_argument("--timesteps", type=int, default=9_000, help="environment steps of the longest (default: 9000)")
parser.add_argument("--rungs", type=int, default=9, help="evaluations in them, where trials may end (default: 9)")
parser.add_argument("--net-arch", type=int, nargs="+", default=[64, 64], help="hidden layers (default: 64 64)")
parser.add_argument(
    "--output", type=Path, default=Path("runs/ray_tune_sweep"), help="folder for checkpoints, which all machines share"
)
args = parser.parse_args()


def new_model(hyperparameters: dict[str, Any]) -> TinySAC:
    """One thread each: the cores have other trials to run. All of these hyperparameters share one kernel."""
    return TinySAC(
        "MlpPolicy",
        args.env,
        learning_rate=hyperparameters["learning_rate"],
        gamma=1 - hyperparameters["one_minus_gamma"],
        tau=hyperparameters["tau"],
        train_freq=hyperparameters["train_freq"],
        gradient_steps=hyperparameters["train_freq"],
        buffer_size=args.timesteps,  # checkpoints hold the whole buffer
        policy_kwargs={"net_arch": args.net_arch},
        seed=hyperparameters["seed"],
        n_threads=1,
    )


def train(hyperparameters: dict[str, Any]) -> None:
    """One trial, in a process that Ray starts on one of its machines."""
    th.set_num_threads(1)
    if checkpoint := tune.get_checkpoint():  # of this trial, whose process or machine was lost, or whose sweep went on
        with checkpoint.as_directory() as folder:
            model = TinySAC.load(Path(folder, "model.zip"), env=gym.make(args.env))
            model.load_replay_buffer(Path(folder, "buffer.pkl"))
        print(f"trial {tune.get_context().get_trial_id()} goes on from step {model.num_timesteps}")
    else:
        model = new_model(hyperparameters)
    env = Monitor(gym.make(args.env))
    while model.num_timesteps < args.timesteps:
        model.learn(args.timesteps // args.rungs, reset_num_timesteps=False)
        mean_return, _ = evaluate_policy(model, env, n_eval_episodes=5)
        with tempfile.TemporaryDirectory() as folder:
            model.save(Path(folder, "model.zip"))
            model.save_replay_buffer(Path(folder, "buffer.pkl"))
            tune.report(
                {"mean_return": mean_return, "timesteps": model.num_timesteps, "process": os.getpid()},
                checkpoint=tune.Checkpoint.from_directory(folder),
            )


ray.init(address=args.address)
path = args.output.absolute()
if tune.Tuner.can_restore(path):
    tuner = tune.Tuner.restore(str(path), train, resume_errored=True)
else:
    tuner = tune.Tuner(
        train,  # by default, a trial occupies one core
        param_space={
            "learning_rate": tune.loguniform(1e-4, 1e-2),
            "one_minus_gamma": tune.loguniform(1e-3, 0.1),
            "tau": tune.loguniform(1e-3, 0.1),
            "train_freq": tune.choice([1, 4, 16]),
            "seed": tune.randint(0, 2**31),
        },
        tune_config=tune.TuneConfig(
            metric="mean_return",
            mode="max",
            num_samples=args.trials,
            scheduler=ASHAScheduler(
                time_attr="timesteps",
                max_t=args.timesteps,
                grace_period=args.timesteps // args.rungs,
                reduction_factor=3,
            ),
        ),
        run_config=tune.RunConfig(
            name=path.name,
            storage_path=str(path.parent),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=2),
            failure_config=tune.FailureConfig(max_failures=3),
            verbose=1,
        ),
    )
results = tuner.fit()
for result in results:
    print(f"return {result.metrics['mean_return']:.0f} after {result.metrics['timesteps']} steps: {result.path}")
best = results.get_best_result()
print(f"best return {best.metrics['mean_return']:.0f} with", best.config)
ray.shutdown()
