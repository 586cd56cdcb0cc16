"""The libraries to which a kernel may leave its matrix products.

A kernel is not linked with one of them: it gets the addresses of two functions when it is created, so that one compiled
kernel serves all. They are called by several threads at once and must compute in the one that calls. What is loaded
here stays out of the process' global symbols: torch brings an MKL of its own, and numpy an OpenBLAS.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from sb3_tinyrl._native.abi.structs import BlasFunctions
from sb3_tinyrl._native.errors import BlasError
from sb3_tinyrl._native.jit.compiler import find_compiler, run_compiler

_ACCELERATE = "/System/Library/Frameworks/Accelerate.framework/Accelerate"
# The layers of MKL: its interface with 32-bit integers, without threads.
_MKL_LAYERS = ("libmkl_intel_lp64.so", "libmkl_sequential.so", "libmkl_core.so")
_OPENBLAS = ("libscipy_openblas.so", "libscipy_openblas.dylib", "libscipy_openblas.dll")
# Its own symbols before those of the process, and none of them for others (the latter is ctypes' default).
if sys.platform == "win32":  # where libraries keep their symbols apart in any case
    _PRIVATE = 0
else:
    _PRIVATE = os.RTLD_NOW | os.RTLD_LOCAL | getattr(os, "RTLD_DEEPBIND", 0)


@dataclass(frozen=True, eq=False)
class Blas:
    """A library that has been loaded.

    :param name: one of :data:`LIBRARIES`
    :param library: keeps it loaded
    :param prefix: of its functions' names
    """

    name: str
    library: ctypes.CDLL
    prefix: str = ""

    def functions(self) -> BlasFunctions:
        """Return the addresses of the matrix products in float32 and float64."""
        functions = {name: getattr(self.library, f"{self.prefix}cblas_{name}") for name in ("sgemm", "dgemm")}
        return BlasFunctions(**{name: ctypes.cast(f, ctypes.c_void_p).value for name, f in functions.items()})


def _find_accelerate() -> list[Path]:
    return [Path(_ACCELERATE)] if sys.platform == "darwin" else []


def _load_accelerate(files: list[Path]) -> Blas:
    return Blas("accelerate", ctypes.CDLL(os.fspath(files[0]), _PRIVATE))


def _find_mkl() -> list[Path]:
    # Elsewhere than on Linux, the layers have other names and are loaded otherwise.
    found = {path.name.partition(".so")[0] + ".so": path for path in package_files("mkl") if ".so" in path.name}
    return [found[layer] for layer in _MKL_LAYERS] if found.keys() >= set(_MKL_LAYERS) else []


def _load_mkl(files: list[Path]) -> Blas:
    # The layers use each other's functions without saying so. MKL's own loader (libmkl_rt) makes them global, where
    # torch's MKL would find them in place of its own. Beneath a library that needs them all, they find each other.
    folders = {str(path.parent) for path in files}
    with tempfile.TemporaryDirectory(prefix="sb3_tinyrl_mkl") as folder:
        output = Path(folder, "mkl.so")
        command = [
            *find_compiler().command,
            "-shared",
            "-Wl,--no-as-needed",
            *map(str, files),
            *(f"-Wl,-rpath,{path}" for path in sorted(folders)),
            *("-o", str(output)),
        ]
        linked = run_compiler(command)
        if linked.status != 0:
            raise BlasError(
                f"MKL is installed, but its layers could not be linked: {linked.output.strip()}\n"
                f"Command: {shlex.join(command)}\n"
                'Choose another compiler with $CXX, or another backend, such as backend="simd".'
            )
        return Blas("mkl", ctypes.CDLL(os.fspath(output), _PRIVATE))


def _find_openblas() -> list[Path]:
    return [path for path in package_files("scipy-openblas32") if path.name in _OPENBLAS]


def _load_openblas(files: list[Path]) -> Blas:
    blas = Blas("openblas", ctypes.CDLL(os.fspath(files[0]), _PRIVATE), "scipy_")
    blas.library.scipy_openblas_set_num_threads(1)
    return blas


@dataclass(frozen=True)
class _Library:
    label: str
    find: Callable[[], list[Path]]
    load: Callable[[list[Path]], Blas]
    wanted: str
    remedy: str


_LIBRARIES = {
    "accelerate": _Library("Accelerate", _find_accelerate, _load_accelerate, "macOS", "use a Mac"),
    "mkl": _Library(
        "MKL",
        _find_mkl,
        _load_mkl,
        "the Python package mkl on Linux",
        'pip install "sb3-tinyrl[mkl]"',
    ),
    "openblas": _Library(
        "OpenBLAS",
        _find_openblas,
        _load_openblas,
        "the Python package scipy-openblas32",
        'pip install "sb3-tinyrl[openblas]"',
    ),
}

#: Names of the libraries, in the order in which they are preferred.
LIBRARIES = tuple(_LIBRARIES)


def label(name: str) -> str:
    """Return what a library calls itself."""
    return _LIBRARIES[name].label


def remedy(name: str) -> str:
    """Return what to do when a library is not installed."""
    return _LIBRARIES[name].remedy


def files(name: str) -> list[Path]:
    """Return the files of which a library consists; none when it is not installed."""
    return _LIBRARIES[name].find()


def installed() -> list[str]:
    """Return the names of the libraries that are there, the preferred one first. Nothing is loaded."""
    return [name for name, library in _LIBRARIES.items() if library.find()]


def require(name: str | None = None) -> str:
    """Return the name of the library to use. Nothing is loaded.

    :param name: the library; ``None`` for the preferred one among those installed
    :raises BlasError: when it is not installed
    """
    names = LIBRARIES if name is None else (name,)
    for candidate in names:
        if _LIBRARIES[candidate].find():
            return candidate
    wanted = "; ".join(f"{_LIBRARIES[name].label} needs {_LIBRARIES[name].wanted}" for name in names)
    remedies = " or ".join(_LIBRARIES[name].remedy for name in names if name != "accelerate" or len(names) == 1)
    raise BlasError(
        f'no BLAS was found for the kernel: {wanted}. Either {remedies}, or do without one and pass backend="simd".'
    )


@cache
def load(name: str | None = None) -> Blas:
    """Load a library, once in a process: the same name gives the same object.

    :param name: one of :data:`LIBRARIES`; ``None`` for the preferred one among those installed
    :raises BlasError: when it is not installed or can't be loaded
    """
    if name is None:
        return load(require())
    library = _LIBRARIES[require(name)]
    try:
        blas = library.load(library.find())
        blas.functions()
    except (OSError, AttributeError) as error:
        raise BlasError(
            f"{library.label} can't be loaded: {error}. It needs {library.wanted}; {library.remedy} "
            '(anew, if it is there), or choose another backend, such as backend="simd".'
        ) from error
    return blas


@cache
def default() -> Blas | None:
    """Return Accelerate on macOS, whose matrix unit only it may use; ``None`` elsewhere."""
    if sys.platform != "darwin":
        return None
    try:
        return load("accelerate")
    except BlasError:
        return None


def package_files(package: str) -> list[Path]:
    """Return where the files of an installed Python package lie; none when it is not installed."""
    try:
        files = distribution(package).files
    except PackageNotFoundError:
        return []
    return [path for file in files or () if (path := Path(str(file.locate())).resolve()).exists()]
