"""Builds in a thread of their own: while the first environment steps are taken, or while the user waits."""

from __future__ import annotations

import _thread
import os
import threading
import time
from concurrent.futures import Future, TimeoutError
from pathlib import Path

from sb3_tinyrl._native.jit.build import build
from sb3_tinyrl._native.jit.library_spec import LibrarySpec
from sb3_tinyrl._native.jit.waiting import WaitingLine

_SECONDS_BETWEEN_LOOKS = 0.2
_SECONDS_IN_SILENCE = 0.5
_SECONDS_TO_LOOK = 1.0


class BackgroundBuild:
    """The build of one library, under way in a thread of its own from construction on."""

    def __init__(self, spec: LibrarySpec) -> None:
        self.spec = spec
        self._process_id = os.getpid()
        self._cancelled = threading.Event()
        self._library: Future[Path] = Future()
        self._activity: tuple[str, float] | None = None
        self._is_known = threading.Event()
        self._begun = threading.Lock()
        # An interpreter that exits does not wait for the compiler. No ``Thread``, whose ``start`` waits without end for
        # one that finds no memory for its first steps.
        try:
            _thread.start_new_thread(self._run, ())
        except RuntimeError:  # The operating system starts no more threads.
            self._run()

    def _run(self) -> None:
        if not self._begun.acquire(blocking=False):
            return
        try:
            self._library.set_result(build(self.spec, cancelled=self._cancelled, tell=self._tell))
        except BaseException as error:
            self._library.set_exception(error)
        self._is_known.set()

    def _tell(self, activity: str) -> None:
        self._activity = activity, time.monotonic()
        self._is_known.set()

    def is_new(self) -> bool | None:
        """Whether the library was not in the cache; ``None`` if the look into it takes longer than a second."""
        return self._activity is not None if self._is_known.wait(_SECONDS_TO_LOOK) else None

    @property
    def is_alive(self) -> bool:
        """Whether a result is there or to come: not in a forked child, nor after an interrupt."""
        return self._process_id == os.getpid() and not self._cancelled.is_set()

    def cancel(self) -> None:
        """End the compiler: the library is not needed any more."""
        self._cancelled.set()

    @property
    def failure(self) -> BaseException | None:
        """What :meth:`result` will raise, as far as known."""
        return self._library.exception() if self._library.done() else None

    def result(self) -> Path:
        """Wait for the library; tell the user on stderr when that takes longer than a look into the cache.

        :raises KernelError: what :func:`sb3_tinyrl._native.jit.build.build` raised
        """
        silent_until = time.monotonic() + _SECONDS_IN_SILENCE
        line = WaitingLine(self.spec.summary())
        library = None
        try:
            while library is None:
                # In slices, since some platforms deliver no KeyboardInterrupt to a waiting thread.
                try:
                    library = self._library.result(timeout=_SECONDS_BETWEEN_LOOKS)
                except TimeoutError:
                    if self._library.done():
                        raise
                    self._run()  # where the thread has not begun, as without memory
                    if self._activity is not None and time.monotonic() >= silent_until:
                        line.show(*self._activity)
        except KeyboardInterrupt:
            self.cancel()
            raise
        finally:
            line.end(library is not None)
        return library


def build_in_foreground(spec: LibrarySpec) -> Path:
    """Return the library for ``spec``; tell the user on stderr when it takes longer than a look into the cache.

    :param spec: what to compile for
    :raises KernelError: what :func:`sb3_tinyrl._native.jit.build.build` raised
    """
    build = BackgroundBuild(spec)
    try:
        return build.result()
    except KeyboardInterrupt:  # wherever it comes
        build.cancel()
        raise
