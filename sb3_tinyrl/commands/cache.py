"""``sb3-tinyrl cache``: what is compiled, how much room it takes, and compiling ahead of time."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gymnasium as gym
from rich.console import Console

from sb3_tinyrl._native.abi.env_batch import Environments
from sb3_tinyrl._native.errors import KernelError
from sb3_tinyrl._native.jit.cache import Entry, KernelCache, parse_size
from sb3_tinyrl._native.jit.cache_directory import cache_directory
from sb3_tinyrl._native.jit.jobs import build_in_foreground
from sb3_tinyrl.bench.text import console_table
from sb3_tinyrl.commands.loading import load
from sb3_tinyrl.environments.registration import find_native_spec

_SECONDS_PER_DAY = 86400
_UNITS = ((_SECONDS_PER_DAY, "d"), (3600, "h"), (60, "min"))


def add_command(commands: Any) -> None:
    """Add ``cache`` to the commands of ``sb3-tinyrl``.

    :param commands: what ``ArgumentParser.add_subparsers`` returned
    """
    parser = commands.add_parser(
        "cache",
        help="list, remove or prepare compiled kernels",
        description="List, remove or prepare compiled kernels.",
    )
    actions = parser.add_subparsers(metavar="action", required=True)

    def add(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        action: argparse.ArgumentParser = actions.add_parser(name, help=text, description=f"{text.capitalize()}.")
        action.set_defaults(run=_explained(run))
        return action

    show = add("list", _list, "show each library: size, age, last use, and what it is for")
    show.add_argument("--json", action="store_true", help="print them as JSON; times in seconds since the epoch")
    add("size", _size, "show where the libraries are and how much room they take")
    prune = add("prune", _prune, "remove libraries that were not used for the longest time")
    prune.add_argument("--older-than", type=_days, metavar="DAYS", help="remove those not used for so many days")
    prune.add_argument("--max-size", type=_bytes, metavar="SIZE", help="remove until so much is left, such as 500M")
    add("clear", _clear, "remove all libraries")
    build = add("build", _build, "compile ahead of time, for machines with the same processor that share the cache")
    build.add_argument("models", nargs="*", type=Path, metavar="MODEL.zip", help="models that TinySAC has saved")
    build.add_argument("--env", action="append", default=[], metavar="ID", help="a native environment, or module:id")


def _explained(run: Any) -> Any:
    def explained(arguments: argparse.Namespace) -> int:
        try:
            status: int = run(arguments)
            return status
        except BrokenPipeError:  # no error of the cache
            raise
        except (KernelError, ImportError, ValueError, OSError, gym.error.Error) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1

    return explained


def _list(arguments: argparse.Namespace) -> int:
    entries = sorted(_cache().entries(), key=lambda entry: entry.last_needed, reverse=True)
    if arguments.json:
        print(json.dumps({"folder": str(cache_directory()), "libraries": [asdict(entry) for entry in entries]}))
        return 0
    if not entries:
        print(f"no libraries in {cache_directory()}")
        return 0
    table = console_table(["name", "size", "built", "last use", "for"], map(_row, entries))
    table.columns[-1].justify = "left"
    table.columns[-1].overflow = "fold"
    print(cache_directory())  # by itself, as a table would break a long path
    Console().print(table)
    return 0


def _row(entry: Entry) -> list[str]:
    used = _ago(entry.used) if entry.used else "never"
    return [entry.key[:12], _megabytes(entry.size), _ago(entry.built), used, entry.purpose]


def _size(_: argparse.Namespace) -> int:
    entries = _cache().entries()
    print(f"{_total(entries)} in {cache_directory()}")
    return 0


def _prune(arguments: argparse.Namespace) -> int:
    if arguments.older_than is None and arguments.max_size is None:
        raise ValueError("nothing says what to remove; pass --older-than DAYS, --max-size SIZE, or both")
    removed = _cache().prune(max_bytes=arguments.max_size, max_seconds=arguments.older_than)
    print(f"removed {_total(removed)}")
    return 0


def _clear(_: argparse.Namespace) -> int:
    cache = _cache()
    before = cache.entries()
    cache.clear()
    kept = {entry.key for entry in cache.entries()}  # which other processes are building just now
    print(f"removed {_total([entry for entry in before if entry.key not in kept])} from {cache_directory()}")
    return 0


def _build(arguments: argparse.Namespace) -> int:
    if not arguments.models and not arguments.env:
        raise ValueError("nothing says what to compile; pass MODEL.zip, --env ID, or both")
    for env_id in arguments.env:
        Environments(find_native_spec(env_id).kwargs["folder"])
        print(f"{env_id}: ready")
    for path in arguments.models:
        print(f"{path}: {_kernel_of(path)}")
    return 0


def _kernel_of(path: Path) -> Path:
    # Slow to import, and only needed here.
    from sb3_tinyrl.capabilities import kernel_spec
    from sb3_tinyrl.sac import TinySAC

    model = load("a model that SAC or TinySAC has saved", path, lambda: TinySAC.load(path))
    spec = kernel_spec(model, model.batch_size, model._blas() is not None)
    return build_in_foreground(spec)


def _cache() -> KernelCache:
    return KernelCache(cache_directory())


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1
    if not days >= 0:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a number of days, such as 30 or 0.5")
    return days * _SECONDS_PER_DAY


def _bytes(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}, {error}") from error


def _total(entries: Sequence[Entry]) -> str:
    return f"{len(entries)} libraries with {_megabytes(sum(entry.size for entry in entries))}"


def _megabytes(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"


def _ago(seconds_since_epoch: float) -> str:
    seconds = max(0.0, time.time() - seconds_since_epoch)
    for length, unit in _UNITS:
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return "now"
