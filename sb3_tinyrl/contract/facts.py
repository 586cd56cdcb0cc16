"""The facts in the order in which they are checked, and what becomes of a model for which one does not hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from stable_baselines3 import SAC

from sb3_tinyrl.contract import data, methods, policy, training


@dataclass(frozen=True)
class Fact:
    """One thing that the kernel relies on.

    :param name: of what it is about
    :param promise: what must hold, in Markdown
    :param otherwise: what serves a model for which it does not hold: SB3's own update, or the kernel with batches that
        SB3's Python code has drawn
    :param check: raises :class:`UnsupportedByKernelError` where it does not hold; returns the reason instead where
        that is to sample in Python
    :param acting: whether acting and predicting rest on it, too
    """

    name: str
    promise: str
    otherwise: Literal["PyTorch", "sampled by SB3's Python"]
    check: Callable[[SAC], str | None] | Callable[[SAC], None]
    acting: bool = False


#: In the order in which they are checked: each may rely on those before it.
FACTS = (
    Fact(
        "policy",
        "policy, actor, critics and distribution are SB3's classes, with SB3's constants, and the model's aliases of "
        "them are the policy's",
        "PyTorch",
        policy.require_known_policy,
        acting=True,
    ),
    Fact(
        "bounds of the standard deviation",
        "`LOG_STD_MIN` and `LOG_STD_MAX` of SB3's SAC are numbers, whichever",
        "PyTorch",
        policy.require_known_bounds,
        acting=True,
    ),
    Fact(
        "features",
        "`FlattenExtractor` or `CombinedExtractor` without networks of its own",
        "PyTorch",
        policy.require_known_extractor,
        acting=True,
    ),
    Fact(
        "structure of the actor",
        "linear layers with bias, one known activation function behind each hidden one; two heads, or with gSDE a mean "
        "with its `Hardtanh` and a parameter; weights of shapes that fit",
        "PyTorch",
        policy.require_actor_structure,
        acting=True,
    ),
    Fact(
        "actions",
        "bounds that differ; the same spaces in model, policy and actor",
        "PyTorch",
        policy.require_scalable_actions,
        acting=True,
    ),
    Fact(
        "tensors of the actor",
        "dense, on the CPU, all in float32 or all in float64; strided ones are made contiguous",
        "PyTorch",
        policy.require_actor_tensors,
        acting=True,
    ),
    Fact(
        "methods that act",
        "the library's own, on the classes and on the objects",
        "PyTorch",
        methods.require_own_methods,
        acting=True,
    ),
    Fact(
        "hooks that act",
        "none on the actor's modules or for all modules",
        "PyTorch",
        methods.require_no_hooks,
        acting=True,
    ),
    Fact(
        "structure of the critics",
        "the same widths in all critics and targets, one output, the actor's activation function",
        "PyTorch",
        policy.require_known_activation,
    ),
    Fact(
        "tensors",
        "as the actor's; none frozen, none unused, no two that share memory",
        "PyTorch",
        policy.require_tensors,
    ),
    Fact("methods that train", "the library's own", "PyTorch", methods.require_own_training_methods),
    Fact(
        "hooks that train",
        "none on modules, parameters and optimizers",
        "PyTorch",
        methods.require_no_training_hooks,
    ),
    Fact(
        "optimizers",
        "`Adam` or `AdamW` with one group of just the network's parameters, and state of their shapes and one count",
        "PyTorch",
        training.require_known_optimizer,
    ),
    Fact(
        "options of the optimizers",
        "numbers; no `maximize`, `capturable`, `differentiable`, `fused`; AMSGrad from the start",
        "PyTorch",
        training.require_known_optimizer_options,
    ),
    Fact(
        "hyperparameters",
        "numbers; a target entropy where the entropy coefficient is learned, `ent_coef_tensor` where it is not",
        "PyTorch",
        training.require_numbers,
    ),
    Fact(
        "arrays of the replay buffer",
        "shapes of the spaces, a position within",
        "PyTorch",
        data.require_consistent_buffer,
    ),
    Fact(
        "observations",
        "a `Box` in a type of the kernel, or a `Dict` of such but for images; `VecNormalize` itself, with its own "
        "methods and statistics that fit",
        "sampled by SB3's Python",
        data.sampled_because_of_environment,
    ),
    Fact(
        "replay buffer",
        "`ReplayBuffer`, `NStepReplayBuffer` or `DictReplayBuffer` with its own methods and contiguous arrays of its "
        "types",
        "sampled by SB3's Python",
        data.sampled_because_of_buffer,
    ),
)


def require_acting(model: SAC) -> None:
    """Check all facts that acting and predicting rest on.

    :raises UnsupportedByKernelError: with the first that does not hold
    """
    for fact in FACTS:
        if fact.acting:
            fact.check(model)


def require_training(model: SAC) -> None:
    """Check all facts without which SB3's own update serves.

    :raises UnsupportedByKernelError: with the first that does not hold
    """
    for fact in FACTS:
        if fact.otherwise == "PyTorch":
            fact.check(model)


def reason_to_sample(model: SAC) -> str | None:
    """Why batches are drawn by the replay buffer's own Python code, or ``None`` where the kernel draws them."""
    for fact in FACTS:
        if fact.otherwise != "PyTorch" and (reason := fact.check(model)):
            return reason
    return None
