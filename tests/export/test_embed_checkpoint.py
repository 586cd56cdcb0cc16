"""The example that flies a C++ pendulum with an exported policy, trained and compiled as its README says."""

import math
import re
import shlex
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from models import TIMEOUT
from stable_baselines3 import SAC

REPOSITORY = Path(__file__).parents[2]


def fly(folder: Path, *arguments: str) -> str:
    train = ["examples/embed_checkpoint/train.py", "--output", str(folder), *arguments]
    trained = subprocess.run(
        [sys.executable, *train], cwd=REPOSITORY, capture_output=True, text=True, timeout=10 * TIMEOUT
    )
    assert trained.returncode == 0, trained.stderr
    compile_line, fly_line = trained.stdout.split("Next:\n")[1].split("\n")[:2]
    compiled = subprocess.run(shlex.split(compile_line), cwd=REPOSITORY, capture_output=True, text=True)
    assert compiled.returncode == 0, compiled.stderr
    flown = subprocess.run(shlex.split(fly_line), cwd=REPOSITORY, capture_output=True, text=True)
    assert flown.returncode == 0, flown.stderr
    return flown.stdout


@pytest.mark.slow
def test_flight_is_that_of_gymnasium(tmp_path: Path) -> None:
    output = fly(tmp_path / "a folder", "--timesteps", "100")
    returns = [float(number) for number in re.findall(r"rad: return +(-?[\d.]+)", output)]

    model = SAC.load(tmp_path / "a folder" / "model")
    env = gym.make("Pendulum-v1")
    expected = []
    for episode in range(10):
        env.reset()
        env.unwrapped.state = np.array([math.pi * (2 * episode - 9) / 10, 0.0])
        observation, total, ended = env.unwrapped._get_obs(), 0.0, False
        while not ended:
            observation, reward, _, ended, _ = env.step(model.predict(observation, deterministic=True)[0])
            total += reward
        expected.append(total)
    assert np.allclose(returns, expected, rtol=1e-3)


@pytest.mark.slow
def test_flight_ends_upright(tmp_path: Path) -> None:
    output = fly(tmp_path)
    assert float(output.split("mean return")[1]) > -200
