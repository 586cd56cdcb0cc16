"""The command line: ``sb3-tinyrl <command>``, or ``python -m sb3_tinyrl <command>``."""

from __future__ import annotations

import argparse
import os
import sys
from importlib.metadata import version
from pathlib import Path

from sb3_tinyrl.bench import cli as bench
from sb3_tinyrl.bench import env_speed, seeds_or_threads
from sb3_tinyrl.bench.scaling import sweep as scaling
from sb3_tinyrl.commands import cache, doctor, export, new_env, zoo
from sb3_tinyrl.environments import checking


def main() -> int:
    """Run the command that the arguments name; return the exit status."""
    parser = argparse.ArgumentParser(prog=_program(sys.argv[0]), description="Tools around TinySAC.")
    parser.add_argument("--version", action="version", version=f"sb3-tinyrl {version('sb3-tinyrl')}")
    commands = parser.add_subparsers(metavar="command", required=True)
    for command in (bench, scaling, seeds_or_threads, env_speed, cache, new_env, checking, doctor, export, zoo):
        command.add_command(commands)
    arguments, others = parser.parse_known_args()
    if "env" in arguments or "passes_on" in arguments:
        # `module:id` may name a module in the current folder, as with `python -m`; last, so that it hides no other.
        sys.path.append("")
    if "passes_on" in arguments:
        arguments.passed_on = others  # to a program that knows them
    elif others:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python still wants to write
        return 1
    return status


def _program(path: str) -> str:
    """Return how this program was called, given where it lies."""
    name = Path(path).name.removesuffix(".exe")
    return "python -m sb3_tinyrl" if name == "__main__.py" else name


if __name__ == "__main__":
    sys.exit(main())
