"""From a spec to a shared library on disk, compiled at most once per machine."""

from __future__ import annotations

import errno
import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sb3_tinyrl._native.errors import CacheError, CompilerNotFoundError, KernelBuildError
from sb3_tinyrl._native.jit import compiler as compiler_module
from sb3_tinyrl._native.jit import library_file
from sb3_tinyrl._native.jit.cache import KernelCache, cache_key, cache_size_limit, content_key
from sb3_tinyrl._native.jit.cache_directory import cache_directory
from sb3_tinyrl._native.jit.compiler import (
    EXHAUSTED_ADVICE,
    Compiler,
    compile_environment,
    compile_flags,
    cpu_features,
    find_compiler,
    run_compiler,
    time_limit,
)
from sb3_tinyrl._native.jit.compiler_output import first_error, prerequisites
from sb3_tinyrl._native.jit.headers import Headers, digest, find_headers, source_files
from sb3_tinyrl._native.jit.library_spec import LibrarySpec
from sb3_tinyrl._native.jit.processes import CancelledError, Finished

_LIBRARY = "kernel.so"
_DEPENDENCIES = "dependencies"
_LONGEST_OUTPUT = 4000
_INTERRUPTED = 130
#: What compilers, and those that start them, say when the machine has no more to give.
_EXHAUSTED = re.compile(
    r"Killed|out of memory|virtual memory exhausted|Cannot allocate memory|bad_alloc|Resource temporarily unavailable|"
    r"Cannot fork"
)
#: What they say where files can't grow.
_NO_SPACE = re.compile("|".join(re.escape(os.strerror(number)) for number in (errno.ENOSPC, errno.EDQUOT)))
#: What ninja, Makefile rules and messages of compilers can not hold in the name of a file.
_TROUBLESOME = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff" + ("]" if sys.platform == "win32" else r"\\]"))

_logger = logging.getLogger("sb3_tinyrl")


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:  # other than of the cache or the compiler, which explain theirs
        raise KernelBuildError(
            f"can't read what the kernel is made of: {error}; expected an installation that this user may read"
        ) from error
    except MemoryError as error:
        raise KernelBuildError(
            f"there is no memory to look for the kernel, or to build it. {EXHAUSTED_ADVICE}"
        ) from error


@_explained()
def find(spec: LibrarySpec) -> Path | None:
    """Return a shared library for ``spec`` if the cache has one, whichever compiler has made it.

    Asks no compiler for anything, so it neither waits for one nor needs one.

    :raises KernelBuildError: when sources are missing
    :raises CacheError: when the cache's folder can't be used or trusted
    """
    return KernelCache(cache_directory()).find_any(_Content(spec, find_headers()).key())


@_explained()
def build(
    spec: LibrarySpec,
    *,
    cancelled: threading.Event | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Path:
    """Return a shared library for ``spec``, compiling it unless the cache has it.

    Safe to call from any thread and from many processes at once: one compiles, the others wait for it. A
    KeyboardInterrupt ends the compiler, too, and so does the end of this process, be it killed. Without a compiler, or
    in a cache that can't be written to, one that another compiler has made of the same sources for the same processor
    is as good.

    :param spec: what to compile for
    :param cancelled: to be set from another thread to end the compiler, or the wait for another process
    :param tell: called when something begins that takes its time, with what it is
    :return: path of the library
    :raises CompilerNotFoundError: without a compiler
    :raises KernelBuildError: when the compiler fails, sources are missing, or the build was cancelled
    :raises CacheError: when the cache's folder can't be used or trusted
    """
    cancelled = cancelled or threading.Event()
    content = _Content(spec, find_headers())
    cache = KernelCache(cache_directory())
    try:
        return _find_or_compile(_Recipe(content, find_compiler(cancelled)), cache, cancelled, tell)
    except (CompilerNotFoundError, CacheError) as error:
        if library := cache.find_any(content.key()):
            _logger.info("%s; a library that another compiler has made serves", error)
            return library
        raise
    except CancelledError:
        raise KernelBuildError("the build was cancelled") from None


def _find_or_compile(
    recipe: _Recipe, cache: KernelCache, cancelled: threading.Event, tell: Callable[[str], None]
) -> Path:
    key = recipe.key()
    if library := cache.find(key):
        return library
    recipe.require_plain_names(cache.directory)
    tell("Waiting for another process that compiles")
    with cache.lock(key, cancelled, time_limit()):
        if library := cache.find(key):  # made by the process that held the lock before
            return library
        tell("Compiling")
        return _compile(recipe, cache, key, cancelled)


@dataclass(frozen=True)
class _Content:
    """All that a library is made of, but for the compiler."""

    spec: LibrarySpec
    headers: Headers

    def ingredients(self) -> dict[str, object]:
        return {
            "source": self.spec.source,
            "spec": self.spec.header(),
            "folder": digest(source_files(self.spec.folder)) if self.spec.folder else None,
            "sources": self.headers.digest(),
            "cpu": cpu_features(),
            # Stands for the flags, which are known only when there is a compiler.
            "how": Path(compiler_module.__file__).read_text(encoding="utf-8"),
        }

    def key(self) -> str:
        return content_key(self.ingredients())


@dataclass(frozen=True)
class _Recipe:
    """All that a library is made from."""

    content: _Content
    compiler: Compiler

    @property
    def spec(self) -> LibrarySpec:
        return self.content.spec

    @property
    def headers(self) -> Headers:
        return self.content.headers

    def key(self) -> str:
        compiler = {
            "compiler": self.compiler.command,
            "version": self.compiler.version,
            "flags": compile_flags(),
            "environment": compile_environment(),
        }
        return cache_key(self.content.ingredients(), compiler)

    def require_plain_names(self, cache_directory: Path) -> None:
        """Refuse folders whose names compilers and ninja misread.

        :raises KernelBuildError: naming the folder
        """
        folders = {
            "the environment's folder": self.spec.folder,
            "the folder of this package's C++ sources": self.headers.overlay,
            "the folder of RLtools": self.headers.rltools,
            "the folder for compiled kernels": cache_directory,
        }
        for what, folder in folders.items():
            if folder is not None and (found := _TROUBLESOME.search(str(folder))):
                raise KernelBuildError(
                    f"{what}, {str(folder)!r}, has {found[0]!r} in its name, which C++ compilers can't be told of; "
                    "expected a name without control characters and backslashes: rename or move it"
                )

    def shell_line(self) -> str:
        command = self.compiler.library_command(
            self.headers.overlay / self.spec.source,
            Path(_LIBRARY),
            quote_includes=[self.spec.folder] if self.spec.folder else [],
            dependencies=Path(_DEPENDENCIES) if self.spec.folder else None,
            includes=[Path("."), self.headers.include_root],
            system_includes=[self.headers.rltools],
        )
        return subprocess.list2cmdline(command) if sys.platform == "win32" else shlex.join(command)


def _compile(recipe: _Recipe, cache: KernelCache, key: str, cancelled: threading.Event) -> Path:
    size_limit = cache_size_limit()
    _logger.info("compiling %s with %s", recipe.spec, shlex.join(recipe.compiler.command))
    if recipe.compiler.kind == "zig":
        _logger.info("zig's very first compilation takes a minute or two, as it builds its C++ library first")
    start = time.perf_counter()
    shell_line = recipe.shell_line()
    # No depfile for ninja: the key covers the contents of every header, so an edited one leads to a new build from
    # nothing, even if its time of modification goes backwards, as it may when another version is installed. The pool
    # named console leaves the compiler in ninja's process group, so that both are ended together.
    ninja_file = (
        f"rule compile\n  command = {shell_line.replace('$', '$$')}\n  pool = console\nbuild {_LIBRARY}: compile\n"
    )
    with cache.workspace(key, {"kernel_spec.h": recipe.spec.header(), "build.ninja": ninja_file}) as folder:
        finished = _run_ninja(folder, cancelled)
        if finished.status == _INTERRUPTED:  # by a signal to the compiler or to ninja itself
            raise KernelBuildError("the build was interrupted")
        output = finished.output.partition("FAILED: [code=")[0]  # without what ninja says after it
        if finished.status != 0 or not (folder / _LIBRARY).exists():
            if _NO_SPACE.search(output):
                raise cache.error("no space was left for the compiler, there or in the temporary folder")
            raise _build_error(recipe.spec, shell_line, Finished(finished.status, output))
        if flaw := library_file.flaw(folder / _LIBRARY):
            raise KernelBuildError(
                f"the C++ compiler said that all went well, but what it wrote is no library: {flaw}. Expected GCC or "
                f"Clang for this machine; set CXX to one, or see what wraps it.\nCommand: {shell_line}"
            )
        if output:
            _logger.debug("the compiler says:\n%s", output)
        if recipe.spec.folder is not None:
            _require_sources_in_key(recipe, recipe.spec.folder, folder)
        if recipe.key() != key:
            raise KernelBuildError("the C++ sources changed while they were being compiled; start again")
        library = cache.publish(key, folder / _LIBRARY, recipe.spec.summary())
    _logger.info("compiled it in %.1f s", time.perf_counter() - start)
    for entry in cache.prune(max_bytes=size_limit, keep=key):
        _logger.info("removed from the cache, as it was not used for the longest time: %s", entry.purpose)
    return library


def _require_sources_in_key(recipe: _Recipe, sources: Path, workspace: Path) -> None:
    """Refuse a user's header that the key does not cover: when it changes, the old library would be taken.

    :param sources: the user's folder
    :param workspace: where the compiler ran and left what it has read
    """
    known = {path.resolve() for path in source_files(sources).values()}
    ours = (recipe.headers.overlay.resolve(), workspace.resolve())
    try:
        rule = (workspace / _DEPENDENCIES).read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        raise KernelBuildError(
            "the C++ compiler does not tell which files it has read, expected GCC or Clang, which do (-MMD -MF); set "
            "CXX to one, or see what wraps it"
        ) from None
    for name in prerequisites(rule):
        path = (workspace / name).resolve()
        if path not in known and not any(path.is_relative_to(folder) for folder in ours):
            raise KernelBuildError(
                f"the environment in {sources} includes {path}, expected C++ headers in that folder or below (none "
                "hidden, and with names that end as those of C++ do, such as .h); move or rename it, as changes would "
                "go unnoticed"
            )


def _run_ninja(folder: Path, cancelled: threading.Event) -> Finished:
    """Run ninja in ``folder``; return how the compiler ended and what both said."""
    import ninja  # slow to import, and only needed for building

    program = shutil.which("ninja", path=ninja.BIN_DIR or None)
    if program is None:
        raise KernelBuildError(
            "the program ninja is missing, expected in the Python package ninja; reinstall it with: "
            "pip install --force-reinstall ninja"
        )
    return run_compiler([program, "--quiet"], folder=folder, cancelled=cancelled)


def _build_error(spec: LibrarySpec, shell_line: str, finished: Finished) -> KernelBuildError:
    output = finished.output
    if finished.status > 128 or not output.strip():
        reason = finished.reason()
        if finished.status == 0:
            reason += " without a word, but wrote no library"
    else:
        reason = first_error(output, spec.folder)
    is_exhausted = finished.status == 128 + 9 or _EXHAUSTED.search(output)
    shown = output[:_LONGEST_OUTPUT]
    omitted = f"\n[{len(output) - len(shown)} more characters]" if len(shown) < len(output) else ""
    return KernelBuildError(
        f"the C++ compiler failed: {reason}\n"
        f"Command: {shell_line}\n"
        f"For: {spec}\n"
        f"{EXHAUSTED_ADVICE if is_exhausted else spec.advice}\n"
        f"The compiler's output ({finished.reason()}):\n{shown}{omitted}"
    )
