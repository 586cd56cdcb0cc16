"""A BLAS for RLtools' Python wrapper, which links MKL from PyPI or whatever ``-lblas`` finds.

Between these two comes OpenBLAS from the PyPI package ``scipy-openblas32``. Its symbols have a prefix that RLtools
does not expect, so a small library passes the calls on.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from sb3_tinyrl._native.abi import blas
from sb3_tinyrl._native.jit.compiler import find_compiler

_SOURCE = Path(__file__).with_name("rltools_blas.cpp")


def chosen() -> str | None:
    """Return the name of the BLAS that the wrapper is going to use, or None if there is none."""
    installed = blas.installed()
    if "mkl" in installed and blas.package_files("mkl-include"):
        return "MKL"
    if "openblas" in installed:
        return "OpenBLAS"
    return "the system's BLAS" if _links_system_blas() else None


def missing() -> str | None:
    """Return what to install, or None."""
    return None if chosen() else "pip install scipy-openblas32"


def prepare() -> None:
    """Let the wrapper, which this process is about to call, find the BLAS."""
    if chosen() != "OpenBLAS":
        return
    openblas = blas.files("openblas")[0]
    folder = Path(tempfile.mkdtemp(prefix="blas"))
    command = find_compiler().library_command(
        _SOURCE, folder / "libblas.so", includes=(), system_includes=[openblas.parents[1] / "include"]
    )
    subprocess.run([*command, str(openblas), f"-Wl,-rpath,{openblas.parent}"], check=True)
    # Where compilers and linkers look besides the folders they are told.
    os.environ["LIBRARY_PATH"] = os.environ["LD_RUN_PATH"] = str(folder)


def _links_system_blas() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        command = [*find_compiler().command, "-x", "c++", "-", "-x", "none", "-lblas", "-o", f"{folder}/program"]
        program = "int main() { return 0; }"
        return subprocess.run(command, input=program, text=True, capture_output=True).returncode == 0
