"""TinySAC, with code of its own and with the matrix products of libraries."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar, cast

from sb3_tinyrl._native.abi import blas
from sb3_tinyrl.bench.peers.sb3 import StableBaselines3

if TYPE_CHECKING:
    from sb3_tinyrl.sac import TinySAC


class Tiny(StableBaselines3):
    """TinySAC."""

    label = "TinySAC"
    distribution = "sb3-tinyrl"
    measurements = (*StableBaselines3.measurements, "phases")
    backend: ClassVar[str] = "simd"

    def _algorithm(self) -> tuple[Any, dict[str, Any]]:
        from sb3_tinyrl.sac import TinySAC

        # By default it takes as many threads as turn out to be fastest, up to the cores that the worker may use.
        is_limited = hasattr(os, "sched_setaffinity")
        return TinySAC, {
            "device": "cpu",
            "kernel": "native",
            "n_threads": None if is_limited else self.settings.threads,
            "backend": self.backend,
        }

    def _tiny(self) -> TinySAC:
        return cast("TinySAC", self.model)

    def set_up(self) -> dict[str, float]:
        """Build the kernel, load it a second time, and take the first steps."""
        from sb3_tinyrl.bench.native_kernel import compile_seconds

        self._make_model()
        compiling = compile_seconds(self._tiny(), self.settings.batch_size, self.backend)
        self._warm_up()
        if self.settings.quick:
            del compiling["cold"]  # The cache may have had it.
        return compiling

    def _warm_up(self) -> None:
        from sb3_tinyrl.bench.native_kernel import settle_threads

        super()._warm_up()
        settle_threads(self._tiny(), self.settings.batch_size)

    def instruction_set(self) -> str | None:
        """That of the kernel's status."""
        return self._tiny().kernel_status().instruction_set

    def phases(self) -> dict[str, float]:
        """Where the microseconds of one gradient step go; they add up to ``total``."""
        from sb3_tinyrl.bench.native_kernel import timed_phases

        with timed_phases(self._tiny(), self.settings.batch_size) as parts:
            total = 1e6 / self.updates_per_second()
        return {**parts, "around the kernel": total - sum(parts.values()), "total": total}

    def _watched(self) -> list[tuple[object, str, str]]:
        from sb3_tinyrl.bench.native_kernel import WATCHED

        return [*super()._watched(), *WATCHED]

    def _gradient_steps(self, spent: dict[str, float]) -> dict[str, float]:
        parts = {"gradient steps": spent["kernel"], "around gradient steps": spent["train"] - spent["kernel"]}
        # Native environments: acting, stepping, storing and training in one call.
        return parts | ({"the whole loop, natively": spent["loop"]} if spent["loop"] else {})


def blas_peer(library: str) -> type[Tiny]:
    """Return TinySAC with the matrix products of a library.

    :param library: one of :data:`sb3_tinyrl._native.abi.blas.LIBRARIES`
    """

    class TinyBlas(Tiny):
        label = f"TinySAC, {blas.label(library)}"
        backend = library

        @classmethod
        def missing(cls) -> str | None:
            return None if library in blas.installed() else blas.remedy(library)

    return TinyBlas
