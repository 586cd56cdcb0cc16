"""``sb3-tinyrl train`` and ``enjoy``: the programs of RL Baselines3 Zoo, with TinySAC in the place of SAC."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any


def train() -> None:
    """Run the zoo's ``train`` with the arguments in ``sys.argv``, which are the zoo's."""
    _use_tiny_sac()
    from rl_zoo3.train import train

    train()


def enjoy() -> None:
    """Run the zoo's ``enjoy`` with the arguments in ``sys.argv``, which are the zoo's."""
    _use_tiny_sac()
    from rl_zoo3.enjoy import enjoy

    enjoy()


def _use_tiny_sac() -> None:
    import rl_zoo3
    import rl_zoo3.callbacks

    from sb3_tinyrl.sac import TinySAC

    rl_zoo3.ALGOS["sac"] = TinySAC  # one dictionary, which all modules of the zoo share
    # ParallelTrainCallback trains a copy of the model, made with this class.
    rl_zoo3.callbacks.SAC = TinySAC  # type: ignore[attr-defined]


@dataclass(frozen=True)
class _Program:
    """A program of the zoo.

    :param run: runs it
    :param defaults: options that come before those of the user, who may give them once more
    :param options: the most useful ones, for the help
    """

    run: Callable[[], None]
    help: str
    defaults: tuple[str, ...]
    options: str


_PROGRAMS = {
    "train": _Program(
        train,
        "train with RL Baselines3 Zoo, TinySAC in the place of SAC",
        ("--algo", "sac"),
        """\
  --env ID                  environment
  -n STEPS                  environment steps, in place of the zoo's number
  -params NAME:VALUE ...    other hyperparameters, such as learning_rate:0.001 n_threads:1
  -f FOLDER                 where models and logs go (default: logs)
  -tb FOLDER                log for TensorBoard
  --eval-freq STEPS         evaluate so often (default: 25000; -1: never)
  -i MODEL.zip              go on with a saved model
  -P                        show a progress bar
  -optimize                 search for hyperparameters with Optuna""",
    ),
    "enjoy": _Program(
        enjoy,
        "show an agent that train has trained",
        ("--algo", "sac", "-f", "logs"),
        """\
  --env ID                  environment
  -n STEPS                  how long
  -f FOLDER                 where train has put it (default: logs)
  --load-best               the best model of the evaluations, rather than the last
  --no-render               without a window""",
    ),
}


def add_command(commands: Any) -> None:
    """Add ``train`` and ``enjoy`` to the commands of ``sb3-tinyrl``.

    :param commands: what ``ArgumentParser.add_subparsers`` returned
    """
    for name, program in _PROGRAMS.items():
        parser = commands.add_parser(
            name,
            help=program.help,
            usage="%(prog)s [-h] [--help-zoo] --env ID ...",
            description=f"{program.help[0].upper()}{program.help[1:]}. Options are those of the zoo, after these: "
            f"{' '.join(program.defaults)}",
            epilog=f"some options of the zoo:\n{program.options}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,  # what looks like an abbreviation is an option of the zoo
        )
        parser.add_argument("--help-zoo", action="store_true", help="show all options of the zoo and exit")
        parser.set_defaults(run=partial(_run, program, parser), passes_on=True)


def _run(program: _Program, parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    """Run a program of the zoo; return the exit status."""
    if find_spec("rl_zoo3") is None:
        print('error: RL Baselines3 Zoo is not installed; run: pip install "sb3-tinyrl[zoo]"', file=sys.stderr)
        return 1
    options = ["--help"] if arguments.help_zoo else arguments.passed_on
    if not arguments.help_zoo and not any(option.partition("=")[0] == "--env" for option in options):
        parser.error("the following arguments are required: --env")  # the zoo's default is none for SAC
    sys.argv = [parser.prog, *program.defaults, *options]
    try:
        program.run()
    except (AssertionError, ValueError) as error:
        if not _is_about_arguments(error):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _is_about_arguments(error: BaseException) -> bool:
    """Return whether the zoo itself has raised it, or what looks at spaces; then its text says all."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    module = traceback.tb_frame.f_globals.get("__name__", "") if traceback is not None else ""
    return module.startswith("rl_zoo3.") or module == "stable_baselines3.common.base_class"
