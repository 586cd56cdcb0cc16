"""The command line: ``python -m sb3_tinyrl <command>``."""

from __future__ import annotations

import argparse
import sys

from sb3_tinyrl.bench import cli as bench
from sb3_tinyrl.bench.scaling import cli as scaling
from sb3_tinyrl.environments import checking, speed


def main() -> int:
    """Run the command that the arguments name; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m sb3_tinyrl", description="Tools around TinySAC.")
    commands = parser.add_subparsers(metavar="command", required=True)
    bench.add_command(commands)
    scaling.add_command(commands)
    speed.add_command(commands)
    checking.add_command(commands)
    arguments = parser.parse_args()
    status: int = arguments.run(arguments)
    return status


if __name__ == "__main__":
    sys.exit(main())
