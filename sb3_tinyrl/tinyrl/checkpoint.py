"""Checkpoints of RLtools as Python objects: compiled once for their contents, and then kept on disk."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sb3_tinyrl._native.abi.checkpoint import CheckpointLibrary
from sb3_tinyrl._native.abi.specs import CheckpointSpec
from sb3_tinyrl._native.jit.jobs import build_in_foreground

# Those of RLtools' Python interface and ours, and those that RLtools' training loop writes.
_NAMESPACES = ("policy", "rl_tools::checkpoint::actor")


class Checkpoint:
    """A policy from a checkpoint; :func:`load_checkpoint` makes it.

    :param library: the compiled header
    """

    def __init__(self, library: CheckpointLibrary) -> None:
        self._library = library

    def evaluate(self, observation: npt.ArrayLike) -> npt.NDArray[Any]:
        """Evaluate the policy; nothing is drawn.

        :param observation: shape ``(observation_dim,)``, as the environment gives it
        :return: for a checkpoint of SAC's actor, such as :meth:`State.export_policy` writes, mean and standard
            deviation of the action's normal distribution, concatenated, shape ``(2 * action_dim,)``; ``tanh`` of the
            mean is the deterministic action in [-1, 1]. For any other, the output of the model: that of
            :meth:`TinySAC.export_policy` is the deterministic action in [-1, 1], shape ``(action_dim,)``.
        :raises ValueError: when the shape does not fit
        """
        values = np.asarray(observation)
        if values.shape != (self._library.observation_dim,):
            raise ValueError(
                f"an observation of shape {values.shape}, expected ({self._library.observation_dim},), which the "
                "checkpoint was trained on; pass one observation at a time"
            )
        return self._library.evaluate(values)


def load_checkpoint(
    checkpoint: str,
    *,
    interface_name: str = "default",
    force_recompile: bool = False,
    verbose: bool = False,
) -> Checkpoint:
    """Compile a checkpoint. One with the same contents is compiled once, and different ones stay apart.

    :param checkpoint: the text of a C++ header, written by ``export_policy`` or by RLtools 2.2
    :param interface_name: accepted as by TinyRL, where it keeps checkpoints apart; not needed here
    :param force_recompile: accepted as by TinyRL, where the cache may be stale; not needed here
    :param verbose: accepted as by TinyRL; a terminal shows in any case that something is compiled
    :raises TypeError: when the checkpoint is no text
    :raises ValueError: when the text holds no checkpoint of RLtools 2
    :raises KernelError: when it can't be compiled
    """
    if not isinstance(checkpoint, str):
        raise TypeError(
            f"the checkpoint is a {type(checkpoint).__name__}, expected the text of a C++ header; for a file use "
            "load_checkpoint_from_path"
        )
    spec = CheckpointSpec(checkpoint, _model(checkpoint))
    return Checkpoint(CheckpointLibrary(build_in_foreground(spec, "the checkpoint")))


def load_checkpoint_from_path(
    checkpoint_path: str | os.PathLike[str],
    *,
    interface_name: str = "default",
    force_recompile: bool = False,
    verbose: bool = False,
) -> Checkpoint:
    """Compile the checkpoint in a file; see :func:`load_checkpoint`.

    :param checkpoint_path: the C++ header
    :raises OSError: when it can't be read
    """
    return load_checkpoint(
        Path(checkpoint_path).read_text(encoding="utf-8"),
        interface_name=interface_name,
        force_recompile=force_recompile,
        verbose=verbose,
    )


def _model(checkpoint: str) -> str:
    """Return the name of the model in a checkpoint."""
    for namespace in _NAMESPACES:
        if re.search(rf"\bnamespace\s+{namespace}\b", checkpoint):
            # What the Python interface of RLtools 1 wrote is called `model`, and needs the headers of RLtools 1.
            if re.search(r"\bmodule\b", checkpoint):
                return f"{namespace}::module"
            raise ValueError(
                f"the namespace {namespace} of the checkpoint has no `module`, expected the format of RLtools 2.2; "
                "export the policy anew"
            )
    start = checkpoint.strip()[:60]
    raise ValueError(
        f"the text {start!r} is no checkpoint of RLtools, expected a C++ header with the namespace "
        f"{' or '.join(_NAMESPACES)}; pass what export_policy has written (load_checkpoint_from_path takes its path)"
    )
