"""The arguments of ``python -m sb3_tinyrl bench``, and what is done about them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import count
from typing import Any

import gymnasium

from sb3_tinyrl._native.jit.cache_directory import cache_directory
from sb3_tinyrl.bench import comparison, rounds
from sb3_tinyrl.bench.checkout import Revision, RevisionError, find_revision
from sb3_tinyrl.bench.command import Plan, UsageError, add_parser, command_line, option_text, size, sizes
from sb3_tinyrl.bench.isa import ISAS, IsaError, choose_isa
from sb3_tinyrl.bench.machine import describe_machine
from sb3_tinyrl.bench.peers.registry import PEERS
from sb3_tinyrl.bench.peers.revision import AGAINST
from sb3_tinyrl.bench.results import Results
from sb3_tinyrl.bench.settings import Settings

_OURS, *_OTHERS = PEERS
#: RLtools' wrapper compiles for half a minute.
_QUICK_PEERS = ("sb3",)
#: Settings of ``--quick``.
_QUICK: dict[str, Any] = {
    "quick": True,
    "rounds": 2,
    "steps": 100,
    "warm_up_steps": 50,
    "update_seconds": 0.3,
    "predict_seconds": 0.1,
}
#: Settings that are options of this command alone: how they are read, and their help.
_OPTIONS: dict[str, tuple[Callable[[str], object], str]] = {
    "env": (str, "id of a Gymnasium environment, or module:id"),
    "net_arch": (sizes, "widths of the hidden layers"),
    "batch_size": (size, "transitions in a gradient step"),
    "train_freq": (size, "environment steps between trainings"),
    "gradient_steps": (size, "gradient steps in each training"),
    "steps": (size, "environment steps in a turn"),
}


def add_command(commands: Any) -> None:
    """Add ``bench`` to the commands of ``python -m sb3_tinyrl``.

    :param commands: what ``ArgumentParser.add_subparsers`` returned
    """
    parser = add_parser(
        commands,
        "bench",
        help="measure TinySAC beside other SACs on this machine",
        description="Measure TinySAC beside other SACs on this machine, with your environment and sizes.",
        rounds=Settings.rounds,
        plan=_plan,
    )
    for name, (type_, text) in _OPTIONS.items():
        # As one types it: argparse reads defaults that are text, and shows them in the help.
        default = option_text(getattr(Settings, name))
        parser.add_argument(f"--{name.replace('_', '-')}", type=type_, default=default, help=text)
    parser.add_argument("--use-sde", action="store_true", help="explore with state-dependent noise (gSDE)")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="rough figures, within a minute on an idle machine: few short rounds (instead of --rounds and --steps) "
        "and nothing that compiles each time; beside SB3 alone, unless --peers names others",
    )
    parser.add_argument(
        "--against",
        metavar="REV",
        default=None,
        help="measure against TinySAC of a git revision (and of --peers only those named)",
    )
    parser.add_argument(
        "--isa",
        choices=ISAS,
        default=None,
        help="instruction set of TinySAC's kernel and the FMA peak (default: the processor's widest)",
    )
    parser.add_argument(
        "--peers",
        default=None,
        metavar=",".join(_OTHERS),
        help="what to measure TinySAC against (default: those installed)",
    )


def _plan(arguments: argparse.Namespace) -> Plan:
    values = {name: getattr(arguments, name) for name in (*_OPTIONS, "use_sde", "threads", "rounds")}
    settings = Settings(**values | (_QUICK if arguments.quick else {}))
    names = _peers(arguments.peers, arguments.quick, arguments.against is not None)
    try:
        against = find_revision(arguments.against) if arguments.against is not None else None
    except RevisionError as error:
        raise UsageError(f"--against {arguments.against}: {error}") from error
    if arguments.isa:
        try:
            choose_isa(arguments.isa)
        except IsaError as error:
            raise UsageError(f"--isa {arguments.isa}: {error}") from error
    try:
        results = Results.empty(settings, _command(settings, names, arguments.isa, against), describe_machine())
    except (gymnasium.error.Error, ImportError, ValueError) as error:
        raise UsageError(f"--env {settings.env}: {error}") from error
    n_done = count()
    return Plan(
        n_steps=rounds.n_measurements(names, settings.rounds),
        measure=lambda folder, progress, say: rounds.run(
            results,
            names,
            folder,
            lambda coming: progress(next(n_done), coming),
            kernels=cache_directory() if settings.quick else None,
            against=against,
            say=say,
        ),
        report=lambda: comparison.report(results),
    )


def _peers(chosen: str | None, is_quick: bool, is_against: bool) -> list[str]:
    revision = [AGAINST] if is_against else []
    if chosen is None:
        candidates = [] if is_against else _QUICK_PEERS if is_quick else _OTHERS
        return [_OURS, *revision, *(name for name in candidates if PEERS[name].missing() is None)]
    names = [name for name in dict.fromkeys(chosen.split(",")) if name and name != _OURS]
    for name in names:
        if name not in PEERS:
            raise UsageError(f"--peers {chosen}: there is no {name!r}; choose from {','.join(_OTHERS)}")
        if missing := PEERS[name].missing():
            raise UsageError(f"--peers {chosen}: {name} is not installed; first: {missing}")
    return [_OURS, *revision, *names]


def _command(settings: Settings, names: list[str], isa: str | None, against: Revision | None) -> str:
    options = {name: getattr(settings, name) for name in (*_OPTIONS, "threads", "rounds")}
    options |= {"peers": [name for name in names[1:] if name != AGAINST]}
    options |= {"isa": isa} if isa else {}
    options |= {"against": against.commit} if against else {}
    flags = {"--use-sde": settings.use_sde, "--quick": settings.quick}
    return command_line("bench", options, [flag for flag, is_set in flags.items() if is_set])
