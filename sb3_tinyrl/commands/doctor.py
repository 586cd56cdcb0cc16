"""``sb3-tinyrl doctor``: what native training needs, whether this machine has it, and what mends it where it has not.

What it prints goes into a bug report as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sb3_tinyrl._native.abi import blas
from sb3_tinyrl._native.abi.thread_tuner import available_threads
from sb3_tinyrl._native.errors import KernelError
from sb3_tinyrl._native.jit import processes
from sb3_tinyrl._native.jit.cache import KernelCache, cache_size_limit
from sb3_tinyrl._native.jit.cache_directory import cache_directory
from sb3_tinyrl._native.jit.compiler import find_compiler, instruction_set, time_limit
from sb3_tinyrl._native.jit.headers import find_headers
from sb3_tinyrl._native.jit.processes import Finished
from sb3_tinyrl.bench.fma_peak import FmaPeak
from sb3_tinyrl.bench.machine import cpu_model

_PACKAGES = ("sb3-tinyrl", "stable-baselines3", "gymnasium", "torch", "numpy", "rltools", "ninja")
_MARKS = {"good": "✓", "bad": "✗", "skipped": "-"}
_PLAIN_MARKS = {"good": "+", "bad": "x", "skipped": "-"}
_WIDTH = 17  # of the names
_SECONDS_TO_ANSWER = 120.0


@dataclass(frozen=True)
class Finding:
    """What an examination came to.

    :param name: of what was examined
    :param result: ``"good"``, ``"bad"``, or ``"skipped"`` for what can't be examined as something else is bad
    :param text: what there is, or what is wrong and what mends it; may have several lines
    :param needed: whether there is no native training without it
    :param values: the same as the text, for programs
    """

    name: str
    result: str
    text: str
    needed: bool
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Examination:
    name: str
    examine: Callable[[], tuple[str, dict[str, Any]]]
    needed: bool = False
    after: tuple[str, ...] = ()
    """Names of examinations that must have been good."""


def add_command(commands: Any) -> None:
    """Add ``doctor`` to the commands of ``sb3-tinyrl``.

    :param commands: what ``ArgumentParser.add_subparsers`` returned
    """
    parser = commands.add_parser(
        "doctor",
        help="see whether this machine trains natively, and what mends it if not",
        description="See whether this machine trains natively, and what mends it if not. Compiles a small kernel and "
        "compares it with torch. The exit status is 1 if something is wrong that prevents native training.",
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Examine and print; return the exit status."""
    findings = []
    shows_progress = not arguments.json and sys.stdout.isatty()
    announce = _announce if shows_progress else lambda _: None
    for finding in examine(announce):
        findings.append(finding)
        if not arguments.json:
            print(("\r\x1b[2K" if shows_progress else "") + _line(finding), flush=True)
    is_healthy = all(finding.result == "good" for finding in findings if finding.needed)
    if arguments.json:
        print(json.dumps({"trains_natively": is_healthy, "findings": [asdict(finding) for finding in findings]}))
    elif is_healthy:
        print("TinySAC trains natively on this machine.")
    else:
        print("TinySAC can't train natively on this machine before that is mended, and trains through torch meanwhile.")
    return 0 if is_healthy else 1


def examine(announce: Callable[[str], None]) -> Iterator[Finding]:
    """Examine one thing after the other.

    :param announce: called with the name of an examination before it is made, as some take seconds
    """
    good = set()
    for examination in _EXAMINATIONS:
        name, needed = examination.name, examination.needed
        if missing := [other for other in examination.after if other not in good]:
            yield Finding(name, "skipped", f"needs the {' and the '.join(missing)}", needed)
            continue
        announce(name)
        try:
            text, values = examination.examine()
        except (KernelError, OSError) as error:
            yield Finding(name, "bad", str(error), needed)
            continue
        good.add(name)
        yield Finding(name, "good", text, needed, values)


def _announce(name: str) -> None:
    print(f"  {name}...", end="", flush=True)


def _line(finding: Finding) -> str:
    encoding = sys.stdout.encoding or "ascii"
    try:
        mark = _MARKS[finding.result].encode(encoding).decode(encoding)
    except UnicodeEncodeError:
        mark = _PLAIN_MARKS[finding.result]
    lines = finding.text.splitlines()
    return "\n".join([f"{mark} {finding.name:{_WIDTH}}{lines[0]}", *(f"  {'':{_WIDTH}}{line}" for line in lines[1:])])


# --- examinations: each returns a line and its values, or raises what is wrong with the fix ---


def _system() -> tuple[str, dict[str, Any]]:
    values = {"system": platform.platform(), "cpu": cpu_model(), "python": platform.python_version()}
    return f"{values['system']}, {values['cpu']}, Python {values['python']}", values


def _packages() -> tuple[str, dict[str, Any]]:
    values = {}
    for package in _PACKAGES:
        try:
            values[package] = version(package)
        except PackageNotFoundError:
            raise KernelError(f"the package {package} is not installed; run: pip install {package}") from None
    return ", ".join(f"{package} {found}" for package, found in values.items()), values


def _compiler() -> tuple[str, dict[str, Any]]:
    compiler = find_compiler()
    if os.environ.get("CXX"):
        found = "$CXX"
    elif compiler.kind == "zig":
        found = "the Python package ziglang"
    else:
        found = "$PATH"
    command = shlex.join(compiler.command)
    values = {"command": command, "version": compiler.version, "kind": compiler.kind, "found": found}
    return f"{compiler.version.splitlines()[0]}: {command}, from {found}", values


def _instruction_set() -> tuple[str, dict[str, Any]]:
    name = instruction_set()
    return name, {"name": name}


def _sources() -> tuple[str, dict[str, Any]]:
    headers = find_headers()
    return f"{headers.overlay}, {headers.rltools}", {"kernel": str(headers.overlay), "rltools": str(headers.rltools)}


def _cache() -> tuple[str, dict[str, Any]]:
    cache = KernelCache(cache_directory())
    cache.require_usable()
    entries, limit = cache.entries(), cache_size_limit()
    size, free = sum(entry.size for entry in entries), shutil.disk_usage(cache.directory).free
    values = {
        "folder": str(cache.directory),
        "bytes": size,
        "limit": limit,
        "libraries": len(entries),
        "owner": _owner(cache.directory),
        "free": free,
    }
    return (
        f"{cache.directory}, of {values['owner']}: {size / 2**20:.1f} MiB in {len(entries)} libraries, at most "
        f"{limit / 2**20:.0f} MiB; the disk has {free / 2**20:.0f} MiB left"
    ), values


def _owner(folder: Path) -> str:
    if sys.platform != "win32":  # where Path has no owner() before Python 3.13
        with suppress(KeyError):  # a user without a name
            return folder.owner()
    return f"user {folder.stat().st_uid}"


def _kernel() -> tuple[str, dict[str, Any]]:
    # A cache of its own, so that there is something to compile; in that of the user, as some disks run no programs.
    with tempfile.TemporaryDirectory(prefix="doctor-", dir=cache_directory(), ignore_cleanup_errors=True) as folder:
        finished = _ask(
            ["-m", "sb3_tinyrl.commands.self_test"], time_limit() + _SECONDS_TO_ANSWER, SB3_TINYRL_CACHE_DIR=folder
        )
    try:
        values: dict[str, Any] = json.loads(finished.output.splitlines()[-1])
    except (ValueError, IndexError):
        raise KernelError(
            f"the process that tried a kernel has failed: {finished.reason()}. If it can't run what the "
            "compiler makes, choose another compiler with $CXX; otherwise please report this.\n" + finished.errors
        ) from None
    if "error" in values:
        raise KernelError(values["error"])
    return (
        f"compiled in {values['seconds']:.1f} s; beside torch, {values['n_updates']} updates of the critics "
        f"differ by at most {values['critics']:.1e} in {values['n_weights']} weights, {values['n_actions']} actions by "
        f"{values['actions']:.1e}"
    ), values


def _fma_peak() -> tuple[str, dict[str, Any]]:
    threads = available_threads()
    with tempfile.TemporaryDirectory(prefix="doctor-", dir=cache_directory(), ignore_cleanup_errors=True) as folder:
        flops = FmaPeak(Path(folder), threads)()
    return f"{flops / 1e9:.0f} GFLOP/s in float32, with all threads", {"flops": flops, "threads": threads}


def _backends() -> tuple[str, dict[str, Any]]:
    there = blas.installed()
    for name in there:
        blas.load(name)
    missing = {name: blas.remedy(name) for name in blas.LIBRARIES if name not in there and name != "accelerate"}
    text = ", ".join(["simd", *there])
    if missing:
        text += f"; not installed, and not needed: {', '.join(f'{name} ({fix})' for name, fix in missing.items())}"
    return text, {"backends": ["simd", *there]}


def _threads() -> tuple[str, dict[str, Any]]:
    threads, cores = available_threads(), os.cpu_count()
    return f"{threads} for this process, on {cores} cores", {"threads": threads, "cores": cores}


def _gpu() -> tuple[str, dict[str, Any]]:
    program = "import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else '')"
    asked = _ask(["-c", program], _SECONDS_TO_ANSWER)
    if asked.status != 0:
        raise KernelError(f"torch does not tell; reinstall it. It says:\n{asked.errors.strip()}")
    name = asked.output.strip() or None
    text = f'{name}; device="auto" is the CPU all the same where the kernel trains' if name else "none, and none needed"
    return text, {"name": name}


def _ask(arguments: list[str], seconds: float, **variables: str) -> Finished:
    """Run Python in a process of its own, which may crash or hang."""
    try:
        return processes.run([sys.executable, *arguments], seconds=seconds, variables=variables, apart=True)
    except subprocess.SubprocessError as error:
        raise KernelError(f"the process that tries it was ended: {error}; please report this") from None


_EXAMINATIONS = (
    _Examination("system", _system),
    _Examination("packages", _packages, needed=True),
    _Examination("compiler", _compiler, needed=True),
    _Examination("instruction set", _instruction_set, after=("compiler",)),
    _Examination("C++ sources", _sources, needed=True),
    _Examination("cache", _cache, needed=True),
    _Examination("kernel", _kernel, needed=True, after=("compiler", "C++ sources", "cache")),
    _Examination("FMA peak", _fma_peak, after=("kernel",)),
    _Examination("backends", _backends, after=("compiler",)),
    _Examination("threads", _threads),
    _Examination("GPU", _gpu),
)
