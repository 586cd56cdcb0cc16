"""Compilers that do something of their own before, or in place of, what the machine's does."""

import shlex
import shutil
from pathlib import Path


def wrapped(folder: Path, script: str) -> str:
    """Write a compiler that answers questions as the machine's does, and runs a script when it is to make a kernel.

    :param folder: where it lies
    :param script: for sh; what goes on after it is compiled by the machine's compiler, given ``"$@"``
    :return: for ``$CXX``
    """
    compiler = folder / "c++"
    real = shlex.quote(str(shutil.which("c++")))
    compiler.write_text(f'#!/bin/sh\ncase "$*" in *kernel.so*)\n{script}\nesac\nexec {real} "$@"\n')
    compiler.chmod(0o755)
    return str(compiler)
