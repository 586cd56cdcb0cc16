"""TinyRL's hyperparameters of SAC: names, defaults, and what they are in Stable-Baselines3's SAC."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from typing import Any

from sb3_tinyrl.activations import FUNCTIONS

_ACTIVATION_FUNCTIONS = {function.rltools: function.module for function in FUNCTIONS if function.rltools is not None}

RLTOOLS_EPSILON_SQRT = 1e-7
"""What RLtools' package passes as ``OPTIMIZER_EPSILON_SQRT`` by default: a lower limit of the second moment in Adam."""

# What has to be equal because SB3's SAC has one of it.
_PAIRS = (
    ("ACTOR_BATCH_SIZE", "CRITIC_BATCH_SIZE", "actor and critics learn from the same batch"),
    ("ACTOR_TRAINING_INTERVAL", "CRITIC_TRAINING_INTERVAL", "a gradient step trains actor and critics"),
    ("ACTOR_ACTIVATION_FUNCTION", "CRITIC_ACTIVATION_FUNCTION", "actor and critics share it"),
    ("N_WARMUP_STEPS_ACTOR", "N_WARMUP_STEPS", "exploration and training begin together"),
    ("N_WARMUP_STEPS_CRITIC", "N_WARMUP_STEPS", "exploration and training begin together"),
)


def _parameter(default: Any, meaning: str, check: Callable[[str, Any], None]) -> Any:
    return field(default=default, metadata={"meaning": meaning, "check": check})


def _number(default: float | None, low: float, high: float, meaning: str) -> Any:
    def check(name: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, Real) or not low <= float(value) <= high:
            raise ValueError(f"{name}={value!r}, expected a number from {low:g} to {high:g}")

    return _parameter(default, meaning, check)


def _integer(default: int | None, low: int, meaning: str) -> Any:
    def check(name: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, Integral) or value < low:
            raise ValueError(f"{name}={value!r}, expected a whole number of at least {low}")

    return _parameter(default, meaning, check)


def _flag(default: bool, meaning: str) -> Any:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, bool):
            raise ValueError(f"{name}={value!r}, expected True or False")

    return _parameter(default, meaning, check)


def _activation_function(meaning: str) -> Any:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, str) or value not in _ACTIVATION_FUNCTIONS:
            raise ValueError(
                f"{name}={value!r}, expected one of {', '.join(_ACTIVATION_FUNCTIONS)}, which RLtools and PyTorch "
                "compute alike"
            )

    return _parameter("RELU", meaning, check)


def _fixed(only: float, remedy: str) -> Any:
    def check(name: str, value: Any) -> None:
        if value != only:
            raise ValueError(f"{name}={value!r}, but this SAC has no other than {only!r}; {remedy}")

    return _parameter(only, f"no other value; {remedy}", check)


def _epsilon_sqrt() -> Any:
    remedy = "PyTorch's Adam has no lower limit under the root; make `OPTIMIZER_EPSILON` larger instead"

    def check(name: str, value: Any) -> None:
        if value == RLTOOLS_EPSILON_SQRT:
            warnings.warn(
                f"{name}={value!r}, RLtools' default, has no effect: {remedy}. Where gradients are below "
                f"{RLTOOLS_EPSILON_SQRT**0.5:.0e}, steps are larger than those of RLtools; leave it out to hide this",
                stacklevel=6,  # the caller of SAC
            )
        elif value != 0:
            raise ValueError(f"{name}={value!r}, but this SAC has no other than 0; {remedy}")

    return _parameter(
        0, f"`{RLTOOLS_EPSILON_SQRT!r}`, RLtools' default, is taken for 0 with a warning; {remedy}", check
    )


@dataclass(frozen=True, kw_only=True)
class HyperParameters:
    """TinyRL's upper-case hyperparameters, with its defaults.

    :raises ValueError: for a value that means nothing, or that SB3's SAC has nothing for, with the remedy
    """

    GAMMA: float = _number(0.99, 0, 1, "discount factor")
    ALPHA: float = _number(0.5, 0, 1e12, "entropy coefficient; with `ADAPTIVE_ALPHA` the first one, and above 0")
    ADAPTIVE_ALPHA: bool = _flag(True, "whether the entropy coefficient is learned")
    TARGET_ENTROPY: float | None = _number(None, -1e12, 1e12, "target of the learned one; by default -action_dim")
    ACTOR_BATCH_SIZE: int = _integer(100, 1, "transitions in a gradient step")
    CRITIC_BATCH_SIZE: int = _integer(100, 1, "the same as `ACTOR_BATCH_SIZE`, as RLtools demands, too")
    SHARED_BATCH: bool = _fixed(True, "actor and critics learn from the same batch")
    ACTOR_TRAINING_INTERVAL: int = _integer(1, 1, "steps from one gradient step to the next")
    CRITIC_TRAINING_INTERVAL: int = _integer(1, 1, "the same as `ACTOR_TRAINING_INTERVAL`")
    CRITIC_TARGET_UPDATE_INTERVAL: int = _fixed(
        1, "targets follow in each gradient step; make them slower with `CRITIC_POLYAK`"
    )
    CRITIC_POLYAK: float = _number(1 - 0.005, 0, 1, "share of the old targets in the new ones")
    ACTOR_POLYAK: float = _number(1 - 0.005, 0, 1, "without effect, in TinyRL as well: SAC has no target actor")
    IGNORE_TERMINATION: bool = _flag(False, "whether values go on beyond terminations, as beyond truncations")
    LOG_STD_LOWER_BOUND: float = _fixed(-20, "leave it out")
    LOG_STD_UPPER_BOUND: float = _fixed(2, "leave it out")
    ACTION_LOG_STD_LOWER_BOUND: float = _fixed(-20, "TinyRL's earlier name of `LOG_STD_LOWER_BOUND`")
    ACTION_LOG_STD_UPPER_BOUND: float = _fixed(2, "TinyRL's earlier name of `LOG_STD_UPPER_BOUND`")
    LOG_PROBABILITY_EPSILON: float = _fixed(1e-6, "leave it out")
    N_ENVIRONMENTS: int = _integer(1, 1, "environments; each step is one in all of them")
    N_WARMUP_STEPS: int | None = _integer(
        None, 0, "steps with uniformly drawn actions before the first gradient step; by default the batch size"
    )
    N_WARMUP_STEPS_ACTOR: int | None = _integer(None, 0, "the same as `N_WARMUP_STEPS`")
    N_WARMUP_STEPS_CRITIC: int | None = _integer(None, 0, "the same as `N_WARMUP_STEPS`")
    STEP_LIMIT: int = _integer(10000, 1, "steps until `step` returns `True`")
    REPLAY_BUFFER_CAP: int | None = _integer(None, 1, "transitions kept of each environment; by default `STEP_LIMIT`")
    EPISODE_STEP_LIMIT: int | None = _integer(
        None, 1, "steps until an episode is truncated, if a Python environment does not end it earlier itself"
    )
    ACTOR_HIDDEN_DIM: int = _integer(64, 1, "width of the hidden layers")
    ACTOR_NUM_LAYERS: int = _integer(3, 2, "layers, those of input and output included: 3 are two of the width above")
    ACTOR_ACTIVATION_FUNCTION: str = _activation_function("`IDENTITY`, `RELU`, `SIGMOID` or `TANH`")
    CRITIC_HIDDEN_DIM: int = _integer(64, 1, "as for the actor, and may differ from it")
    CRITIC_NUM_LAYERS: int = _integer(3, 2, "as for the actor, and may differ from it")
    CRITIC_ACTIVATION_FUNCTION: str = _activation_function("the same as `ACTOR_ACTIVATION_FUNCTION`")
    COLLECT_EPISODE_STATS: bool = _flag(True, "whether `verbose` shows returns and lengths of episodes")
    EPISODE_STATS_BUFFER_SIZE: int = _integer(1000, 1, "the mean of how many of them it shows")
    OPTIMIZER_ALPHA: float = _number(1e-3, 0, 1e12, "Adam's learning rate, of networks and entropy coefficient")
    OPTIMIZER_BETA_1: float = _number(0.9, 0, 1 - 1e-12, "Adam's decay of the first moment")
    OPTIMIZER_BETA_2: float = _number(0.999, 0, 1 - 1e-12, "Adam's decay of the second moment")
    OPTIMIZER_EPSILON: float = _number(1e-7, 0, 1e12, "what Adam adds to the root of the second moment")
    OPTIMIZER_EPSILON_SQRT: float = _epsilon_sqrt()

    def __post_init__(self) -> None:
        for parameter in fields(self):
            value = getattr(self, parameter.name)
            if value is not None or parameter.default is not None:
                parameter.metadata["check"](parameter.name, value)
        if self.ADAPTIVE_ALPHA and self.ALPHA == 0:
            raise ValueError("ALPHA=0 can't be learned from; pass a positive one, or ADAPTIVE_ALPHA=False")
        for name, other, reason in _PAIRS:
            value, expected = getattr(self, name), getattr(self, other)
            if name.startswith("N_WARMUP_STEPS"):
                value, expected = self.n_warmup_steps if value is None else value, self.n_warmup_steps
            if value != expected:
                raise ValueError(f"{name}={value!r} and {other}={expected!r}: pass the same for both, as {reason}")

    @property
    def n_warmup_steps(self) -> int:
        """``N_WARMUP_STEPS``, or its default."""
        return self.ACTOR_BATCH_SIZE if self.N_WARMUP_STEPS is None else self.N_WARMUP_STEPS

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of SB3's SAC that mean the same."""
        n = self.N_ENVIRONMENTS
        capacity = self.STEP_LIMIT if self.REPLAY_BUFFER_CAP is None else self.REPLAY_BUFFER_CAP
        return {
            "learning_rate": float(self.OPTIMIZER_ALPHA),
            "buffer_size": n * capacity,
            "learning_starts": n * self.n_warmup_steps,
            "batch_size": self.ACTOR_BATCH_SIZE,
            "tau": 1 - float(self.CRITIC_POLYAK),
            "gamma": float(self.GAMMA),
            "train_freq": self.ACTOR_TRAINING_INTERVAL,
            "gradient_steps": 1,
            "ent_coef": f"auto_{float(self.ALPHA)!r}" if self.ADAPTIVE_ALPHA else float(self.ALPHA),
            "target_entropy": "auto" if self.TARGET_ENTROPY is None else float(self.TARGET_ENTROPY),
            "stats_window_size": self.EPISODE_STATS_BUFFER_SIZE,
            "policy_kwargs": {
                "net_arch": {
                    "pi": [self.ACTOR_HIDDEN_DIM] * (self.ACTOR_NUM_LAYERS - 1),
                    "qf": [self.CRITIC_HIDDEN_DIM] * (self.CRITIC_NUM_LAYERS - 1),
                },
                "activation_fn": _ACTIVATION_FUNCTIONS[self.ACTOR_ACTIVATION_FUNCTION],
                "optimizer_kwargs": self.adam(),
            },
        }

    def adam(self) -> dict[str, Any]:
        """Return what ``torch.optim.Adam`` takes besides the learning rate."""
        betas = float(self.OPTIMIZER_BETA_1), float(self.OPTIMIZER_BETA_2)
        return {"betas": betas, "eps": float(self.OPTIMIZER_EPSILON)}


def read_hyper_parameters(values: Mapping[str, Any]) -> HyperParameters:
    """Return the hyperparameters, with defaults for those that are missing.

    :raises TypeError: for names that TinyRL does not know, with those that it knows
    :raises ValueError: for values that can't be honoured
    """
    known = [parameter.name for parameter in fields(HyperParameters)]
    for name in values:
        if name not in known:
            close = difflib.get_close_matches(name.upper(), known, 1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise TypeError(f"unknown hyperparameter {name}{hint}; TinyRL's SAC knows {', '.join(known)}")
    return HyperParameters(**values)
