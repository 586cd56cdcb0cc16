"""A long run with saves, evaluations and reloads: memory, file descriptors and threads stay as many as they were.

By hand, for as long as you like: ``SOAK_GRADIENT_STEPS=2000000 pytest -n 0 tests/faults/test_soak.py -s``.
"""

import gc
import os
import threading
from pathlib import Path

import pytest
from models import make
from stable_baselines3.common.evaluation import evaluate_policy

from sb3_tinyrl import TinySAC

N_GRADIENT_STEPS = int(os.environ.get("SOAK_GRADIENT_STEPS", 60_000))
N_CYCLES = 12
PENDULUM = "sb3_tinyrl:rl_tools/Pendulum-v0"


def resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def cycle(path: Path) -> tuple[float, int, int]:
    """Load, train, evaluate, save; return memory in MB, file descriptors and threads afterwards."""
    model = TinySAC.load(path, env=make(env=PENDULUM).env, n_threads=2)
    model.learn(200, reset_num_timesteps=False)
    model.train(N_GRADIENT_STEPS // N_CYCLES - 200, model.batch_size)
    evaluate_policy(model, model.get_env(), n_eval_episodes=1, warn=False)
    model.save(path)
    model.save_replay_buffer(path.with_suffix(".pkl"))
    del model
    gc.collect()
    return resident_megabytes(), len(os.listdir("/proc/self/fd")), threading.active_count()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory and descriptors from /proc")
def test_a_long_run_keeps_memory_descriptors_and_threads(tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    make(env=PENDULUM, policy_kwargs={"net_arch": [8, 8]}, batch_size=8, gradient_steps=1).learn(100).save(path)
    figures = [cycle(path) for _ in range(N_CYCLES)]
    for megabytes, descriptors, threads in figures:
        print(f"{megabytes:.1f} MB, {descriptors} file descriptors, {threads} threads")
    settled = figures[N_CYCLES // 3]
    assert figures[-1][0] < settled[0] + 20, "memory grows"
    assert figures[-1][1] <= settled[1], "file descriptors are left open"
    assert figures[-1][2] <= settled[2], "threads are left behind"
