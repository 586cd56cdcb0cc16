"""The one place where the benchmark knows TinySAC's kernel: how it is made, called and timed from inside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sb3_tinyrl._native.abi import blas
from sb3_tinyrl._native.abi.kernel import PHASES, Kernel
from sb3_tinyrl._native.abi.thread_tuner import n_trials
from sb3_tinyrl._native.jit.build import build
from sb3_tinyrl.bench.measure import seconds
from sb3_tinyrl.capabilities import kernel_spec
from sb3_tinyrl.sac import TinySAC

#: Owners and names of the methods that call the kernel, and what the time spent there is called.
WATCHED: tuple[tuple[object, str, str], ...] = ((Kernel, "train", "kernel"), (Kernel, "run", "loop"))


def compile_seconds(model: TinySAC, batch_size: int, backend: str) -> dict[str, float]:
    """Build the kernel of a model, and load it.

    :param backend: that of the model
    :return: seconds from the specification to the library (``cold``), and from there to a loaded kernel (``warm``)
    """
    loaded = None if backend == "simd" else blas.load(backend)
    spec = kernel_spec(model, batch_size, loaded is not None)
    cold = seconds(lambda: build(spec))
    warm = seconds(lambda: Kernel(spec, build(spec), blas=loaded))
    return {"cold": cold, "warm": warm}


def settle_threads(model: TinySAC, batch_size: int) -> None:
    """Train until the model has chosen its number of threads."""
    for _ in range(n_trials()):
        model.train(1, batch_size)


@contextmanager
def timed_phases(model: TinySAC, batch_size: int) -> Iterator[dict[str, float]]:
    """Take the time inside the kernel for as long as the context lasts.

    :return: when it has ended, the microseconds of each phase of a gradient step that took any
    """
    bound = model._bound(batch_size)
    assert bound is not None
    parts: dict[str, float] = {}
    before = model._n_updates
    with bound.kernel.timing_phases() as spent:
        yield parts
        n_updates = model._n_updates - before
        parts |= {name: value / n_updates * 1e6 for name, value in zip(PHASES, spent, strict=True) if value > 0}
