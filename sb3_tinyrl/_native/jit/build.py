"""From a spec to a shared library on disk, compiled at most once per machine."""

from __future__ import annotations

import errno
import logging
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from sb3_tinyrl._native.errors import KernelBuildError
from sb3_tinyrl._native.jit.cache import KernelCache, cache_directory, cache_key
from sb3_tinyrl._native.jit.compiler import Compiler, compile_flags, cpu_features, find_compiler
from sb3_tinyrl._native.jit.compiler_output import first_error, prerequisites
from sb3_tinyrl._native.jit.headers import Headers, digest, find_headers, source_files
from sb3_tinyrl._native.jit.library_spec import LibrarySpec

_LIBRARY = "kernel.so"
_DEPENDENCIES = "dependencies"
_SECONDS_BETWEEN_LOOKS = 0.1
_LONGEST_OUTPUT = 4000

_logger = logging.getLogger("sb3_tinyrl")


def find(spec: LibrarySpec) -> Path | None:
    """Return the shared library for ``spec`` if the cache has it.

    :raises CompilerNotFoundError: without the compiler that has made it
    :raises KernelBuildError: when sources are missing
    :raises CacheError: when the cache's folder can't be used
    """
    recipe = _Recipe(spec, find_compiler(), find_headers())
    return KernelCache(cache_directory()).find(recipe.key())


def build(spec: LibrarySpec, *, cancelled: threading.Event | None = None) -> Path:
    """Return a shared library for ``spec``, compiling it unless the cache has it.

    Safe to call from any thread and from many processes at once: one compiles, the others wait for it. A
    KeyboardInterrupt ends the compiler, too.

    :param spec: what to compile for
    :param cancelled: to be set from another thread to end the compiler, or the wait for another process
    :return: path of the library
    :raises CompilerNotFoundError: without a compiler
    :raises KernelBuildError: when the compiler fails, sources are missing, or the build was cancelled
    :raises CacheError: when the cache's folder can't be used
    """
    cancelled = cancelled or threading.Event()
    recipe = _Recipe(spec, find_compiler(), find_headers())
    cache = KernelCache(cache_directory())
    key = recipe.key()
    if library := cache.find(key):
        return library
    with cache.lock(key, cancelled):
        if library := cache.find(key):  # made by whoever held the lock before
            return library
        return _compile(recipe, cache, key, cancelled)


@dataclass(frozen=True)
class _Recipe:
    """All that a library is made from."""

    spec: LibrarySpec
    compiler: Compiler
    headers: Headers

    def key(self) -> str:
        return cache_key(
            {
                "source": self.spec.source,
                "spec": self.spec.header(),
                "folder": digest(source_files(self.spec.folder)) if self.spec.folder else None,
                "sources": self.headers.digest(),
                "compiler": self.compiler.command,
                "version": self.compiler.version,
                "flags": compile_flags(),
                "cpu": cpu_features(),
            }
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
    _logger.info("compiling %s with %s", recipe.spec, shlex.join(recipe.compiler.command))
    if recipe.compiler.kind == "zig":
        _logger.info("zig's very first compilation takes a minute or two, as it builds its C++ library first")
    start = time.perf_counter()
    shell_line = recipe.shell_line()
    # No depfile for ninja: the key covers the contents of every header, so an edited one leads to a new build from
    # nothing, even if its time of modification goes backwards, as it may when another version is installed.
    ninja_file = f"rule compile\n  command = {shell_line.replace('$', '$$')}\nbuild {_LIBRARY}: compile\n"
    with cache.workspace(key, {"kernel_spec.h": recipe.spec.header(), "build.ninja": ninja_file}) as folder:
        succeeded, output = _run_ninja(folder, cancelled)
        if "ninja: build stopped: interrupted" in output:  # by Ctrl-C, which reaches ninja, too
            raise KernelBuildError("the build was interrupted")
        # without what ninja says before and after it
        output = (output.partition(f"{shell_line}\n")[2] or output).partition("ninja: build stopped")[0]
        if not succeeded or not (folder / _LIBRARY).exists():
            if os.strerror(errno.ENOSPC) in output:
                raise cache.error("no space was left for the compiler, there or in the temporary folder")
            raise _build_error(recipe.spec, shell_line, output)
        if output:
            _logger.debug("the compiler says:\n%s", output)
        if recipe.spec.folder is not None:
            _require_sources_in_key(recipe, recipe.spec.folder, folder)
        if recipe.key() != key:
            raise KernelBuildError("the C++ sources changed while they were being compiled; start again")
        library = cache.publish(key, folder / _LIBRARY)
    _logger.info("compiled it in %.1f s", time.perf_counter() - start)
    return library


def _require_sources_in_key(recipe: _Recipe, sources: Path, workspace: Path) -> None:
    """Refuse a user's header that the key does not cover: when it changes, the old library would be taken.

    :param sources: the user's folder
    :param workspace: where the compiler ran and left what it has read
    """
    known = {path.resolve() for path in source_files(sources).values()}
    ours = (recipe.headers.overlay.resolve(), workspace.resolve())
    for name in prerequisites((workspace / _DEPENDENCIES).read_text(encoding="utf-8")):
        path = (workspace / name).resolve()
        if path not in known and not any(path.is_relative_to(folder) for folder in ours):
            raise KernelBuildError(
                f"the environment in {sources} includes {path}, expected C++ headers in that folder or below (none "
                "hidden); move it there, as changes elsewhere would go unnoticed"
            )


def _run_ninja(folder: Path, cancelled: threading.Event) -> tuple[bool, str]:
    """Run ninja in ``folder``; return whether it succeeded and what it and the compiler said.

    Ninja rather than the compiler itself, as it takes the compiler's own child processes along when it ends.
    """
    import ninja  # slow to import, and only needed for building

    program = shutil.which("ninja", path=ninja.BIN_DIR or None)
    if program is None:
        raise KernelBuildError(
            "the program ninja is missing, expected in the Python package ninja; reinstall it with: "
            "pip install --force-reinstall ninja"
        )
    process = subprocess.Popen(
        [program, "--quiet"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "LC_ALL": "C"},  # error messages are searched for English words
    )
    try:
        while True:
            if cancelled.is_set():
                raise KernelBuildError("the build was cancelled")
            try:
                output, _ = process.communicate(timeout=_SECONDS_BETWEEN_LOOKS)
                return process.returncode == 0, output
            except subprocess.TimeoutExpired:
                continue
    except BaseException:
        process.terminate()
        process.communicate()
        raise


def _build_error(spec: LibrarySpec, shell_line: str, output: str) -> KernelBuildError:
    shown = output[:_LONGEST_OUTPUT]
    omitted = f"\n[{len(output) - len(shown)} more characters]" if len(shown) < len(output) else ""
    return KernelBuildError(
        f"the C++ compiler failed: {first_error(output, spec.folder)}\n"
        f"Command: {shell_line}\n"
        f"For: {spec}\n"
        f"{spec.advice}\n"
        f"The compiler's output:\n{shown}{omitted}"
    )
