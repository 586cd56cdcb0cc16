"""Checkpoints of RLtools as Python objects: read, or compiled where their author is trusted."""

from __future__ import annotations

import os
import re
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sb3_tinyrl._native.abi.checkpoint import CheckpointLibrary
from sb3_tinyrl._native.abi.specs import CheckpointSpec
from sb3_tinyrl._native.jit.jobs import build_in_foreground
from sb3_tinyrl.tinyrl.checkpoint_parser import MODEL_NAMESPACES, parse_checkpoint
from sb3_tinyrl.tinyrl.checkpoint_scopes import CheckpointSyntaxError

# Characters: four million parameters. A text takes up to 30 times as much memory while it is read.
_LONGEST = 2**26


class _Model(Protocol):
    @property
    def observation_dim(self) -> int: ...

    def evaluate(self, observation: npt.NDArray[Any]) -> npt.NDArray[Any]: ...


class Checkpoint:
    """A policy from a checkpoint; :func:`sb3_tinyrl.tinyrl.load_checkpoint` makes it.

    :param model: evaluates it
    """

    def __init__(self, model: _Model) -> None:
        self._model = model

    @property
    def observation_dim(self) -> int:
        """Elements of an observation."""
        return self._model.observation_dim

    def evaluate(self, observation: npt.ArrayLike) -> npt.NDArray[Any]:
        """Evaluate the policy; nothing is drawn.

        :param observation: shape ``(observation_dim,)``, as the environment gives it
        :return: for a checkpoint of SAC's actor, such as :meth:`.State.export_policy` writes, mean and standard
            deviation of the action's normal distribution, concatenated, shape ``(2 * action_dim,)``; ``tanh`` of the
            mean is the deterministic action in [-1, 1]. For any other, the output of the model: that of
            :meth:`.TinySAC.export_policy` is the deterministic action in [-1, 1], shape ``(action_dim,)``.
        :raises ValueError: when the shape does not fit
        """
        values = np.asarray(observation)
        if values.shape != (self.observation_dim,):
            raise ValueError(
                f"an observation of shape {values.shape}, expected ({self._model.observation_dim},), which the "
                "checkpoint was trained on; pass one observation at a time"
            )
        return self._model.evaluate(values)


def load_checkpoint(
    checkpoint: str,
    *,
    interface_name: str = "default",
    force_recompile: bool = False,
    verbose: bool = False,
    trust: bool = False,
) -> Checkpoint:
    """Read a checkpoint. Nothing in it is run, and no compiler is needed.

    Known are the layers and activation functions for which this package and RLtools 2.2 write checkpoints: dense,
    standardize, td3_sampling and sample_and_squash, RLtools' multilayer perceptrons, and sequences of these.

    :param checkpoint: the text of a C++ header, written by ``export_policy`` or by RLtools 2.2
    :param interface_name: accepted as by TinyRL, where it keeps checkpoints apart; not needed here
    :param force_recompile: accepted as by TinyRL, where the cache may be stale; not needed here
    :param verbose: accepted as by TinyRL; a terminal shows in any case that something is compiled
    :param trust: whether to compile and load a checkpoint that can't be read, which runs whatever code it holds with
        your rights. One with the same contents is compiled once.
    :raises TypeError: when the checkpoint is no text
    :raises ValueError: when the text holds no checkpoint of RLtools 2, or without ``trust`` anything else than one, or
        is longer than 64 MiB
    :raises KernelError: with ``trust``, when it can't be compiled
    """
    if not isinstance(checkpoint, str):
        raise TypeError(
            f"the checkpoint is a {type(checkpoint).__name__}, expected the text of a C++ header; for a file use "
            "load_checkpoint_from_path"
        )
    if len(checkpoint) > _LONGEST:
        raise ValueError(
            f"the checkpoint is longer than {_LONGEST} characters, expected at most four million parameters; export "
            "a smaller policy, or as ONNX"
        )
    model = _model(checkpoint)
    try:
        return Checkpoint(parse_checkpoint(checkpoint))
    except CheckpointSyntaxError as error:
        if not trust:
            raise ValueError(
                f"can't read the checkpoint: {error}. Expected what sb3_tinyrl's export_policy or RLtools 2.2 writes. "
                "If you trust its author, pass trust=True: then it is compiled and loaded, and code in it is run"
            ) from error
    spec = CheckpointSpec(checkpoint, model)
    return Checkpoint(CheckpointLibrary(build_in_foreground(spec)))


def load_checkpoint_from_path(
    checkpoint_path: str | os.PathLike[str],
    *,
    interface_name: str = "default",
    force_recompile: bool = False,
    verbose: bool = False,
    trust: bool = False,
) -> Checkpoint:
    """Read the checkpoint in a file; see :func:`sb3_tinyrl.tinyrl.load_checkpoint`.

    :param checkpoint_path: the C++ header
    :raises OSError: when it can't be read
    """
    try:
        with open(checkpoint_path, encoding="utf-8", newline="") as file:  # lines end where a compiler ends them
            checkpoint = file.read(_LONGEST + 1)
    except UnicodeDecodeError as error:
        raise ValueError(f"{checkpoint_path} is no text ({error.reason}), expected a C++ header") from error
    return load_checkpoint(
        checkpoint,
        interface_name=interface_name,
        force_recompile=force_recompile,
        verbose=verbose,
        trust=trust,
    )


def _model(checkpoint: str) -> str:
    """Return the name of the model in a checkpoint."""
    for namespace in MODEL_NAMESPACES:
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
        f"{' or '.join(MODEL_NAMESPACES)}; pass what export_policy has written (load_checkpoint_from_path takes its "
        "path)"
    )
