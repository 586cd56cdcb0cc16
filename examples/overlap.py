"""Training beside the simulator: what ``overlap=True`` gains for environments of several speeds, and that it learns.

Run with: python examples/overlap.py

Tables, numbers and a picture go to runs/overlap, or where --output says.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from stable_baselines3.common.evaluation import evaluate_policy
from tqdm import tqdm

from sb3_tinyrl import TinySAC
from sb3_tinyrl.bench.machine import describe_machine
from sb3_tinyrl.bench.report import Report, where

N_STEPS = 200
N_ROUNDS = 5
EVALUATION_INTERVAL = 1000
COLORS = {"in order": "tab:gray", "overlapped": "tab:blue"}


class Slow(gym.Wrapper):
    """An environment that waits, as a robot or a simulator in another process does."""

    def __init__(self, seconds: float) -> None:
        super().__init__(gym.make("Pendulum-v1"))
        self.seconds = seconds

    def step(self, action: Any) -> Any:
        """Wait, then take the step."""
        if self.seconds:
            time.sleep(self.seconds)
        return super().step(action)


@dataclass
class Simulator:
    """What a step of `learn` takes with an environment, milliseconds, medians over the rounds.

    :param name: of the environment
    :param environment: its step and all around it, without gradient steps
    :param in_order: with a gradient step after it
    :param overlapped: with a gradient step beside it
    """

    name: str
    environment: float
    in_order: float
    overlapped: float

    @property
    def update(self) -> float:
        """What the gradient step adds."""
        return self.in_order - self.environment

    @property
    def bound(self) -> float:
        """The longer of the two parts."""
        return max(self.environment, self.update)


def milliseconds(model: TinySAC, gradient_steps: int = 1) -> float:
    """Return how long a step of ``learn`` takes; without gradient steps, its environment's step and all around it."""
    model.gradient_steps = gradient_steps
    start = time.perf_counter()
    model.learn(N_STEPS, reset_num_timesteps=False)
    return (time.perf_counter() - start) / N_STEPS * 1e3


def compare(name: str, make: Callable[[], gym.Env[Any, Any]]) -> Simulator:
    """Measure a step in order, overlapped and without gradient steps in turn."""
    in_order, overlapped = (TinySAC("MlpPolicy", make(), n_threads=1, overlap=o, seed=0) for o in (False, True))
    for model in (in_order, overlapped):
        model.learn(N_STEPS)  # compiles, and fills the caches
    rounds = [
        (milliseconds(in_order, gradient_steps=0), milliseconds(in_order), milliseconds(overlapped))
        for _ in range(N_ROUNDS)
    ]
    return Simulator(name, *np.median(rounds, axis=0).tolist())


def curve(overlap: bool, seed: int, n_steps: int) -> list[float]:
    """Return the mean return of five episodes after each thousand steps of a run."""
    model = TinySAC(
        "MlpPolicy", "Pendulum-v1", learning_rate=1e-3, policy_kwargs={"net_arch": [64, 64]},
        batch_size=100, n_threads=1, overlap=overlap, seed=seed,
    )  # fmt: skip
    env = gym.make("Pendulum-v1")
    env.reset(seed=1000 + seed)
    returns = []
    for _ in range(n_steps // EVALUATION_INTERVAL):
        model.learn(EVALUATION_INTERVAL, reset_num_timesteps=False)
        returns.append(float(np.mean(evaluate_policy(model, env, n_eval_episodes=5, warn=False)[0])))
    return returns


def draw(figure: Figure, simulators: list[Simulator], curves: dict[str, list[list[float]]]) -> None:
    """Draw what a step takes on the left, and learning curves on the right."""
    figure.set_size_inches(10, 0.7 * len(simulators) + 1.8)
    bars, lines = figure.subplots(1, 2)
    positions = np.arange(len(simulators))
    bounds = [simulator.bound for simulator in simulators]
    for shift, (label, color) in zip((-0.2, 0.2), COLORS.items(), strict=True):
        values = [getattr(simulator, label.replace(" ", "_")) for simulator in simulators]
        bars.barh(positions + shift, values, 0.38, color=color, label=label)
        returns = np.array(curves[label])
        steps = EVALUATION_INTERVAL * np.arange(1, returns.shape[1] + 1)
        low, median, high = np.quantile(returns, [0.25, 0.5, 0.75], axis=0)
        lines.plot(steps, median, color=color, label=label)
        lines.fill_between(steps, low, high, color=color, alpha=0.25, linewidth=0)
    bars.scatter(bounds, positions + 0.2, marker="|", s=200, color="black", zorder=3, label="the longer part alone")
    bars.set_yticks(positions, [simulator.name for simulator in simulators])
    bars.invert_yaxis()
    bars.set_xlabel("ms a step")
    bars.legend(frameon=False)
    lines.set_title("Pendulum-v1", fontsize="medium")
    lines.set_xlabel("environment steps")
    lines.set_ylabel("mean return")
    lines.legend(frameon=False, loc="lower right")


def report(simulators: list[Simulator], curves: dict[str, list[list[float]]], command: str) -> Report:
    """Return tables and picture."""
    machine: dict[str, Any] = describe_machine()
    header = ["environment", "its step, ms", "update, ms", "in order, ms", "overlapped, ms", "gain", "of the bound"]
    rows = [
        [
            *(s.name, f"{s.environment:.2f}", f"{s.update:.2f}", f"{s.in_order:.2f}", f"{s.overlapped:.2f}"),
            *(f"{s.in_order / s.overlapped:.2f}x", f"{s.bound / s.overlapped:.0%}"),
        ]
        for s in simulators
    ]
    ends = {label: [run[-1] for run in runs] for label, runs in curves.items()}
    learned = [
        [label, *(f"{value:.0f}" for value in np.quantile(values, [0.5, 0, 1])), str(len(values))]
        for label, values in ends.items()
    ]
    return Report(
        name="overlap",
        command=command,
        content={
            "command": command,
            "machine": machine,
            "simulators": [asdict(simulator) for simulator in simulators],
            "evaluation_interval": EVALUATION_INTERVAL,
            "curves": curves,
        },
        tables=[
            ("A step of learn, networks of 256 units, batch 256", [header, *rows]),
            ("Pendulum-v1, return at the end", [["", "median", "lowest", "highest", "seeds"], *learned]),
        ],
        failures={},
        footnote=(
            f"Medians over alternating rounds ({N_ROUNDS} of {N_STEPS} steps), one thread for the update. The bound is "
            "the longer of the environment's step and the update. "
            f"{where(machine, 2)} Instruction sets: {', '.join(machine['instruction_sets'])}."
        ),
        draw=lambda figure: draw(figure, simulators, curves),
    )


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--milliseconds", type=float, nargs="*", default=[0, 0.2, 1, 5], help="that a pendulum sleeps")
parser.add_argument("--envs", nargs="*", default=[], help="other environments, such as HalfCheetah-v5")
parser.add_argument("--seeds", type=int, default=10, help="runs of each kind")
parser.add_argument("--timesteps", type=int, default=6000, help=f"of each run, a multiple of {EVALUATION_INTERVAL}")
parser.add_argument("--output", type=Path, default=Path("runs/overlap"), help="folder for the results")

if __name__ == "__main__":
    args = parser.parse_args()
    if args.seeds < 1 or args.timesteps < 1 or args.timesteps % EVALUATION_INTERVAL:
        parser.error(f"expected at least one of --seeds, and --timesteps as a multiple of {EVALUATION_INTERVAL}")
    environments: dict[str, Callable[[], gym.Env[Any, Any]]] = {
        f"pendulum, {delay:g} ms asleep": lambda delay=delay: Slow(delay / 1e3) for delay in args.milliseconds
    }
    environments |= {name: lambda name=name: gym.make(name) for name in args.envs}
    runs = [(label, seed) for seed in range(args.seeds) for label in COLORS]
    curves: dict[str, list[list[float]]] = {label: [] for label in COLORS}
    with tqdm(total=len(environments) + len(runs)) as bar:
        simulators = []
        for name, make in environments.items():
            bar.set_description(name)
            simulators.append(compare(name, make))
            bar.update()
        for label, seed in runs:
            bar.set_description(f"learning {label}, seed {seed}")
            curves[label].append(curve(label == "overlapped", seed, args.timesteps))
            bar.update()
    results = report(simulators, curves, shlex.join(["python", "examples/overlap.py", *sys.argv[1:]]))
    results.show(Console())
    args.output.mkdir(parents=True, exist_ok=True)
    results.write(args.output)
    print(f"Wrote {', '.join(results.files)} to {args.output}")
