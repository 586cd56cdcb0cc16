"""The arguments of ``python -m sb3_tinyrl bench``, and what is done about them."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from itertools import count
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from rich.console import Console

from sb3_tinyrl._native.abi.thread_tuner import available_threads
from sb3_tinyrl._native.errors import KernelError
from sb3_tinyrl.bench import report, rounds
from sb3_tinyrl.bench.arguments import UsageError, progress_bar, require_threads, size, sizes
from sb3_tinyrl.bench.flops import update_flops
from sb3_tinyrl.bench.machine import describe_machine
from sb3_tinyrl.bench.peers import PEERS
from sb3_tinyrl.bench.process import PeerError
from sb3_tinyrl.bench.results import Results
from sb3_tinyrl.bench.settings import Settings

_OURS, *_OTHERS = PEERS


def add_command(commands: Any) -> None:
    """Add ``bench`` to the commands of ``python -m sb3_tinyrl``.

    :param commands: what ``ArgumentParser.add_subparsers`` returned
    """
    parser = commands.add_parser(
        "bench",
        help="measure TinySAC beside other SACs on this machine",
        description="Measure TinySAC beside other SACs on this machine, with your environment and sizes.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--env", default="Pendulum-v1", help="id of a Gymnasium environment, or module:id")
    parser.add_argument("--net-arch", type=sizes, default=(256, 256), help="widths of the hidden layers")
    parser.add_argument("--batch-size", type=size, default=256, help="transitions in a gradient step")
    parser.add_argument("--train-freq", type=size, default=1, help="environment steps between trainings")
    parser.add_argument("--gradient-steps", type=size, default=1, help="gradient steps in each training")
    parser.add_argument("--use-sde", action="store_true", help="explore with state-dependent noise (gSDE)")
    parser.add_argument("--threads", type=size, default=available_threads(), help="for each peer")
    parser.add_argument("--rounds", type=size, default=5, help="turns that each peer has")
    parser.add_argument("--steps", type=size, default=1000, help="environment steps in a turn")
    parser.add_argument("--output", type=Path, default=Path("runs/bench"), help="folder for the results")
    parser.add_argument(
        "--peers",
        default=None,
        metavar=",".join(_OTHERS),
        help="what to measure TinySAC against (default: those installed)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure, print and write the results; return the exit status."""
    console = Console()
    try:
        results = _measure(arguments, console)
        arguments.output.mkdir(parents=True, exist_ok=True)
    except (UsageError, PeerError, KernelError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; nothing was written", file=sys.stderr)
        return 130
    report.write_json(results, arguments.output / "benchmark.json")
    report.print_tables(results, console)
    report.write_markdown(results, arguments.output / "benchmark.md")
    report.draw(results, arguments.output / "benchmark.png")
    console.print(f"Wrote benchmark.json, benchmark.md and benchmark.png to {arguments.output}")
    return 0


def _measure(arguments: argparse.Namespace, console: Console) -> Results:
    settings = Settings(
        env=arguments.env,
        net_arch=arguments.net_arch,
        batch_size=arguments.batch_size,
        train_freq=arguments.train_freq,
        gradient_steps=arguments.gradient_steps,
        threads=arguments.threads,
        rounds=arguments.rounds,
        steps=arguments.steps,
        use_sde=arguments.use_sde,
    )
    require_threads(settings.threads)
    observation_dim, action_dim = _dimensions(settings.env)
    names = _peers(arguments.peers)
    results = Results(
        settings=settings,
        command=_command(settings, names),
        machine=describe_machine(),
        update_flops=update_flops(
            observation_dim, action_dim, settings.net_arch, settings.net_arch, settings.batch_size
        ),
    )
    with (
        progress_bar(console) as progress,
        tempfile.TemporaryDirectory(prefix="sb3_tinyrl_bench") as folder,
    ):
        task = progress.add_task("FMA peak: compile", total=rounds.n_measurements(names, settings.rounds))
        n_done = count()
        rounds.run(
            results,
            names,
            Path(folder),
            lambda coming: progress.update(task, completed=next(n_done), description=coming),
        )
    return results


def _dimensions(env_id: str) -> tuple[int, int]:
    try:
        env = gymnasium.make(env_id)
    except (gymnasium.error.Error, ImportError) as error:
        raise UsageError(f"--env {env_id}: {error}") from error
    named_spaces = {"observation": env.observation_space, "action": env.action_space}
    env.close()
    dimensions = []
    for name, space in named_spaces.items():
        if not isinstance(space, spaces.Box):
            raise UsageError(f"--env {env_id}: its {name} space is {space}, but SAC's MlpPolicy takes a Box")
        dimensions.append(int(np.prod(space.shape)))
    return dimensions[0], dimensions[1]


def _peers(chosen: str | None) -> list[str]:
    if chosen is None:
        return [_OURS, *(name for name in _OTHERS if PEERS[name].missing() is None)]
    names = [name for name in dict.fromkeys(chosen.split(",")) if name and name != _OURS]
    for name in names:
        if name not in PEERS:
            raise UsageError(f"--peers {chosen}: there is no {name!r}; choose from {','.join(_OTHERS)}")
        if missing := PEERS[name].missing():
            raise UsageError(f"--peers {chosen}: {name} is not installed; first: {missing}")
    return [_OURS, *names]


def _command(settings: Settings, names: list[str]) -> str:
    options = {
        "--env": settings.env,
        "--net-arch": ",".join(map(str, settings.net_arch)),
        "--batch-size": str(settings.batch_size),
        "--train-freq": str(settings.train_freq),
        "--gradient-steps": str(settings.gradient_steps),
        "--threads": str(settings.threads),
        "--rounds": str(settings.rounds),
        "--steps": str(settings.steps),
        "--peers": ",".join(names[1:]),
    }
    flags = ["--use-sde"] if settings.use_sde else []
    values = [part for item in options.items() for part in item]
    return shlex.join(["python", "-m", "sb3_tinyrl", "bench", *values, *flags])
