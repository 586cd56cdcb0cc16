"""TinySAC of another revision, of which little is taken for granted."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

from sb3_tinyrl.bench.peers.sb3 import StableBaselines3

#: What its worker process goes by, beside the names of the peers.
AGAINST = "against"

#: Where revisions say which kernel a model is bound to, the newest first.
_BOUND = ("_bound", "_binding")
#: Gradient steps in which each revision has chosen its number of threads.
_STEPS_TO_SETTLE = 100


class Revision(StableBaselines3):
    """TinySAC of another revision: its public interface, and its kernel as far as that can be found."""

    label = "TinySAC"
    distribution = "sb3-tinyrl"
    measurements = (*StableBaselines3.measurements, "phases")

    def _algorithm(self) -> tuple[Any, dict[str, Any]]:
        # As in peers/tiny.py.
        is_limited = hasattr(os, "sched_setaffinity")
        threads = None if is_limited else self.settings.threads
        return import_module("sb3_tinyrl").TinySAC, {
            "device": "cpu",
            "kernel": "native",
            "n_threads": threads,
            "backend": "simd",
        }

    def set_up(self) -> dict[str, float]:
        """Build the kernel and take the first steps.

        :raises RuntimeError: when the revision is too old
        """
        try:
            self._make_model()
        except (ImportError, AttributeError, TypeError) as error:
            raise RuntimeError(
                "this revision is too old: expected a TinySAC that takes kernel, n_threads and backend, found "
                f"{type(error).__name__}: {error}"
            ) from error
        self._warm_up()
        for _ in range(_STEPS_TO_SETTLE):
            self.model.train(1, self.settings.batch_size)
        return {}

    def instruction_set(self) -> str | None:
        """That of the kernel's status, where the revision has one."""
        status = getattr(self.model, "kernel_status", None)
        return getattr(status(), "instruction_set", None) if status else None

    def phases(self) -> dict[str, float]:
        """Where the microseconds of one gradient step go; empty where the revision's kernel does not tell."""
        kernel = self._kernel()
        names = getattr(sys.modules[type(kernel).__module__], "PHASES", None)
        if names is None or not hasattr(kernel, "timing_phases"):
            return {}
        before = self.model._n_updates
        with kernel.timing_phases() as spent:
            total = 1e6 / self.updates_per_second()
        n_updates = self.model._n_updates - before
        parts = {name: value / n_updates * 1e6 for name, value in zip(names, spent, strict=True) if value > 0}
        return {**parts, "around the kernel": total - sum(parts.values()), "total": total}

    def _kernel(self) -> Any:
        """The kernel that the model is bound to, or ``None`` where it can't be found."""
        for name in _BOUND:
            if bind := getattr(self.model, name, None):
                return getattr(bind(self.settings.batch_size), "kernel", None)
        return None

    def _watched(self) -> list[tuple[object, str, str]]:
        kernel = type(self._kernel())
        calls = ((kernel, "train", "kernel"), (kernel, "run", "loop"))
        return [*super()._watched(), *(call for call in calls if hasattr(kernel, call[1]))]

    def _gradient_steps(self, spent: dict[str, float]) -> dict[str, float]:
        if not (spent["kernel"] or spent["loop"]):
            return super()._gradient_steps(spent)
        parts = {"gradient steps": spent["kernel"], "around gradient steps": spent["train"] - spent["kernel"]}
        return parts | ({"the whole loop, natively": spent["loop"]} if spent["loop"] else {})
