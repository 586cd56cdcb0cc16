"""Small C++ programs that say what the machine can do."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

from sb3_tinyrl._native.errors import KernelBuildError
from sb3_tinyrl._native.jit.compiler import find_compiler, run_compiler
from sb3_tinyrl._native.jit.headers import find_headers


def compiled(name: str, folder: Path, *argument_types: Any) -> Any:
    """Return the function of a program, compiled with the compiler and the flags of the kernels; it returns a number.

    :param name: of the function, and of the file beside this one
    :param folder: where the compiled program goes
    :raises CompilerNotFoundError: without a compiler
    :raises KernelBuildError: when it fails
    """
    source, library = Path(__file__).with_name(f"{name}.cpp"), folder / f"{name}.so"
    command = find_compiler().library_command(
        source, library, includes=(find_headers().include_root,), system_includes=()
    )
    compilation = run_compiler(command)
    if compilation.status != 0:
        raise KernelBuildError(
            f"the C++ compiler failed on {source.name}, expected one that knows GCC's flags; choose another one with "
            f"$CXX. It said:\n{compilation.output}"
        )
    function = getattr(ctypes.CDLL(str(library)), name)
    function.argtypes, function.restype = argument_types, ctypes.c_double
    return function
