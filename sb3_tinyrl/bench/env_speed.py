"""``python -m sb3_tinyrl env-speed``: how fast a native environment takes its steps, alone and in a batch."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from rich.console import Console
from rich.table import Table

from sb3_tinyrl._native.abi.env_batch import Autoreset
from sb3_tinyrl._native.errors import KernelError
from sb3_tinyrl.bench.command import HelpFormatter, seconds, size
from sb3_tinyrl.bench.machine import describe_machine
from sb3_tinyrl.bench.measure import calls_per_second
from sb3_tinyrl.environments.registration import find_native_spec

_ROUNDS = 5


def add_command(commands: Any) -> None:
    """Add ``env-speed`` to the commands of ``python -m sb3_tinyrl``.

    :param commands: what ``ArgumentParser.add_subparsers`` returned
    """
    parser = commands.add_parser(
        "env-speed",
        help="measure how fast a native environment takes its steps",
        description="Measure how fast a native environment takes its steps, on one core.",
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--env", default="rl_tools/Pendulum-v0", help="id of a native environment, or module:id")
    parser.add_argument("--num-envs", type=size, default=1000, help="environments in a batch")
    parser.add_argument("--seconds", type=seconds, default=0.5, help=f"length of each of the {_ROUNDS} rounds")
    parser.add_argument("--json", action="store_true", help="print steps per second and the machine as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure and print; return the exit status."""
    try:
        find_native_spec(arguments.env)
        measurements = _measure(arguments.env, arguments.num_envs, arguments.seconds)
    except (ValueError, ImportError, KernelError, gym.error.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    machine = describe_machine()
    if arguments.json:
        print(json.dumps({"env": arguments.env, "steps_per_second": measurements, "machine": machine}))
        return 0
    table = Table(title=f"{arguments.env}, steps per second, best of {_ROUNDS} rounds")
    table.add_column("how")
    table.add_column("steps/s", justify="right")
    for how, speed in measurements.items():
        table.add_row(how, f"{speed:,.0f}")
    Console().print(table)
    print(f"{machine['cpu']}, {machine['compiler']}")
    return 0


def _measure(env_id: str, num_envs: int, seconds: float) -> dict[str, float]:
    # It brings in torch, for which a user who asks for --help should not wait.
    from sb3_tinyrl.environments.vec_env import NativeVecEnv

    single = gym.make(env_id)
    vector = gym.make_vec(env_id, num_envs=num_envs)
    vec_env = NativeVecEnv(env_id, num_envs)
    environments = vec_env.environments
    limit = environments.episode_step_limit
    action = single.action_space.sample()
    actions: Any = np.tile(action, (num_envs, 1))
    single.reset(seed=0)
    vector.reset(seed=0)
    vec_env.seed(0)
    vec_env.reset()

    def step_single() -> None:
        _, _, terminated, truncated, _ = single.step(action)
        if terminated or truncated:
            single.reset()

    return {
        f"{num_envs} in one call, C++ alone": num_envs
        * _most_calls_per_second(lambda: environments.step(actions, limit, Autoreset.SAME_STEP), seconds),
        f"{num_envs} in NativeVecEnv": num_envs * _most_calls_per_second(lambda: vec_env.step(actions), seconds),
        f"{num_envs} in gymnasium.make_vec": num_envs * _most_calls_per_second(lambda: vector.step(actions), seconds),
        "one in gymnasium.make": _most_calls_per_second(step_single, seconds),
    }


def _most_calls_per_second(call: Callable[[], object], seconds: float) -> float:
    return max(calls_per_second(call, seconds) for _ in range(_ROUNDS))
