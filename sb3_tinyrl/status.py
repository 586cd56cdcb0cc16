"""What computes a model's updates, in a line."""

from __future__ import annotations

from dataclasses import dataclass

from stable_baselines3.common.logger import HumanOutputFormat, KVWriter, Logger, TensorBoardOutputFormat


@dataclass(frozen=True)
class KernelStatus:
    """What computes a model's updates now, and why.

    :param native: whether a kernel does, or will as soon as it is compiled
    :param reason: why none does
    :param backend: what computes the kernel's matrix products
    :param n_threads: that share an update at most
    :param batches: where they come from; ``None`` while no kernel is bound
    :param instruction_set: of the processor that kernels are compiled for; ``None`` where no compiler tells
    :param is_new: whether the kernel had to be compiled, or has to be; ``None`` while that is not known
    """

    native: bool
    reason: str | None = None
    backend: str | None = None
    n_threads: int | None = None
    batches: str | None = None
    instruction_set: str | None = None
    is_new: bool | None = None

    def __str__(self) -> str:
        if not self.native:
            reason = " ".join((self.reason or "").split())
            return f"trains through Stable-Baselines3's PyTorch update: {reason}"
        threads = "1 thread" if self.n_threads == 1 else f"up to {self.n_threads} threads"
        how = ", ".join(part for part in (self.backend, self.instruction_set, threads) if part)
        return f"trains in a kernel ({how}), {self._origin() if self.batches is None else f'batches {self.batches}'}"

    def _origin(self) -> str:
        if self.is_new is None:
            return "which is loaded or compiled when learn starts"
        return "compiled now, once on this machine" if self.is_new else "from the cache"


def text_outputs(logger: Logger) -> list[KVWriter]:
    """Return the outputs of a logger that keep lines of text: files like SB3's ``log.txt``, and TensorBoard."""
    return [
        output
        for output in getattr(logger, "output_formats", ())  # a user's own may have none
        if isinstance(output, TensorBoardOutputFormat) or (isinstance(output, HumanOutputFormat) and output.own_file)
    ]


def write_line(output: KVWriter, line: str, n_steps: int) -> None:
    """Write a line to one of :func:`text_outputs`; in TensorBoard it is the text ``TinySAC``.

    :param n_steps: of the environment, so far
    """
    if isinstance(output, HumanOutputFormat):
        output.write_sequence([line])
    else:
        output.write({"TinySAC": line}, {"TinySAC": ()}, n_steps)
