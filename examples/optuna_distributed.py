"""Tune SAC with Optuna in many processes: one study, one kernel; what a killed process was at, another one finishes.

Run with: python examples/optuna_distributed.py --workers 2

On many machines, run the same command on each, with a folder that all of them share: --output /shared/sweep. A database
may hold the study in place of a file there: --storage postgresql://... Needs the extra "sweep".
"""

import argparse
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import gymnasium as gym
import optuna
import torch as th
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from sb3_tinyrl import TinySAC

# Attributes of a trial: which process runs it, its last sign of life, the number of the lost trial that it continues.
WORKER, SEEN, CONTINUES = "worker", "seen", "continues"
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--workers", type=int, default=1, help="processes on this machine, one core each (default: 1)")
parser.add_argument("--env", default="Pendulum-v1", help="environment id (default: Pendulum-v1)")
parser.add_argument("--trials", type=int, default=20, help="trials of the whole study (default: 20)")
parser.add_argument("--timesteps", type=int, default=9_000, help="environment steps of the longest (default: 9000)")
parser.add_argument("--rungs", type=int, default=9, help="evaluations in them, where trials may end (default: 9)")
parser.add_argument("--net-arch", type=int, nargs="+", default=[64, 64], help="hidden layers (default: 64 64)")
parser.add_argument(
    "--output", type=Path, default=Path("runs/optuna_distributed"), help="folder for checkpoints, which all share"
)
parser.add_argument("--storage", help="URL of a database (default: the file journal.log in the folder)")
parser.add_argument(
    "--patience", type=float, default=600, help="seconds from rung to rung after which a trial is lost (default: 600)"
)
args = parser.parse_args()


def storage() -> str | BaseStorage:
    """A journal needs no server, and file systems of a network can hold it; hundreds of workers need a database."""
    path = str(args.output / "journal.log")
    return args.storage or JournalStorage(JournalFileBackend(path, lock_obj=JournalFileOpenLock(path)))


def model_of(trial: optuna.Trial) -> TinySAC:
    """A new model, or that of the lost trial which this one continues. One thread each: the cores have other trials."""
    train_freq = trial.suggest_categorical("train_freq", [1, 4, 16])
    arguments = {
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
        "gamma": 1 - trial.suggest_float("one_minus_gamma", 1e-3, 0.1, log=True),
        "tau": trial.suggest_float("tau", 1e-3, 0.1, log=True),
        "train_freq": train_freq,
        "gradient_steps": train_freq,
        "buffer_size": args.timesteps,  # checkpoints hold the whole buffer
        "policy_kwargs": {"net_arch": args.net_arch},
        "seed": trial.number,
        "n_threads": 1,
    }
    lost = trial.user_attrs.get(CONTINUES)
    folder = args.output / str(lost)
    if lost is None or not (folder / "buffer.pkl").exists():  # which is written last
        return TinySAC("MlpPolicy", args.env, **arguments)
    model = TinySAC.load(folder / "model.zip", env=gym.make(args.env))
    model.load_replay_buffer(folder / "buffer.pkl")
    print(f"trial {trial.number} goes on with trial {lost} from step {model.num_timesteps}", flush=True)
    return model


def objective(trial: optuna.Trial) -> float:
    """Mean return after training with the trial's hyperparameters; a bad one is pruned at one of its rungs."""
    trial.set_user_attr(WORKER, f"{socket.gethostname()} {os.getpid()}")
    trial.set_user_attr(SEEN, time.time())
    model = model_of(trial)
    env = Monitor(gym.make(args.env))
    folder = args.output / str(trial.number)
    folder.mkdir(exist_ok=True)
    while True:
        if model.num_timesteps < args.timesteps:  # else the lost trial lacked its last evaluation alone
            model.learn(args.timesteps // args.rungs, reset_num_timesteps=False)
        mean_return, _ = evaluate_policy(model, env, n_eval_episodes=5)
        model.save(folder / "model.zip")
        model.save_replay_buffer(folder / "buffer.pkl")
        trial.set_user_attr(SEEN, time.time())
        trial.report(mean_return, round(args.rungs * model.num_timesteps / args.timesteps))
        if model.num_timesteps >= args.timesteps:
            return mean_return
        if trial.should_prune():
            raise optuna.TrialPruned


def n_finished(study: optuna.Study) -> int:
    """How many trials count towards those that were asked for."""
    return len(study.get_trials(deepcopy=False, states=FINISHED))


def give_back(study: optuna.Study, trial: FrozenTrial) -> None:
    """End a trial that can't go on here, and queue it again, once: one that kills its process shall not kill all."""
    try:
        study.tell(trial.number, state=TrialState.FAIL)
    except (ValueError, UpdateFinishedTrialError):
        return  # another worker was quicker
    if CONTINUES not in trial.user_attrs:
        study.enqueue_trial(trial.params, user_attrs={CONTINUES: trial.number})


def give_back_lost_trials(study: optuna.Study) -> None:
    """See which trials have shown no sign of life for too long."""
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        if time.time() - trial.user_attrs.get(SEEN, time.time()) > args.patience:
            give_back(study, trial)


def work(study: optuna.Study) -> None:
    """Run trials until enough are finished, whichever workers have run them."""
    while n_finished(study) < args.trials:
        give_back_lost_trials(study)
        trial = study.ask()
        try:
            finished = study.tell(trial, objective(trial))
        except optuna.TrialPruned:
            finished = study.tell(trial, state=TrialState.PRUNED)
        except KeyboardInterrupt:
            give_back(study, study.trials[trial.number])
            raise
        except UpdateFinishedTrialError:
            print(f"trial {trial.number} was taken for lost; --patience has to be longer than a rung takes")
            continue
        except Exception:
            study.tell(trial, state=TrialState.FAIL)
            raise
        print(f"trial {trial.number}: {finished.state.name.lower()}, return {finished.value}", flush=True)


args.output.mkdir(parents=True, exist_ok=True)
th.set_num_threads(1)
study = optuna.create_study(
    study_name=args.env,
    storage=storage(),
    load_if_exists=True,
    direction="maximize",
    sampler=optuna.samplers.TPESampler(constant_liar=True),  # so that no worker tries what another one is at
    pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),
)
if args.workers == 1:
    work(study)
else:
    command = [sys.executable, __file__, *sys.argv[1:], "--workers", "1"]
    workers = [subprocess.Popen(command) for _ in range(args.workers)]
    for worker in workers:
        if worker.wait() != 0:
            print(f"worker {worker.pid} ended with status {worker.returncode}")
    if n_finished(study) < args.trials:
        raise SystemExit("no worker is left; the same command goes on with the study")
    if study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]):
        print(f"best return {study.best_value:.0f} with", study.best_params)
    else:
        print(f"all of {n_finished(study)} trials were pruned; the same command with more --trials goes on")
