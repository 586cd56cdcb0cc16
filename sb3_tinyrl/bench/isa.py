"""The instruction set that kernels and the FMA peak are compiled for, where a user wants another than the machine's."""

from __future__ import annotations

import os
import shlex
import subprocess

from sb3_tinyrl._native.jit.compiler import find_compiler

#: What ``--isa`` takes, what the compiler calls it, and what it is called in tables.
ISAS = {"sse2": ("x86-64", "SSE2"), "avx2": ("x86-64-v3", "AVX2"), "avx512": ("x86-64-v4", "AVX-512")}
_WIDEST_FIRST = ("AVX-512", "AVX2", "AVX", "SSE2")


class IsaError(Exception):
    """The instruction set can't be chosen."""


def choose_isa(isa: str) -> None:
    """Let this process and those that it starts compile for an instruction set, through ``$CXX``.

    :param isa: one of :data:`ISAS`
    :raises IsaError: where the processor lacks it, or ``$CXX`` already chooses a processor
    :raises CompilerNotFoundError: without a compiler
    """
    level, name = ISAS[isa]
    compiler = find_compiler()
    if not compiler.processor_flags():
        raise IsaError("$CXX already chooses a processor (-march, -mcpu or --target); leave out that, or --isa")
    own = compiler.instruction_set()
    if own not in _WIDEST_FIRST or _WIDEST_FIRST.index(own) > _WIDEST_FIRST.index(name):
        raise IsaError(f"the processor has {own}, expected one with {name}; leave out --isa, or choose a narrower one")
    # -march would also decide for which processor the order of instructions is best.
    command = [*compiler.command, f"-march={level}", "-mtune=native"]
    os.environ["CXX"] = subprocess.list2cmdline(command) if os.name == "nt" else shlex.join(command)
    chosen = find_compiler().instruction_set()
    if chosen != name:
        raise IsaError(f"with -march={level} the compiler makes {chosen}, expected {name}; set CXX to GCC or Clang")
