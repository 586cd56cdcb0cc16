"""``python -m sb3_tinyrl seeds-or-threads``: what a machine's cores do for many runs, and for a single one.

As many seeds at once as there are cores, each a process with one thread on a core of its own, beside one seed whose
kernel may use all of these cores.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from operator import truediv
from pathlib import Path
from statistics import median
from typing import Any

from sb3_tinyrl.bench.command import Plan, add_parser, command_line, size, sizes
from sb3_tinyrl.bench.machine import describe_machine
from sb3_tinyrl.bench.process import PeerProcess
from sb3_tinyrl.bench.report import Report, where
from sb3_tinyrl.bench.settings import Settings
from sb3_tinyrl.bench.text import number, ratio

_PEER = "tiny"


@dataclass
class _Width:
    """What was measured with one width of the two hidden layers.

    :param seeds: environment steps per second of all seeds together, in each round
    :param threads: those of the one seed with all threads, in each round
    """

    width: int
    seeds: list[float] = field(default_factory=list)
    threads: list[float] = field(default_factory=list)


def add_command(commands: Any) -> None:
    """Add ``seeds-or-threads`` to the commands of ``python -m sb3_tinyrl``.

    :param commands: what ``ArgumentParser.add_subparsers`` returned
    """
    parser = add_parser(
        commands,
        "seeds-or-threads",
        help="measure many seeds with a thread each beside one seed with many threads",
        description="Measure as many seeds as cores, with a thread each, beside one seed that uses all of these cores.",
        rounds=3,
        plan=_plan,
    )
    parser.add_argument("--env", default=Settings.env, help="id of a Gymnasium environment, or module:id")
    parser.add_argument("--widths", type=sizes, default="64,256,1024", help="of the two hidden layers")
    parser.add_argument("--steps", type=size, default=Settings.steps, help="environment steps of each seed in a turn")


def _plan(arguments: argparse.Namespace) -> Plan:
    options = {name: getattr(arguments, name) for name in ("env", "widths", "steps", "threads", "rounds")}
    settings = Settings(env=arguments.env, threads=arguments.threads, rounds=arguments.rounds, steps=arguments.steps)
    widths = [_Width(width) for width in arguments.widths]
    machine = describe_machine()
    return Plan(
        n_steps=len(widths) * (1 + settings.rounds),
        measure=lambda folder, progress, _: _measure(widths, settings, folder, progress),
        report=lambda: _report(widths, settings, command_line("seeds-or-threads", options), machine),
    )


def _measure(widths: list[_Width], settings: Settings, folder: Path, progress: Callable[[int, str], None]) -> None:
    for i, measured in enumerate(widths):
        n_done = i * (1 + settings.rounds)
        title = f"width {measured.width}"
        progress(n_done, f"{title}: set up")
        place = folder / str(measured.width)
        place.mkdir()
        all_threads = replace(settings, net_arch=(measured.width, measured.width))
        one_thread = replace(all_threads, threads=1)

        def start(name: str, settings: Settings, first_core: int, place: Path = place) -> PeerProcess:
            return PeerProcess(_PEER, settings, place / name, folder / "kernels", first_core=first_core)

        with ExitStack() as stack:
            one = stack.enter_context(start("one", all_threads, 0))
            many = [stack.enter_context(start(f"seed {core}", one_thread, core)) for core in range(settings.threads)]
            one.ask("set_up")
            pool = stack.enter_context(ThreadPoolExecutor(len(many)))
            _ask_all(pool, many, "set_up")
            for j in range(settings.rounds):
                progress(n_done + 1 + j, f"{title}: round {j + 1} of {settings.rounds}")
                measured.threads.append(one.ask("steps_per_second"))
                measured.seeds.append(sum(_ask_all(pool, many, "steps_per_second")))


def _ask_all(pool: ThreadPoolExecutor, processes: list[PeerProcess], measurement: str) -> list[Any]:
    """Ask all at once."""
    return [*pool.map(lambda process: process.ask(measurement), processes)]


def _report(widths: list[_Width], settings: Settings, command: str, machine: dict[str, object]) -> Report:
    n = settings.threads
    header = ["width of the two hidden layers", *(str(measured.width) for measured in widths)]
    lines: dict[str, Callable[[_Width], str]] = {
        f"{n} seeds at once, a thread each": lambda measured: number(median(measured.seeds)),
        f"one seed, {n} threads": lambda measured: number(median(measured.threads)),
        "ratio": lambda measured: ratio(median(map(truediv, measured.seeds, measured.threads))),
    }
    rows = [[label, *map(show, widths)] for label, show in lines.items()]
    return Report(
        name="seeds_or_threads",
        command=command,
        content={
            "command": command,
            "machine": machine,
            "settings": asdict(settings),
            "widths": [asdict(measured) for measured in widths],
        },
        tables=[("Environment steps per second, of all seeds together", [header, *rows])],
        failures={},
        footnote=(
            f"{settings.env}, batches of {settings.batch_size}, a gradient step after each step of the environment. "
            f"Medians over alternating rounds ({settings.rounds}), of the ratios of each round, too. "
            f"{where(machine, n)}"
        ),
    )
