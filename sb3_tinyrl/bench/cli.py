"""The arguments of ``python -m sb3_tinyrl bench``, and what is done about them."""

from __future__ import annotations

import argparse
from itertools import count
from typing import Any

import gymnasium

from sb3_tinyrl.bench import comparison, rounds
from sb3_tinyrl.bench.command import Plan, UsageError, add_parser, command_line, size, sizes
from sb3_tinyrl.bench.machine import describe_machine
from sb3_tinyrl.bench.peers import PEERS
from sb3_tinyrl.bench.results import Results
from sb3_tinyrl.bench.settings import Settings

_OURS, *_OTHERS = PEERS


def add_command(commands: Any) -> None:
    """Add ``bench`` to the commands of ``python -m sb3_tinyrl``.

    :param commands: what ``ArgumentParser.add_subparsers`` returned
    """
    parser = add_parser(
        commands,
        "bench",
        help="measure TinySAC beside other SACs on this machine",
        description="Measure TinySAC beside other SACs on this machine, with your environment and sizes.",
        rounds=5,
        plan=_plan,
    )
    parser.add_argument("--env", default="Pendulum-v1", help="id of a Gymnasium environment, or module:id")
    parser.add_argument("--net-arch", type=sizes, default=(256, 256), help="widths of the hidden layers")
    parser.add_argument("--batch-size", type=size, default=256, help="transitions in a gradient step")
    parser.add_argument("--train-freq", type=size, default=1, help="environment steps between trainings")
    parser.add_argument("--gradient-steps", type=size, default=1, help="gradient steps in each training")
    parser.add_argument("--use-sde", action="store_true", help="explore with state-dependent noise (gSDE)")
    parser.add_argument("--steps", type=size, default=1000, help="environment steps in a turn")
    parser.add_argument(
        "--peers",
        default=None,
        metavar=",".join(_OTHERS),
        help="what to measure TinySAC against (default: those installed)",
    )


def _plan(arguments: argparse.Namespace) -> Plan:
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
    names = _peers(arguments.peers)
    try:
        results = Results.empty(settings, _command(settings, names), describe_machine())
    except (gymnasium.error.Error, ImportError, ValueError) as error:
        raise UsageError(f"--env {settings.env}: {error}") from error
    n_done = count()
    return Plan(
        n_steps=rounds.n_measurements(names, settings.rounds),
        measure=lambda folder, progress: rounds.run(
            results, names, folder, lambda coming: progress(next(n_done), coming)
        ),
        report=lambda: comparison.report(results),
    )


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
        "--batch-size": settings.batch_size,
        "--train-freq": settings.train_freq,
        "--gradient-steps": settings.gradient_steps,
        "--threads": settings.threads,
        "--rounds": settings.rounds,
        "--steps": settings.steps,
        "--peers": ",".join(names[1:]),
    }
    return command_line("bench", options, ["--use-sde"] if settings.use_sde else [])
