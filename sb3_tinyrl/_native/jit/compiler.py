"""Which C++ compiler to use, and how to call it."""

from __future__ import annotations

import math
import os
import platform
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from sb3_tinyrl._native.errors import CompilerNotFoundError, KernelBuildError
from sb3_tinyrl._native.jit import processes
from sb3_tinyrl._native.jit.processes import Finished

_SECONDS_TO_ANSWER = 30.0
_TIMEOUT_VARIABLE = "SB3_TINYRL_COMPILE_TIMEOUT"
_DEFAULT_TIMEOUT = "1800"
EXHAUSTED_ADVICE = (
    "The machine ran out of memory or of processes. Free some, raise the limits (ulimit -v, ulimit -u, or the "
    "container's), or compile the kernel of a saved model on a larger machine of the same kind: "
    "python -m sb3_tinyrl cache build MODEL.zip"
)
_CANDIDATES = ("clang++", "c++", "g++") if sys.platform == "darwin" else ("c++", "g++", "clang++")

_NOT_FOUND = """\
no C++ compiler found: $CXX is not set, none of {candidates} works{reasons}, and the package ziglang is missing. \
Three ways out:
  1. install your platform's compiler
       Debian, Ubuntu: sudo apt install g++
       Fedora:         sudo dnf install gcc-c++
       macOS:          xcode-select --install
       Windows:        winget install BrechtSanders.WinLibs.POSIX.UCRT
  2. pip install "sb3-tinyrl[compiler]", which brings one as a Python package (ziglang)
  3. pass kernel="torch" to train through Stable-Baselines3's own update, without a compiler"""

_MICROSOFTS = """\
can't compile the kernel: it lacks the vector types of GCC and Clang, and takes other arguments. Expected clang++ or \
zig: winget install LLVM.LLVM, or pip install "sb3-tinyrl[compiler]"; then set CXX to clang++, or unset it"""

#: Arguments with which a command chooses the processor itself.
_CHOOSES_PROCESSOR = ("-march", "-mcpu", "-target", "--target")

#: Environment variables by which a compiler finds other headers, libraries or programs, or gets other arguments.
_VARIABLES = (
    "CPATH",
    "CPLUS_INCLUDE_PATH",
    "LIBRARY_PATH",
    "COMPILER_PATH",
    "GCC_EXEC_PREFIX",
    "CCC_OVERRIDE_OPTIONS",
    "SDKROOT",
    "MACOSX_DEPLOYMENT_TARGET",
)

#: Macros that compilers define for the instructions they may use, the fastest first.
_INSTRUCTION_SETS = {
    "__AVX512F__": "AVX-512",
    "__AVX2__": "AVX2",
    "__AVX__": "AVX",
    "__SSE2__": "SSE2",
    "__ARM_FEATURE_SVE": "SVE",
    "__ARM_NEON": "NEON",
}


@dataclass(frozen=True)
class Compiler:
    """A compiler that answered: how to call it, what it says about itself, its kind (gcc, clang or zig)."""

    command: tuple[str, ...]
    version: str
    kind: str

    def library_command(
        self,
        source: Path,
        output: Path,
        includes: Iterable[Path],
        system_includes: Iterable[Path],
        quote_includes: Iterable[Path] = (),
        dependencies: Path | None = None,
    ) -> list[str]:
        """Return the arguments that compile a shared library for this very CPU.

        :param source: the translation unit
        :param output: where the library goes
        :param includes: folders searched first, in whose headers warnings count
        :param system_includes: folders searched then, in whose headers they do not
        :param quote_includes: folders searched for ``#include "..."`` only, so that no name in them hides a system
            header
        :param dependencies: where to write which files were read, those from ``system_includes`` left out
        """
        return [
            *self.command,
            *compile_flags(),
            *self.processor_flags(),
            *(part for folder in quote_includes for part in ("-iquote", str(folder))),
            *(f"-I{folder}" for folder in includes),
            *(part for folder in system_includes for part in ("-isystem", str(folder))),
            *(["-MMD", "-MF", str(dependencies)] if dependencies else []),
            str(source),
            "-o",
            str(output),
        ]

    def processor_flags(self) -> list[str]:
        """Return the flags that make code for this very CPU; none where the command chooses one itself."""
        if any(part.startswith(_CHOOSES_PROCESSOR) for part in self.command):
            return []
        if not _is_arm():
            return ["-march=native"]
        # There, -march=native leaves the tuning out, and some versions of Clang know only one of the two, or none.
        return next(([flag] for flag in ("-mcpu=native", "-march=native") if _accepts(self.command, flag)), [])

    def instruction_set(self) -> str:
        """Return the name of the widest vector instructions that a kernel for this CPU is made of.

        That is one of AVX-512, AVX2, AVX, SSE2, SVE, NEON or ``"none"``.

        :raises CompilerNotFoundError: when the compiler does not tell
        """
        return _instruction_set((*self.command, *self.processor_flags()))


def find_compiler(cancelled: threading.Event | None = None) -> Compiler:
    """Return the compiler named by ``$CXX``, else the platform's, else that of the PyPI package ``ziglang``.

    Asks it for its version, and waits for the answer for up to half a minute.

    :param cancelled: to be set from another thread to end the wait
    :raises CompilerNotFoundError: when there is none, or ``$CXX`` is set and does not work
    :raises CancelledError: when ``cancelled`` was set
    """
    if chosen := os.environ.get("CXX"):
        return _chosen_compiler(chosen, cancelled)
    reasons = ""
    for candidate in _CANDIDATES:
        # macOS has a placeholder for each of these that fails until the real one is installed
        if path := shutil.which(candidate):
            try:
                return _compiler((os.path.abspath(path),), cancelled)
            except (OSError, subprocess.SubprocessError) as error:
                reasons += f" ({_reason(error)})"
    if find_spec("ziglang"):
        # Not asked for its version, as that takes longer than all the rest of a warm start.
        from importlib.metadata import version

        try:
            return Compiler((sys.executable, "-m", "ziglang", "c++"), f"ziglang {version('ziglang')}", "zig")
        except OSError as error:
            raise CompilerNotFoundError(f"the package ziglang can't be read: {error}; reinstall it") from error
    message = _NOT_FOUND.format(candidates=", ".join(_CANDIDATES), reasons=reasons)
    if path := shutil.which("cl"):
        message += f"\nThere is {path}, which {_MICROSOFTS}"
    raise CompilerNotFoundError(message)


def run_compiler(
    command: Sequence[str], *, folder: Path | None = None, cancelled: threading.Event | None = None
) -> Finished:
    """Run a compiler, or what starts one, for as long as ``$SB3_TINYRL_COMPILE_TIMEOUT`` says.

    :param command: the program and its arguments
    :param folder: where it runs; by default where this process does
    :param cancelled: to be set from another thread to end it
    :raises KernelBuildError: when it can't be started, or was ended
    :raises CancelledError: when ``cancelled`` was set
    """
    seconds = time_limit()
    try:
        return processes.run(command, seconds=seconds, folder=folder, cancelled=cancelled)
    except subprocess.TimeoutExpired:
        raise KernelBuildError(
            f"the C++ compiler did not end within {seconds:g} s, so it was ended; if it needs longer, set "
            f"{_TIMEOUT_VARIABLE} to more seconds, otherwise see what holds it up, or set CXX to another one"
        ) from None
    except subprocess.SubprocessError as error:
        raise KernelBuildError(
            f"the C++ compiler was ended, as {error}; see what wraps it, or set CXX to another one"
        ) from None
    except OSError as error:
        raise KernelBuildError(f"the C++ compiler can't be started: {error.strerror}. {EXHAUSTED_ADVICE}") from error


def time_limit() -> float:
    """Return the seconds that a compiler may take, from ``$SB3_TINYRL_COMPILE_TIMEOUT``.

    :raises KernelBuildError: when that is no such number
    """
    text = os.environ.get(_TIMEOUT_VARIABLE) or _DEFAULT_TIMEOUT
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not seconds > 0:
        raise KernelBuildError(f"${_TIMEOUT_VARIABLE} is {text!r}, expected a number of seconds above 0; set it to one")
    return seconds


def compile_environment() -> dict[str, str]:
    """Return those environment variables that decide what a compiler reads."""
    return {name: os.environ[name] for name in _VARIABLES if name in os.environ}


def compile_flags() -> list[str]:
    """Return the flags that are the same for every kernel on this machine."""
    # Not -ffast-math: linked into a shared library it makes the whole process flush denormals to zero.
    flags = ["-std=c++17", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]
    # On Windows all code is position-independent, and Clang refuses to be told so. There, a library that needs those of
    # GCC beside it is not loaded by Python, which looks for them neither in PATH nor where the compiler lies.
    flags.append("-static" if sys.platform == "win32" else "-fPIC")
    return [*flags, "-shared", "-pthread", "-fvisibility=hidden", "-Wall", "-Wextra"]


def instruction_set() -> str:
    """Return what :meth:`Compiler.instruction_set` says of the compiler that :func:`find_compiler` finds.

    :raises CompilerNotFoundError: when there is none
    """
    return find_compiler().instruction_set()


def known_instruction_set() -> str | None:
    """Return what :func:`instruction_set` says, or ``None`` without a compiler; asks once for each environment."""
    return _known_instruction_set(os.environ.get("CXX"), os.environ.get("PATH"))


@cache
def _known_instruction_set(*_: str | None) -> str | None:
    try:
        return instruction_set()
    except CompilerNotFoundError:
        return None


def cpu_features() -> str:
    """Describe what ``-march=native`` depends on: machines that share a home directory may differ in it.

    :raises KernelBuildError: when the machine does not tell
    """
    try:
        with open("/proc/cpuinfo") as cpuinfo:
            for line in cpuinfo:
                if line.startswith(("flags", "Features")):
                    return f"{platform.machine()} {line.strip()}"
    except OSError:
        pass  # not Linux
    if sys.platform == "darwin":
        try:
            return _answer(["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"])
        except (OSError, subprocess.SubprocessError) as error:
            raise KernelBuildError(f"macOS does not tell for which processor to compile: {_reason(error)}") from error
    return f"{platform.machine()} {platform.processor()}"


def _is_arm() -> bool:
    # arm64 on macOS, ARM64 on Windows, aarch64 or armv7l on Linux
    return platform.machine().lower().startswith(("arm", "aarch64"))


@cache
def _accepts(command: tuple[str, ...], flag: str) -> bool:
    """Whether a compiler compiles an empty file with ``flag``."""
    try:
        _answer([*command, flag, "-fsyntax-only", "-x", "c++", os.devnull])
    except (OSError, subprocess.SubprocessError):
        return False
    return True


@cache
def _instruction_set(command: tuple[str, ...]) -> str:
    arguments = [*command, "-dM", "-E", "-x", "c++", os.devnull]
    try:
        answer = _answer(arguments)
    except (OSError, subprocess.SubprocessError) as error:
        raise CompilerNotFoundError(
            f"the C++ compiler does not tell for which processor it compiles: {_reason(error)}. Expected GCC or Clang; "
            "set CXX to one, or unset it to have a compiler found"
        ) from error
    macros = {line.split()[1] for line in answer.splitlines() if line.startswith("#define ")}
    return next((name for macro, name in _INSTRUCTION_SETS.items() if macro in macros), "none")


def _answer(command: list[str], cancelled: threading.Event | None = None) -> str:
    """Return what a program says that has half a minute for it."""
    answer = processes.run(command, seconds=_SECONDS_TO_ANSWER, cancelled=cancelled)
    if answer.status != 0:
        raise subprocess.CalledProcessError(answer.status, command, answer.output)
    return answer.output


def _chosen_compiler(chosen: str, cancelled: threading.Event | None) -> Compiler:
    # A path with spaces need not be quoted; anything else is split the way make and CMake split $CXX.
    try:
        command = [chosen] if shutil.which(chosen) else _split(chosen)
        if Path(command[0]).stem.lower() in ("cl", "clang-cl"):
            raise CompilerNotFoundError(f"$CXX is {chosen!r}, which {_MICROSOFTS}")
        # absolute, as the compiler runs in another folder
        return _compiler((os.path.abspath(shutil.which(command[0]) or command[0]), *command[1:]), cancelled)
    except (OSError, ValueError, IndexError, subprocess.SubprocessError) as error:
        raise CompilerNotFoundError(
            f"$CXX is {chosen!r}, which does not work: {_reason(error)}. Expected GCC or Clang, with any "
            "arguments, that answers to --version; set CXX to one, or unset it to have a compiler found"
        ) from error


def _split(command_line: str) -> list[str]:
    if os.name != "nt":
        return shlex.split(command_line)
    # Backslashes separate folders there, and shlex leaves the quotes in.
    return [part.strip("\"'") for part in shlex.split(command_line, posix=False)]


def _compiler(command: tuple[str, ...], cancelled: threading.Event | None) -> Compiler:
    version = _answer([*command, "--version"], cancelled).strip()
    if any(Path(part).stem in ("zig", "ziglang") for part in command):
        kind = "zig"
    else:
        kind = "clang" if "clang" in version else "gcc"
    return Compiler(command, version, kind)


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        said = (error.stderr or error.stdout).strip() or "no output"
        return f"{shlex.join(error.cmd)} ended with status {error.returncode} ({said.splitlines()[0]})"
    return str(error)
