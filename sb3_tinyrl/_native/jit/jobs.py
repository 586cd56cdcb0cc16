"""Builds in a thread of their own: while the first environment steps are taken, or while the user waits."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future, TimeoutError
from pathlib import Path

from sb3_tinyrl._native.jit.build import build
from sb3_tinyrl._native.jit.library_spec import LibrarySpec

_SECONDS_BETWEEN_LOOKS = 0.2
_SECONDS_IN_SILENCE = 0.5


class BackgroundBuild:
    """The build of one library, under way in a thread of its own from construction on."""

    def __init__(self, spec: LibrarySpec) -> None:
        self.spec = spec
        self._process_id = os.getpid()
        self._cancelled = threading.Event()
        self._library: Future[Path] = Future()
        # A daemon, so that an interpreter that exits does not wait for the compiler.
        thread = threading.Thread(target=self._run, name="sb3_tinyrl build", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # The operating system starts no more threads.
            self._run()

    def _run(self) -> None:
        try:
            self._library.set_result(build(self.spec, cancelled=self._cancelled))
        except BaseException as error:
            self._library.set_exception(error)

    @property
    def is_alive(self) -> bool:
        """Whether a result is there or to come: not in a forked child, nor after an interrupt."""
        return self._process_id == os.getpid() and not self._cancelled.is_set()

    def is_done_within(self, seconds: float) -> bool:
        """Wait no longer than this; return whether :meth:`result` returns or raises at once."""
        try:
            self._library.exception(timeout=seconds)
        except TimeoutError:
            return False
        return True

    def cancel(self) -> None:
        """End the compiler: the library is not needed any more."""
        self._cancelled.set()

    @property
    def has_failed(self) -> bool:
        """Whether :meth:`result` will raise, as far as known."""
        return self._library.done() and self._library.exception() is not None

    def result(self) -> Path:
        """Wait for the library.

        :raises KernelError: what :func:`sb3_tinyrl._native.jit.build.build` raised
        """
        try:
            while True:
                # In slices, since some platforms deliver no KeyboardInterrupt to a waiting thread.
                try:
                    return self._library.result(timeout=_SECONDS_BETWEEN_LOOKS)
                except TimeoutError:
                    if self._library.done():
                        raise
        except KeyboardInterrupt:
            self.cancel()
            raise


def build_in_foreground(spec: LibrarySpec, what: str) -> Path:
    """Return the library for ``spec``; tell the terminal when it takes longer than a look into the cache.

    :param spec: what to compile for
    :param what: names it in the message
    :raises KernelError: what :func:`sb3_tinyrl._native.jit.build.build` raised
    """
    build = BackgroundBuild(spec)
    try:
        if build.is_done_within(_SECONDS_IN_SILENCE):
            return build.result()
        from rich.console import Console  # slow to import, and only needed here

        with Console(stderr=True).status(f"Compiling {what}, once on this machine; it takes some seconds"):
            return build.result()
    except KeyboardInterrupt:  # wherever it comes, be it during the import
        build.cancel()
        raise
