"""Where C++ lies: our overlay ``rl_tools/``, the headers of the PyPI package ``rltools``, and folders of the user's."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

from sb3_tinyrl._native.errors import KernelBuildError

_KERNEL_SOURCE = Path("interface", "sb3", "sac.cpp")
_RLTOOLS_INCLUDE = Path("external", "rl_tools", "include")
_RLTOOLS_VERSION = "2.2"  # as in pyproject.toml; the headers of others differ in most that we use
_SUFFIXES = frozenset([".h", ".hh", ".hpp", ".hxx", ".inl", ".ipp", ".tpp", ".inc", ".c", ".cc", ".cpp", ".cxx"])


@dataclass(frozen=True)
class Headers:
    """The two folders a kernel is compiled from: our ``rl_tools/`` itself, and RLtools' include folder."""

    overlay: Path
    rltools: Path

    @property
    def include_root(self) -> Path:
        """The folder from which ``#include <rl_tools/...>`` finds our overlay."""
        return self.overlay.parent

    def digest(self) -> str:
        """Return a hash over the names and contents of all files in both folders.

        Contents rather than times of modification, because package managers set those as they please; reading
        all of it takes about ten milliseconds.
        """
        return _digest(chain(_files(self.overlay), _files(self.rltools)))


def source_files(folder: Path) -> dict[str, Path]:
    """Return the C++ files in a folder of the user's and below it, by relative path.

    Other files are no matter, nor is what is hidden, such as a virtual environment, nor what is no file, such as a link
    to nothing or a pipe.

    :raises KernelBuildError: when the folder can't be read
    """

    def fail(error: OSError) -> None:
        raise KernelBuildError(f"can't read the environment's folder {folder}: {error.strerror}") from error

    files = {}
    for place, folders, names in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = [Path(place, name) for name in sorted(names) if not name.startswith(".")]
        # A link to nothing holds nothing, and a pipe would hold us up.
        paths = [path for path in paths if path.suffix in _SUFFIXES and path.is_file()]
        files.update({path.relative_to(folder).as_posix(): path for path in paths})
    return files


def digest(files: dict[str, Path]) -> str:
    """Return a hash over names and contents."""
    return _digest(files.items())


def _digest(files: Iterable[tuple[str, str | Path]]) -> str:
    total = hashlib.sha256()
    for name, path in files:
        with open(path, "rb") as file:
            total.update(os.fsencode(f"{name}\0") + hashlib.sha256(file.read()).digest())
    return total.hexdigest()


def require_environment_folder(folder: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a folder with an environment.

    :raises FileNotFoundError: when there is no such folder, or no ``environment.h`` in it
    """
    path = Path(folder).expanduser().absolute()
    if not path.is_dir():
        raise FileNotFoundError(f"there is no folder {path}, expected one with a C++ environment in environment.h")
    header = path / "environment.h"
    if not header.is_file():
        if os.path.lexists(header):
            raise FileNotFoundError(f"{header} is no file, expected a C++ header, or a link to one; put one there")
        headers = ", ".join(sorted(file.name for file in path.glob("*.h"))) or "no header at all"
        raise FileNotFoundError(
            f"the folder {path} has no environment.h (it has {headers}); add that header and include the others in it"
        )
    return path


def find_headers() -> Headers:
    """Locate both folders, without importing ``rltools``, which would need pybind11 and write files.

    :raises KernelBuildError: when one of them is missing, or RLtools has another version than ours is written for
    """
    # `rl_tools` is a namespace package: any folder of that name on sys.path contributes a location.
    for location in _locations("rl_tools"):
        if (location / _KERNEL_SOURCE).is_file():
            overlay = location
            break
    else:
        raise KernelBuildError(
            f"the kernel's source rl_tools/{_KERNEL_SOURCE.as_posix()} is in no folder of sys.path, expected "
            "it beside the package sb3_tinyrl; reinstall with: pip install --force-reinstall sb3-tinyrl"
        )
    for location in _locations("rltools"):
        if (location / _RLTOOLS_INCLUDE).is_dir():
            _require_version(location)
            return Headers(overlay, location / _RLTOOLS_INCLUDE)
    raise KernelBuildError(
        f"the headers of RLtools are missing, expected {_RLTOOLS_INCLUDE.as_posix()} in the Python package "
        "rltools; install it with: pip install --force-reinstall rltools"
    )


def _require_version(location: Path) -> None:
    try:
        package = distribution("rltools")
    except PackageNotFoundError:
        return  # a clone on sys.path, whose user knows
    if Path(str(package.locate_file("rltools"))).absolute() == location:
        installed = package.version
        if installed != _RLTOOLS_VERSION and not installed.startswith(f"{_RLTOOLS_VERSION}."):
            raise KernelBuildError(
                f"the Python package rltools has version {installed}, expected {_RLTOOLS_VERSION}, as the kernel uses "
                f'its C++ headers; install it with: pip install "rltools~={_RLTOOLS_VERSION}.0"'
            )


def _locations(package: str) -> list[Path]:
    try:
        spec = find_spec(package)
    except OSError as error:  # of a folder on sys.path, such as the current one that was removed
        raise KernelBuildError(
            f"the package {package} can't be looked for: {error}; see that the folders of sys.path are there, and the "
            "current one"
        ) from error
    locations = spec.submodule_search_locations if spec else None
    return [Path(location).absolute() for location in locations or ()]  # as sys.path may hold relative ones


def _files(folder: str | os.PathLike[str], prefix: str = "") -> Iterator[tuple[str, str]]:
    # os.scandir, as pathlib's walk takes several times longer, and this runs at every start
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir():
                yield from _files(entry.path, f"{prefix}{entry.name}/")
            else:
                yield prefix + entry.name, entry.path
