"""``python -m sb3_tinyrl check-env``: a C++ environment built with sanitizers, run in a process of its own.

An index beyond an array or a division by zero is no exception in C++: it corrupts the memory of the training or ends
its process. GCC's and Clang's sanitizers find such things where they happen, at several times the cost.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console

from sb3_tinyrl._native.abi.specs import EnvironmentSpec
from sb3_tinyrl._native.errors import KernelBuildError, KernelError, NativeEnvironmentError
from sb3_tinyrl._native.jit import processes
from sb3_tinyrl._native.jit.compiler import find_compiler, run_compiler
from sb3_tinyrl._native.jit.compiler_output import first_error
from sb3_tinyrl._native.jit.headers import find_headers, require_environment_folder

_SOURCE = Path("interface", "environment", "check.cpp")
_SANITIZERS = "address,undefined,float-divide-by-zero,float-cast-overflow"
_FLAGS = (
    "-std=c++17",
    "-O1",
    "-g",
    "-fno-omit-frame-pointer",
    f"-fsanitize={_SANITIZERS}",
    "-fno-sanitize-recover=all",
    "-D_GLIBCXX_ASSERTIONS",
)
_LONGEST_REPORT = 8000
_SECONDS_TO_TELL = 20.0
_NOT_STARTED = (126, 127)  # by the shell
_LONGEST_SUMMARY = 500
#: The line of ``check.cpp`` where nothing was wrong; what the environment printed comes before and after it.
_DONE = re.compile(r"^check-env: (.+)$", re.MULTILINE)
#: What the C++ library says before it ends the process.
_ABORTED = re.compile(r"(?:terminate called .+(?:\n +what\(\): .*)?|[Aa]ssertion .+|pure virtual .+)")

N_STEPS = 5000
"""Steps of each of four environments; some seconds for one that is simple."""

SECONDS = 600.0
"""How long they may take."""


def check_environment(
    folder: str | os.PathLike[str], n_steps: int = N_STEPS, seed: int = 0, seconds: float = SECONDS
) -> str:
    """Run a C++ environment under the sanitizers for address and undefined behaviour, with random actions.

    Found are, where the actions lead to them: exceptions, memory that is read or written beyond its bounds, divisions
    by zero and other undefined arithmetic, NaN and infinite values, loops without an end, observations with elements
    that are not written or beyond the bounds that are declared, numbers that do not follow the seed, and memory that is
    not given back.

    :param folder: with ``environment.h``
    :param n_steps: how many steps, at least 1
    :param seed: of actions and environments
    :param seconds: how long the steps may take; a compiler may take as long as ``SB3_TINYRL_COMPILE_TIMEOUT`` says
    :return: what was done and seen: steps, episodes, rewards, and which of the functions that may be left out there are
    :raises FileNotFoundError: when there is no such folder, or no ``environment.h`` in it
    :raises NativeEnvironmentError: with the author's file and line, when something is wrong
    :raises KernelError: when it can't be compiled with sanitizers, or not be started
    """
    path = require_environment_folder(folder)
    with tempfile.TemporaryDirectory(prefix="sb3_tinyrl_check_") as workspace:
        program = Path(workspace, "check")
        _compile(path, program)
        # Leaks are not looked for: what an environment keeps until the process ends does no harm. What it takes in each
        # step, check.cpp tells.
        options = {"ASAN_OPTIONS": "detect_leaks=0:handle_abort=1", "UBSAN_OPTIONS": "print_stacktrace=1"}
        command = [str(program), str(n_steps), str(seed % 2**64), str(seconds)]
        try:
            # It ends itself when the time is up, and tells where; unless that comes before its main function.
            finished = processes.run(command, seconds=seconds + _SECONDS_TO_TELL, variables=options, apart=True)
        except subprocess.TimeoutExpired:
            raise NativeEnvironmentError(
                f"{path}: its process did not end within {seconds:g} s, nor tell where it was, so it was ended"
            ) from None
        except processes.OutputError as error:
            raise NativeEnvironmentError(f"{path}: its process was ended, as {error}; let it print less") from None
    if finished.status in _NOT_STARTED:
        raise KernelError(
            f"the program that checks an environment can't be started: {finished.errors.strip()}; expected a temporary "
            "folder whose file system runs programs (not mounted noexec), set TMPDIR to one"
        )
    done: list[str] = _DONE.findall(finished.output)
    if finished.status != 0 or not done:
        report = finished.errors.strip() or f"its process ended early: {finished.reason()}"
        raise NativeEnvironmentError(f"{summary(report, path)}\n\n{report[:_LONGEST_REPORT]}")
    return done[-1]


def _compile(folder: Path, program: Path) -> None:
    compiler, headers = find_compiler(), find_headers()
    (program.parent / "kernel_spec.h").write_text(EnvironmentSpec(folder).header(), encoding="utf-8")
    command = [
        *compiler.command,
        *_FLAGS,
        *("-iquote", str(folder), f"-I{program.parent}", f"-I{headers.include_root}", "-isystem", str(headers.rltools)),
        str(headers.overlay / _SOURCE),
        *("-o", str(program)),
    ]
    compiled = run_compiler(command)
    if compiled.status != 0:
        reason = first_error(compiled.output, folder)
        advice = (
            EnvironmentSpec.advice
            if str(folder) in reason or "ENVIRONMENT_FACTORY" in reason
            else "Expected GCC or Clang with the libraries libasan and libubsan; choose another compiler with $CXX."
        )
        raise KernelBuildError(
            f"the environment does not compile with sanitizers ({_SANITIZERS}): {reason}\n{advice}\n"
            f"{compiled.output[:_LONGEST_REPORT]}"
        )


def summary(report: str, folder: Path) -> str:
    """Return what is wrong and where in the author's code.

    :param report: of the sanitizers, or of ``check.cpp``
    :param folder: the author's
    """
    what = re.search(r"^.*(?:runtime error: |ERROR: AddressSanitizer: |check-env: )(.+)$", report, re.MULTILINE)
    where = re.search(rf"{re.escape(str(folder))}{re.escape(os.sep)}\S+?:\d+", report)
    message = what[1].split(" on address ")[0] if what else report.splitlines()[0]
    if message == "use-after-poison":  # of what check.cpp has put a fence around
        message = "memory beyond State or Parameters is read or written"
    if message.startswith("ABRT"):
        said = _ABORTED.search(report)
        message = " ".join(said[0].split()) if said else "std::abort was called"
    return f"{where[0] if where else folder}: {message[:_LONGEST_SUMMARY]}"


def add_command(commands: Any) -> None:
    """Add ``check-env`` to the commands of ``python -m sb3_tinyrl``.

    :param commands: what ``ArgumentParser.add_subparsers`` returned
    """
    parser = commands.add_parser(
        "check-env",
        help="look for errors in a C++ environment",
        description="Build a C++ environment with sanitizers, run it with random actions, and tell what is wrong.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("folder", help="with environment.h")
    parser.add_argument("--steps", type=int, default=N_STEPS, help="steps of each of four environments")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long the steps may take")
    parser.add_argument("--seed", type=int, default=0, help="of actions and environments")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check and print; return the exit status: 1 for an error in the environment, 2 where it can't be checked."""
    if arguments.steps < 1:
        print(f"error: --steps is {arguments.steps}, expected at least 1", file=sys.stderr)
        return 2
    if not arguments.seconds > 0:
        print(f"error: --seconds is {arguments.seconds}, expected a number above 0", file=sys.stderr)
        return 2
    try:
        with Console(stderr=True).status("Building with sanitizers, and running"):  # seen in a terminal
            seen = check_environment(arguments.folder, arguments.steps, arguments.seed, arguments.seconds)
    except NativeEnvironmentError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (KernelError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{arguments.folder}: {seen}".replace("; ", "\n  "))
    return 0
