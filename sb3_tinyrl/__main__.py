"""The command line: ``python -m sb3_tinyrl <command>``."""

from __future__ import annotations

import argparse
import sys

from sb3_tinyrl import cache
from sb3_tinyrl.bench import cli as bench
from sb3_tinyrl.bench import env_speed
from sb3_tinyrl.bench.scaling import sweep as scaling
from sb3_tinyrl.environments import checking


def main() -> int:
    """Run the command that the arguments name; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m sb3_tinyrl", description="Tools around TinySAC.")
    commands = parser.add_subparsers(metavar="command", required=True)
    for command in (bench, scaling, env_speed, cache, checking):
        command.add_command(commands)
    arguments = parser.parse_args()
    status: int = arguments.run(arguments)
    return status


if __name__ == "__main__":
    sys.exit(main())
