"""The compilers that the kernel is compiled with, and what runs their programs on this machine.

To add one, add a :class:`Toolchain` to :data:`TOOLCHAINS`; the tests and the table of docs/platforms.py follow.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from unittest import mock

import pytest

from sb3_tinyrl._native.jit.compiler import Compiler, cpu_features
from sb3_tinyrl._native.jit.headers import find_headers

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / "tests" / "rl_tools"
IS_LINUX_X86 = sys.platform == "linux" and platform.machine() == "x86_64"
_ZIG = (sys.executable, "-m", "ziglang", "c++")
#: What the tests show of a platform, in the order of the table.
COLUMNS = (
    "compiles",
    "runs",
    "float64 equal to 1e-12",
    "parity, determinism",
    "needs only the system",
    "loads",
)
#: The first run for a target builds its C++ library.
_COMPILER_TIMEOUT = 500


def newest_clang() -> str:
    """Return the name of the newest clang++ on PATH, as Debian calls them."""
    versions = [
        int(match[1])
        for folder in os.get_exec_path()
        if os.path.isdir(folder)
        for name in os.listdir(folder)
        if (match := re.fullmatch(r"clang\+\+-(\d+)", name))
    ]
    return f"clang++-{max(versions)}" if versions else "clang++"


@dataclass(frozen=True)
class Toolchain:
    """A compiler for some platform.

    :param platform: the row of the table
    :param name: the same for the command line
    :param command: the compiler
    :param kind: as of :class:`Compiler`
    :param runner: what runs its programs, nothing where this machine itself does
    :param runs: whether they can be run here at all
    :param system: ``sys.platform`` there
    :param cpu_flag: what this machine's /proc/cpuinfo must list for them to run
    """

    platform: str
    name: str
    command: tuple[str, ...]
    kind: str = "gcc"
    runner: tuple[str, ...] = ()
    runs: bool = True
    system: str = "linux"
    cpu_flag: str = ""

    def __str__(self) -> str:
        return self.name

    def require(self) -> None:
        """Skip the test where the compiler is missing."""
        if not IS_LINUX_X86:
            pytest.skip("the machine that cross-compiles is Linux on x86-64")
        if self.kind == "zig":
            if not find_spec("ziglang"):
                pytest.skip("the Python package ziglang is not installed")
        elif not shutil.which(self.command[0]):
            pytest.skip(f"{self.command[0]} is not installed")

    def require_runner(self) -> None:
        """Skip the test where the programs can't be run."""
        self.require()
        if not self.runs:
            pytest.skip(f"programs for {self.platform} can't be run here")
        if self.runner and not shutil.which(self.runner[0]):
            pytest.skip(f"{self.runner[0]} is not installed")
        if self.cpu_flag and not self.runner and self.cpu_flag not in cpu_features().split():
            pytest.skip(f"this processor lacks {self.cpu_flag}")

    def compiler(self) -> Compiler:
        """Return what the kernel's build would find."""
        self.require()
        if self.kind == "zig":
            return Compiler(self.command, f"ziglang {version('ziglang')}", self.kind)
        answer = subprocess.run([*self.command, "--version"], capture_output=True, text=True, check=True).stdout
        return Compiler(self.command, answer.strip(), self.kind)

    def library(
        self, source: str, output: Path, includes: Sequence[Path] = (), quote_includes: Sequence[Path] = ()
    ) -> Path:
        """Compile a library as the kernel's build does on that platform, with warnings as errors."""
        compiler, headers = self.compiler(), find_headers()
        with mock.patch.object(sys, "platform", self.system):
            command = compiler.library_command(
                headers.overlay / source,
                output,
                includes=[*includes, headers.include_root],
                system_includes=[headers.rltools],
                quote_includes=quote_includes,
            )
        _compile([*command, "-Werror"])
        return output

    def program(self, source: str, output: Path, *flags: str, includes: Sequence[Path] = ()) -> Path:
        """Compile a program with a kernel's flags for code, and warnings as errors."""
        headers = find_headers()
        _compile(
            [
                *self.command,
                *self.compiler().processor_flags(),
                *("-std=c++17", "-O2", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-pthread"),
                *("-Wall", "-Wextra", "-Werror", *flags),
                *(["-static"] if self.system == "win32" else []),
                *(f"-I{folder}" for folder in (*includes, headers.include_root)),
                *("-isystem", str(headers.rltools)),
                str(PROGRAMS / source),
                *("-o", str(output)),
            ]
        )
        return output

    def run(self, program: Path, *arguments: str) -> str:
        """Run a program; return what it prints.

        :raises AssertionError: when it fails
        """
        self.require_runner()
        environment = {**os.environ, "WINEDEBUG": "-all", "WINEPREFIX": str(Path(program.parents[1], "wine"))}
        finished = subprocess.run(
            [*self.runner, str(program), *arguments],
            capture_output=True,
            text=True,
            timeout=300,
            env=environment,
        )
        assert finished.returncode == 0, finished.stdout[-2000:] + finished.stderr[-2000:]
        return finished.stdout


def _compile(command: list[str]) -> None:
    compiled = subprocess.run(command, capture_output=True, text=True, timeout=_COMPILER_TIMEOUT)
    assert compiled.returncode == 0, f"{command}\n{compiled.stderr[:4000]}"


NATIVE = (
    Toolchain("Linux x86-64, g++", "g++", ("g++",)),
    Toolchain("Linux x86-64, Clang", "clang", (newest_clang(),), "clang"),
    Toolchain("Linux x86-64, zig", "zig", _ZIG, "zig"),
)
#: The code paths of instruction sets that this machine need not be compiled for.
INSTRUCTION_SETS = (
    Toolchain("x86-64 with SSE2 alone, g++", "sse2", ("g++", "-march=x86-64")),
    Toolchain("x86-64 with AVX2, g++", "avx2", ("g++", "-march=x86-64-v3"), cpu_flag="avx2"),
    Toolchain("x86-64 with AVX-512, g++", "avx512", ("g++", "-march=x86-64-v4"), cpu_flag="avx512bw"),
    Toolchain(
        "x86-64 with AVX-512, Clang", "avx512-clang", (newest_clang(), "-march=x86-64-v4"), "clang", cpu_flag="avx512bw"
    ),
)
ARM = (
    Toolchain(
        "Linux ARM 64-bit, g++",
        "aarch64",
        ("aarch64-linux-gnu-g++", "-mcpu=cortex-a72"),
        runner=("qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"),
    ),
    Toolchain(
        "Linux ARM 32-bit, g++",
        "armv7",
        ("arm-linux-gnueabihf-g++", "-mcpu=cortex-a7", "-mfpu=neon-vfpv4"),
        runner=("qemu-arm", "-L", "/usr/arm-linux-gnueabihf"),
    ),
)
WINDOWS = (
    Toolchain(
        "Windows x86-64, MinGW g++",
        "windows-mingw",
        ("x86_64-w64-mingw32-g++-posix", "-march=x86-64-v3"),
        runner=("wine",),
        system="win32",
        cpu_flag="avx2",
    ),
    Toolchain(
        "Windows x86-64, zig",
        "windows-zig",
        (*_ZIG, "-target", "x86_64-windows-gnu"),
        "zig",
        runner=("wine",),
        system="win32",
    ),
)
MACOS = (
    Toolchain("macOS ARM, zig", "macos-arm", (*_ZIG, "-target", "aarch64-macos"), "zig", runs=False, system="darwin"),
    Toolchain(
        "macOS Intel, zig", "macos-intel", (*_ZIG, "-target", "x86_64-macos"), "zig", runs=False, system="darwin"
    ),
)
TOOLCHAINS = (*NATIVE, *INSTRUCTION_SETS, *ARM, *WINDOWS, *MACOS)
