"""The C interface of a compiled kernel (``rl_tools/interface/sb3/off_policy.h``), called through ctypes.

ctypes releases the GIL during each call. Nothing here knows reinforcement learning: arrays in, arrays out.
"""

from __future__ import annotations

import ctypes
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
import numpy.typing as npt

from sb3_tinyrl._native.abi.blas import Blas
from sb3_tinyrl._native.abi.libraries import Signatures, load_library
from sb3_tinyrl._native.abi.specs import KernelSpec
from sb3_tinyrl._native.abi.structs import (
    BlasFunctions,
    Engine,
    HyperParameters,
    LoopRequest,
    LoopResult,
    Losses,
    Parameter,
    ReplayBufferView,
    SquashedGaussian,
    StateDependentNoise,
)
from sb3_tinyrl._native.abi.thread_tuner import ThreadTuner, available_threads, require_n_threads
from sb3_tinyrl._native.errors import KernelError

#: Gradient steps in one call: between two calls Python gets to see a KeyboardInterrupt.
MAX_STEPS = 16

#: What a gradient step does one after the other; see ``sb3_sac.h``.
PHASES = (
    "transpose the weights",
    "sample the noise matrix",
    "evaluate the critics",
    "update the critics",
    "evaluate the actions",
    "differentiate the actions",
    "differentiate the actor",
    "update the actor",
)

_TRAINING = (
    ctypes.c_void_p,
    ctypes.POINTER(HyperParameters),
    ctypes.POINTER(ReplayBufferView),
    ctypes.POINTER(Engine),
    ctypes.c_uint32,
    ctypes.c_int64,
    ctypes.c_int64,
    ctypes.c_void_p,
    ctypes.POINTER(ctypes.c_int64),
)
_SIGNATURES: Signatures = {
    "kernel_create": (ctypes.c_void_p, (ctypes.c_uint32, ctypes.POINTER(BlasFunctions))),
    "kernel_n_threads": (ctypes.c_uint32, (ctypes.c_void_p,)),
    "kernel_destroy": (None, (ctypes.c_void_p,)),
    "kernel_bind": (
        None,
        (
            ctypes.c_void_p,
            ctypes.POINTER(Parameter),
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_void_p,
        ),
    ),
    "kernel_time_phases": (None, (ctypes.c_void_p, ctypes.c_void_p)),
    "kernel_train": (None, _TRAINING),
    "kernel_start_training": (None, _TRAINING),
    "kernel_finish_training": (None, (ctypes.c_void_p,)),
    "kernel_run": (
        None,
        (
            ctypes.c_void_p,
            ctypes.POINTER(HyperParameters),
            ctypes.POINTER(LoopRequest),
            ctypes.c_uint32,
            ctypes.POINTER(LoopResult),
        ),
    ),
    "kernel_act": (
        ctypes.c_int32,
        (
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_int64,
            ctypes.POINTER(Engine),
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_int64,
            ctypes.c_void_p,
        ),
    ),
    "kernel_sample_matrices": (
        None,
        (ctypes.c_void_p, ctypes.POINTER(Engine), ctypes.c_int64, ctypes.c_void_p),
    ),
}


#: Kernels that take gradient steps beside their callers.
_train_beside: set[Kernel] = set()


def _await_all() -> None:
    """Wait for the gradient steps of all kernels: a child that is forked within one would get half of it."""
    for kernel in [*_train_beside]:
        kernel._wait()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_await_all)


class _Array:
    """An array whose address is known: asking numpy each time costs more than a small call."""

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self.array = np.zeros(shape, dtype)
        self.address = self.array.ctypes.data


class Kernel:
    """One kernel with its threads and workspace. Several may live side by side; threads that share one take turns.

    :param spec: what the library was compiled for
    :param library: path of the shared library
    :param n_threads: threads that share an update, the calling one among them; ``None`` for the number that turns out
        to be the fastest. The results do not depend on it. Where the operating system does not start as many, those
        that there are do the work, and a ``UserWarning`` says so.
    :param blas: computes the matrix products, for a spec with ``use_blas``; ``None`` for others
    :raises ValueError: for a number of threads that is not between 1 and 16
    :raises KernelError: when the library can't be loaded, or memory is not to be had
    """

    def __init__(self, spec: KernelSpec, library: Path, n_threads: int | None = None, blas: Blas | None = None) -> None:
        assert spec.use_blas == (blas is not None)
        require_n_threads(n_threads)
        self.spec = spec
        self.blas = blas
        self.n_threads = n_threads
        self._process_id = os.getpid()
        self._library = load_library(library, "kernel", _SIGNATURES)
        functions = ctypes.byref(blas.functions()) if blas else None
        n_wanted = available_threads() if n_threads is None else n_threads
        self._handle = self._library.kernel_create(n_wanted, functions)
        if not self._handle:
            raise KernelError(
                "The kernel got no memory for its workspace. Free some memory, or pass a smaller batch_size, n_threads "
                "or net_arch."
            )
        n_started = self._library.kernel_n_threads(self._handle)
        if n_started < n_wanted:
            warnings.warn(
                f"The operating system started {n_started} of {n_wanted} threads; updates go on with those. To have "
                "all, raise the limit on processes (ulimit -u, or pids of the container) or on memory (ulimit -v), or "
                f"pass n_threads={n_started} if these are enough.",
                UserWarning,
                stacklevel=2,
            )
        self._thread_tuner = ThreadTuner(n_threads, n_started)
        self._engine = Engine()
        self._losses = _Array((MAX_STEPS, len(Losses._fields_)), np.float64)
        self._act_arrays = _Array((0,), np.float32), _Array((0,), np.float32)
        # Of threads that train, and of those that act. A signal's handler may do either again within the same thread.
        self._training, self._acting = RLock(), RLock()

    def __del__(self) -> None:
        # The threads of a forked parent do not exist here, and waiting for them would never end.
        if getattr(self, "_handle", None) and self.is_of_this_process:
            self._library.kernel_destroy(self._handle)

    @property
    def is_of_this_process(self) -> bool:
        """Whether no fork lies between here and its creation."""
        return os.getpid() == self._process_id

    @property
    def largest_n_threads(self) -> int:
        """Threads that may share an update, the calling one among them."""
        return self._thread_tuner.largest

    def serves(self, batch_size: int, n_threads: int | None, blas: Blas | None) -> bool:
        """Whether a call with these arguments needs no other kernel; a forked child needs threads of its own."""
        return (
            batch_size == self.spec.batch_size
            and n_threads == self.n_threads
            and blas is self.blas
            and self.is_of_this_process
        )

    def bind(
        self,
        parameters: list[Parameter],
        log_entropy_coefficient: Parameter,
        policy: SquashedGaussian | StateDependentNoise,
        action_low: npt.NDArray[Any],
        action_high: npt.NDArray[Any],
    ) -> None:
        """Point the kernel at the networks' memory, which the caller keeps alive and in place.

        For acting, only the values of the actor's parameters are needed.

        :param parameters: weight and bias of each layer of the actor (hidden, mean, and log standard deviation unless
            there is state-dependent noise), the critics and their targets
        :param log_entropy_coefficient: with a null ``value`` where the coefficient is fixed
        :param policy: what it has beside its layers: the latter for a spec with ``use_sde``
        :param action_low: the environment's bounds, ``action_dim`` elements; copied as float32
        :param action_high: the same
        """
        bounds = [np.ascontiguousarray(bound, np.float32) for bound in (action_low, action_high)]
        with self._training, self._acting:
            self._library.kernel_bind(
                self._handle,
                (Parameter * (len(parameters) + 1))(*parameters, log_entropy_coefficient),
                ctypes.byref(policy),
                *(bound.ctypes.data for bound in bounds),
            )

    @contextmanager
    def timing_phases(self) -> Iterator[npt.NDArray[np.float64]]:
        """Measure where gradient steps spend their time, for as long as the context lasts.

        :return: the seconds of each of :data:`PHASES` so far
        """
        seconds = np.zeros(len(PHASES))
        self._library.kernel_time_phases(self._handle, seconds.ctypes.data)
        try:
            yield seconds
        finally:
            self._library.kernel_time_phases(self._handle, None)

    def train(
        self,
        hyper_parameters: HyperParameters,
        buffer: ReplayBufferView,
        key: int,
        counter: int,
        first_step: int,
        n_steps: int,
        n_taken: ctypes.c_int64,
    ) -> npt.NDArray[np.float64]:
        """Take gradient steps ``first_step`` to ``first_step + n_steps - 1`` of one call of SB3's ``train``.

        :param n_steps: at most :data:`MAX_STEPS`
        :param n_taken: receives how many steps were taken: a KeyboardInterrupt, which comes as soon as the kernel
            returns, takes the place of what this method returns
        :return: one row for each step that was taken: the fields of :class:`Losses`. Fewer than ``n_steps`` where the
            next one would have computed with NaN or an infinite number; it has changed nothing
        """
        with self._training:
            self._engine.key, self._engine.counter = key, counter
            n_threads = self._thread_tuner.next()
            start = time.perf_counter()
            self._library.kernel_train(
                self._handle,
                ctypes.byref(hyper_parameters),
                ctypes.byref(buffer),
                ctypes.byref(self._engine),
                n_threads,
                first_step,
                n_steps,
                self._losses.address,
                n_taken,
            )
            self._thread_tuner.record(n_threads, (time.perf_counter() - start) / n_steps)
            losses: npt.NDArray[np.float64] = self._losses.array[: n_taken.value].copy()
        return losses

    def start_training(
        self,
        hyper_parameters: HyperParameters,
        buffer: ReplayBufferView,
        key: int,
        counter: int,
        first_step: int,
        n_steps: int,
        n_taken: ctypes.c_int64,
    ) -> None:
        """Begin what :meth:`train` does, beside the caller.

        Until :meth:`finish_training` the weights and the optimizers' state change, and nothing else may write to them,
        to the rows that ``buffer`` shows or to what it points at.

        :param n_taken: receives how many steps were taken, at their end
        """
        with self._training:
            _train_beside.add(self)
            self._engine.key, self._engine.counter = key, counter
            self._n_taken = n_taken  # alive until the kernel has written it
            self._library.kernel_start_training(
                self._handle,
                ctypes.byref(hyper_parameters),
                ctypes.byref(buffer),
                ctypes.byref(self._engine),
                self._thread_tuner.next(),
                first_step,
                n_steps,
                self._losses.address,
                n_taken,
            )

    def finish_training(self, n_taken: ctypes.c_int64) -> npt.NDArray[np.float64]:
        """Wait for the gradient steps that :meth:`start_training` has begun; return what :meth:`train` would.

        May be called again after a KeyboardInterrupt, which comes as soon as the kernel returns.

        :param n_taken: what :meth:`start_training` got; 0 where it was not called any more
        """
        self._wait()
        _train_beside.discard(self)
        losses: npt.NDArray[np.float64] = self._losses.array[: n_taken.value].copy()
        return losses

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Let no gradient step of this kernel, of whichever thread's, change the model's memory in this context."""
        if not self.is_of_this_process:  # the thread that holds the lock may not exist here
            yield
            return
        with self._training:
            self._wait()
            yield

    def _wait(self) -> None:
        if self.is_of_this_process:  # else no thread is there, and waiting for it would never end
            self._library.kernel_finish_training(self._handle)

    def run(self, hyper_parameters: HyperParameters, request: LoopRequest, result: LoopResult) -> None:
        """Collect and train with compiled environments until ``request.schedule`` says that the loop returns.

        :param request: what to do, and where the loop is
        :param result: filled, rather than returned: a KeyboardInterrupt comes as soon as the kernel returns, and the
            caller has to know even then what was done. Until the kernel runs it has to say that nothing was.
        """
        with self._training:
            n_threads = self._thread_tuner.next()
            start = time.perf_counter()
            self._library.kernel_run(
                self._handle, ctypes.byref(hyper_parameters), ctypes.byref(request), n_threads, ctypes.byref(result)
            )
            if result.n_updates:
                self._thread_tuner.record(n_threads, (time.perf_counter() - start) / result.n_updates)

    def act(
        self,
        observations: npt.NDArray[Any],
        engine: Engine | None = None,
        normal: npt.NDArray[np.float32] | None = None,
        matrices: int | None = None,
        matrix_stride: int = 0,
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], bool]:
        """Compute actions; deterministic ones without any of the noise's arguments. Other threads may act and train.

        :param observations: shape ``(n, ...)`` with the spec's ``observation_dim`` elements in each row
        :param engine: draws the noise
        :param normal: or standard normal variates from somewhere else, shape ``(n, action_dim)``
        :param matrices: with ``use_sde`` the address of the matrices of exploration noise
        :param matrix_stride: elements from one observation's matrix to the next
        :return: actions in [-1, 1] and in the environment's bounds, shape ``(n, action_dim)`` each, and whether all are
            finite
        :raises ValueError: when the shape does not fit
        """
        n = len(observations)
        with self._acting:
            rows, actions = self._act_arrays
            if len(rows.array) != n or n == 0:
                rows = _Array((n, self.spec.observation_dim), np.float32)
                actions = _Array((2, n, self.spec.action_dim), np.float32)
                self._act_arrays = rows, actions  # both at once: there may be no memory for the second
            if observations.size != rows.array.size:
                raise ValueError(
                    f"Observations of shape {observations.shape}, expected {n} rows of {self.spec.observation_dim} "
                    "elements, which the kernel was compiled for."
                )
            rows.array[...] = observations.reshape(rows.array.shape)
            is_finite = self._library.kernel_act(
                self._handle,
                rows.address,
                n,
                engine,
                None if normal is None else normal.ctypes.data,
                matrices,
                matrix_stride,
                actions.address,
            )
            scaled, unscaled = actions.array.copy()
        return scaled, unscaled, bool(is_finite)

    def sample_matrices(self, n: int, key: int, counter: int) -> npt.NDArray[Any]:
        """Matrices of exploration noise, shape ``(n, latent_dim, action_dim)``; for a spec with ``use_sde``."""
        matrices = np.empty((n, self.spec.latent_dim, self.spec.action_dim), self.spec.scalar_type)
        engine = Engine(key=key, counter=counter)
        self._library.kernel_sample_matrices(self._handle, ctypes.byref(engine), n, matrices.ctypes.data)
        return matrices
