"""Train SAC on Pendulum-v1 in under a minute: the code of Stable-Baselines3, with another import.

Run with: python examples/quickstart.py
"""

import argparse
import shlex
import time
from pathlib import Path

import gymnasium as gym
import matplotlib
import numpy as np
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from sb3_tinyrl import TinySAC  # was: from stable_baselines3 import SAC

matplotlib.use("Agg")  # draws into files, so no display is needed
import matplotlib.pyplot as plt

ENV_ID = "Pendulum-v1"
EVALUATION_EPISODES = 20

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--timesteps", type=int, default=8_000, help="environment steps to train for (default: 8000)")
parser.add_argument("--output", type=Path, default=Path("runs/quickstart"), help="folder for what the run leaves")
args = parser.parse_args()
args.output.mkdir(parents=True, exist_ok=True)

# The model: every argument is one of Stable-Baselines3's SAC.
train_env = Monitor(gym.make(ENV_ID))
model = TinySAC("MlpPolicy", train_env, learning_rate=1e-3, seed=0, tensorboard_log=str(args.output / "tensorboard"))

eval_env = Monitor(gym.make(ENV_ID))
eval_env.reset(seed=1)
before, _ = evaluate_policy(model, eval_env, EVALUATION_EPISODES)

print(f"\nSAC on {ENV_ID}, {args.timesteps:,} steps with one gradient step each.")
print("The first run compiles a kernel for these networks, which takes some seconds.\n")
start = time.perf_counter()
model.learn(args.timesteps, progress_bar=True)
seconds = time.perf_counter() - start

after, _ = evaluate_policy(model, eval_env, EVALUATION_EPISODES)
model.save(args.output / "model")

# The learning curve: one dot for each training episode, and their moving average.
returns = np.array(train_env.get_episode_rewards())
steps = np.cumsum(train_env.get_episode_lengths())
window = min(5, len(returns))
figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
axes.plot(steps, returns, ".", alpha=0.4, label="training episode")
if window:
    average = np.convolve(returns, np.full(window, 1 / window), mode="valid")
    axes.plot(steps[window - 1 :], average, label=f"mean of {window}")
axes.set(title=f"TinySAC on {ENV_ID}", xlabel="environment steps", ylabel="return")
axes.grid(alpha=0.3)
axes.legend()
figure.savefig(args.output / "learning_curve.png", dpi=150)

print(f"""
  mean return before   {before:9.1f}
  mean return after    {after:9.1f}   ({EVALUATION_EPISODES} episodes each; about -150 is solved)
  steps per second     {args.timesteps / seconds:9.1f}   ({seconds:.1f} s, compiling included)

  model                {args.output / "model.zip"}
  TensorBoard run      {model.logger.dir}
  learning curve       {args.output / "learning_curve.png"}

Next:
  tensorboard --logdir {shlex.quote(str(args.output / "tensorboard"))}
  sb3-tinyrl bench                how fast that is beside Stable-Baselines3, on this machine
""")
