"""What computes a model's updates, in a line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KernelStatus:
    """What computes a model's updates now, and why.

    :param native: whether a kernel does, or will as soon as it is compiled
    :param reason: why none does
    :param backend: what computes the kernel's matrix products
    :param n_threads: that share an update; ``None`` while that is not known yet
    :param batches: where they come from; ``None`` while no kernel is bound
    """

    native: bool
    reason: str | None = None
    backend: str | None = None
    n_threads: int | None = None
    batches: str | None = None

    def __str__(self) -> str:
        if not self.native:
            reason = " ".join((self.reason or "").split())
            return f"trains through Stable-Baselines3's PyTorch update: {reason}"
        if self.batches is None:
            return f"trains in a kernel ({self.backend}), which is loaded or compiled when learn starts"
        threads = "1 thread" if self.n_threads == 1 else f"up to {self.n_threads} threads"
        return f"trains in a kernel ({self.backend}, {threads}), batches {self.batches}"
