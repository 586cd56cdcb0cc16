"""Stop a run, go on in a new process, and get the very weights of the run that was never stopped.

Run with: python examples/resume.py

A saved model holds the state of the kernel's random numbers. What else a run depends on is saved beside it: the replay
buffer, and the generators of Python, numpy and torch, which action noise and some replay buffers draw from. The
environment starts a new episode in both runs, as few environments can be saved.
"""

import argparse
import pickle
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch as th
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import VecEnv

from sb3_tinyrl import TinySAC

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--timesteps", type=int, default=1000, help="steps before and after the stop (default: 1000)")
parser.add_argument("--output", type=Path, default=Path("runs/resume"), help="folder for the checkpoint")
parser.add_argument("--resume", action="store_true", help="go on from the checkpoint (what the new process does)")
args = parser.parse_args()
args.output.mkdir(parents=True, exist_ok=True)
checkpoint, buffer, generators = (args.output / name for name in ("model.zip", "buffer.pkl", "generators.pkl"))


def make_env() -> VecEnv:
    """A new environment, whose first episode begins as any other's."""
    return make_vec_env("Pendulum-v1", n_envs=2, seed=0)


def go_on(model: TinySAC, path: Path) -> None:
    """Train on and save the result."""
    model.learn(args.timesteps, reset_num_timesteps=False)
    model.save(path)


if args.resume:
    model = TinySAC.load(checkpoint, env=make_env())
    model.load_replay_buffer(buffer)
    python_state, numpy_state, torch_state = pickle.loads(generators.read_bytes())
    random.setstate(python_state)
    np.random.set_state(numpy_state)  # noqa: NPY002
    th.set_rng_state(torch_state)
    go_on(model, args.output / "resumed.zip")
    raise SystemExit

noise = NormalActionNoise(np.zeros(1), np.full(1, 0.1))
model = TinySAC(
    "MlpPolicy",
    make_env(),
    action_noise=noise,
    policy_kwargs={"net_arch": [64, 64]},
    use_sde=True,
    train_freq=8,
    seed=0,
)
model.learn(args.timesteps)
model.save(checkpoint)
model.save_replay_buffer(buffer)
generators.write_bytes(pickle.dumps((random.getstate(), np.random.get_state(), th.get_rng_state())))  # noqa: NPY002

model.set_env(make_env())
go_on(model, args.output / "never_stopped.zip")
subprocess.run([sys.executable, __file__, *sys.argv[1:], "--resume"], check=True)

one, other = (TinySAC.load(args.output / name).policy.state_dict() for name in ("never_stopped.zip", "resumed.zip"))
differing = [name for name in one if not th.equal(one[name], other[name])]
if differing:
    raise SystemExit(f"These weights differ: {', '.join(differing)}")
print(f"After {model.num_timesteps} steps all weights of both runs are the same, bit for bit.")
