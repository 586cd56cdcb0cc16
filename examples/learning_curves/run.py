"""Runs of TinySAC and of Stable-Baselines3's SAC with equal settings, seeds and numbers of steps.

Run with: python examples/learning_curves/run.py --tasks pendulum mountain_car --seeds 0 1 2 3 4

It can be stopped at any moment, by Ctrl-C or for good: the same command goes on at the last evaluation of the run that
was under way. Several of these commands share the work, since each takes the runs that no other one holds. A finished
run is a small JSON file; `report.py` makes table and pictures of them. Needs the extra "zoo" for Box2D and MuJoCo.
"""

import argparse
import copy
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch as th
from filelock import FileLock, Timeout
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from tasks import ALGORITHMS, TASKS, Task
from tqdm import tqdm

EVALUATIONS, EPISODES, FINAL_EPISODES = 20, 5, 50


def settings_of(task: Task) -> dict[str, Any]:
    """What a run depends on, as JSON keeps it: a file of other settings is no part of the same comparison."""
    settings = {"env": task.env, "timesteps": task.timesteps, **task.settings}
    return dict(json.loads(json.dumps(settings, default=repr)))


class Curve(BaseCallback):
    """Evaluates the policy at regular numbers of steps, and keeps what is needed to go on from there.

    :param task: what is learned
    :param seed: of the evaluations
    :param folder: holds one checkpoint at a time
    :param points: those of an earlier part of this run
    """

    def __init__(self, task: Task, seed: int, folder: Path, points: dict[str, list[float]]) -> None:
        super().__init__()
        self.points, self.folder = points, folder
        self.interval = max(task.timesteps // EVALUATIONS, 1)
        self.eval_env = Monitor(gym.make(task.env))
        self.eval_env.reset(seed=1000 + seed)

    def _on_training_start(self) -> None:
        if not self.points["steps"]:
            self.points["seconds"].append(0.0)
            self._evaluate()
        self._started = time.process_time()

    def _on_step(self) -> bool:
        if self.num_timesteps >= self.points["steps"][-1] + self.interval:
            # Training alone, and processor time, which other programs do not lengthen much.
            seconds = self.points["seconds"][-1] + time.process_time() - self._started
            self.points["seconds"].append(round(seconds, 2))
            self._evaluate()
            self._keep()
            self._started = time.process_time()
        return True

    def _evaluate(self) -> None:
        mean_return, _ = evaluate_policy(self.model, self.eval_env, EPISODES)
        self.points["steps"].append(self.num_timesteps)
        self.points["returns"].append(round(float(mean_return), 3))

    def _keep(self) -> None:
        """The folder appears under its name when all of it is written; only then the one before goes."""
        before = [*self.folder.glob("steps_*")]
        unfinished = Path(tempfile.mkdtemp(prefix="unfinished_", dir=self.folder))
        self.model.save(unfinished / "model.zip")
        assert isinstance(self.model, SAC)
        self.model.save_replay_buffer(unfinished / "replay_buffer.pkl")
        (unfinished / "points.json").write_text(json.dumps(self.points))
        unfinished.rename(self.folder / f"steps_{self.num_timesteps}")
        for path in before:
            shutil.rmtree(path)


class Progress(BaseCallback):
    """A bar for the run."""

    def __init__(self, bar: Any, points: dict[str, list[float]]) -> None:
        super().__init__()
        self.bar, self.points = bar, points

    def _on_step(self) -> bool:
        self.bar.update(self.num_timesteps - self.bar.n)
        self.bar.set_postfix_str(f"return {self.points['returns'][-1]:.1f}", refresh=False)
        return True


def run(algorithm: str, task: Task, seed: int, folder: Path) -> dict[str, Any]:
    """Train once, from the checkpoint in the folder if there is one.

    :return: the evaluations, and the returns of the last policy's episodes
    """
    cls, arguments = ALGORITHMS[algorithm]
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("unfinished_*"):
        shutil.rmtree(path)
    # A buffer for all steps of the run learns what a larger one does.
    settings = {"buffer_size": task.timesteps, **copy.deepcopy(task.settings), **arguments}  # SAC writes into them
    points: dict[str, list[float]] = {"steps": [], "seconds": [], "returns": []}
    checkpoint = max(folder.glob("steps_*"), key=lambda path: int(path.name.removeprefix("steps_")), default=None)
    if checkpoint is None:
        model = cls("MlpPolicy", task.env, seed=seed, device="cpu", **settings)
    else:
        points = json.loads((checkpoint / "points.json").read_text())
        model = cls.load(checkpoint / "model.zip", env=gym.make(task.env), device="cpu", **arguments)
        model.load_replay_buffer(checkpoint / "replay_buffer.pkl")
        model.set_random_seed(seed + model.num_timesteps)  # not the numbers of the run's beginning once more
    curve = Curve(task, seed, folder, points)
    with tqdm(total=task.timesteps, desc=f"{task.env}, {algorithm}, seed {seed}", unit="step") as bar:
        remaining = task.timesteps - model.num_timesteps
        model.learn(remaining, callback=[curve, Progress(bar, points)], reset_num_timesteps=False)
    returns, _ = evaluate_policy(model, curve.eval_env, FINAL_EPISODES, return_episode_rewards=True)
    return {"settings": settings_of(task), **points, "final_returns": [round(value, 2) for value in returns]}


def main() -> None:
    """Take the runs that are missing, one after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--tasks", choices=TASKS, nargs="+", default=[*TASKS], help="what to learn")
    parser.add_argument("--seeds", type=int, nargs="+", default=[*range(5)], help="one run of each algorithm for each")
    parser.add_argument("--timesteps", type=int, help="steps of each run, if not the task's own number")
    parser.add_argument(
        "--output", type=Path, default=Path("runs/learning_curves"), help="folder for the finished runs"
    )
    parser.add_argument(
        "--checkpoints", type=Path, default=Path("runs/checkpoints"), help="folder for those that are under way"
    )
    args = parser.parse_args()
    th.set_num_threads(1)

    for name in args.tasks:
        task = TASKS[name]
        if args.timesteps is not None:
            task = Task(task.env, args.timesteps, task.settings, task.published)
        for seed in args.seeds:
            for algorithm in ALGORITHMS:
                path = args.output / name / f"{algorithm}_{seed}.json"
                folder = args.checkpoints / str(task.timesteps) / name / f"{algorithm}_{seed}"
                folder.parent.mkdir(parents=True, exist_ok=True)
                try:
                    with FileLock(folder.with_suffix(".lock"), timeout=0):
                        if not path.exists():
                            result = run(algorithm, task, seed, folder)
                            path.parent.mkdir(parents=True, exist_ok=True)
                            new_path = path.with_suffix(".new")
                            new_path.write_text(json.dumps(result) + "\n")
                            new_path.replace(path)
                            shutil.rmtree(folder)
                        elif json.loads(path.read_text())["settings"] != settings_of(task):
                            parser.error(f"{path} is a run of other settings or length; choose another --output")
                except Timeout:
                    print(f"{name}, {algorithm}, seed {seed}: another command works at it")


if __name__ == "__main__":
    main()
