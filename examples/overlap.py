"""Training beside the simulator: what ``overlap=True`` gains for environments of several speeds, and that it learns.

Run with: python examples/overlap.py
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy

from sb3_tinyrl import TinySAC

N_STEPS = 200
N_ROUNDS = 5


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


class CollectOnly(BaseCallback):
    """Turns gradient steps off: what is left is the environment's step and all around it."""

    def _on_training_start(self) -> None:
        self.model.gradient_steps = 0

    def _on_step(self) -> bool:
        return True


def milliseconds(model: TinySAC, callback: BaseCallback | None = None) -> float:
    """Return how long a step of ``learn`` takes."""
    start = time.perf_counter()
    model.learn(N_STEPS, callback, reset_num_timesteps=False)
    model.gradient_steps = 1
    return (time.perf_counter() - start) / N_STEPS * 1e3


def compare(seconds: float) -> None:
    """Print what a step takes in order and overlapped, alternating, beside the longer of its two parts."""
    in_order, overlapped = (TinySAC("MlpPolicy", Slow(seconds), n_threads=1, overlap=o, seed=0) for o in (False, True))
    for model in (in_order, overlapped):
        model.learn(N_STEPS)  # compiles, and fills the caches
    rounds = []
    for _ in range(N_ROUNDS):
        alone = milliseconds(in_order, CollectOnly())
        rounds.append((milliseconds(in_order), milliseconds(overlapped), alone))
    one, other, environment = np.median(rounds, axis=0)
    bound = max(environment, one - environment)
    print(
        f"{seconds * 1e3:4.1f} ms asleep: {one:6.2f} ms a step in order, {other:6.2f} overlapped "
        f"(environment {environment:.2f}, update {one - environment:.2f}): {one / other:.2f}x, "
        f"{bound / other:.0%} of the bound",
        flush=True,
    )


def final_returns(overlap: bool, n_seeds: int, n_steps: int) -> np.ndarray:
    """Return what the trained policies reach, one mean of ten episodes for each seed."""
    returns = []
    for seed in range(n_seeds):
        model = TinySAC(
            "MlpPolicy", "Pendulum-v1", learning_rate=1e-3, policy_kwargs={"net_arch": [64, 64]},
            batch_size=100, overlap=overlap, seed=seed,
        )  # fmt: skip
        model.learn(n_steps)
        env = model.get_env()
        assert env is not None
        env.seed(1000)
        returns.append(np.mean(evaluate_policy(model, env, n_eval_episodes=10)[0]))
    return np.array(returns)


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--milliseconds", type=float, nargs="*", default=[0, 0.2, 1, 5], help="that environments sleep")
parser.add_argument("--seeds", type=int, default=10, help="runs of each kind")
parser.add_argument("--timesteps", type=int, default=6000, help="of each run")

if __name__ == "__main__":
    args = parser.parse_args()
    for delay in args.milliseconds:
        compare(delay / 1e3)
    for overlap in (False, True):
        returns = final_returns(overlap, args.seeds, args.timesteps)
        low, median, high = np.quantile(returns, [0, 0.5, 1])
        print(f"overlap={overlap!s:5}: median return {median:.0f}, {low:.0f} to {high:.0f}, {args.seeds} seeds")
