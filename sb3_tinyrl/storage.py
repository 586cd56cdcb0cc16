"""Which tensors share memory."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import torch as th


def shared_memory(named: Iterable[tuple[str, th.Tensor]]) -> tuple[str, str] | None:
    """Return the names of two strided tensors of which some elements lie in the same place, or ``None``."""
    extents = sorted((_extent(tensor), name) for name, tensor in named)
    for ((_, end), name), ((start, _), other) in pairwise(extents):
        if start < end:
            return name, other
    return None


def shares_with_itself(tensor: th.Tensor) -> bool:
    """Whether several elements of a tensor lie in one place, as those of an expanded one do."""
    return any(stride == 0 and size > 1 for stride, size in zip(tensor.stride(), tensor.shape, strict=True))


def _extent(tensor: th.Tensor) -> tuple[int, int]:
    """Addresses of the first byte and of the one behind the last."""
    length = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    start = tensor.data_ptr()
    return start, start + int(length) * tensor.element_size() if tensor.numel() else start
