"""Structures that Python and C++ share: ctypes mirrors of those in ``rl_tools/``.

The compiler compares the layouts: a library's ``kernel_spec.h`` has what :func:`assertions` returns for its structures.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from enum import IntEnum
from typing import ClassVar, NamedTuple

from sb3_tinyrl._native.abi.libraries import STALE_SOURCES


class Layout(NamedTuple):
    """Where a structure's fields lie, in bytes."""

    name: str
    size: int
    offsets: dict[str, int]


class Shared(ctypes.Structure):
    """A structure that C++ has, too."""

    cpp_header: ClassVar[str]
    """Where it is declared, below ``rl_tools/``."""
    cpp_type: ClassVar[str]
    """Its C++ name in namespace ``rl_tools``; ``T`` and ``OBSERVATION`` are those of ``kernel_spec.h``."""

    @classmethod
    def layout(cls) -> Layout:
        """Return the layout that Python believes in."""
        offsets = {field[0]: getattr(cls, field[0]).offset for field in cls._fields_}
        return Layout(cls.__name__.lstrip("_"), ctypes.sizeof(cls), offsets)


def assertions(structures: Iterable[type[Shared]]) -> str:
    """Return C++ that compiles only if the compiler lays these structures out as ctypes does."""
    structures = list(structures)
    # A compiler for machines with addresses of another size compiles for another Python.
    elsewhere = f"sizeof(void*) != {ctypes.sizeof(ctypes.c_void_p)}"
    lines = ["#include <cstddef>", *sorted({f"#include <rl_tools/{cls.cpp_header}>" for cls in structures})]
    lines.append("namespace rl_tools::kernel_spec::layout {")
    for cls in structures:
        name, size, offsets = cls.layout()
        message = f'"rl_tools is of another version: its structure {name} is not that of Python. {STALE_SOURCES}"'
        # Aliases, because the commas of template arguments would be those of the macro offsetof.
        lines += [
            f"    using {name} = rl_tools::{cls.cpp_type};",
            f"    static_assert({elsewhere} || sizeof({name}) == {size}, {message});",
            *(
                f"    static_assert({elsewhere} || offsetof({name}, {field}) == {at}, {message});"
                for field, at in offsets.items()
            ),
        ]
    return "\n".join([*lines, "}", ""])


_LOOP = "rl/components/off_policy_loop/off_policy_loop.h"


class Parameter(Shared):
    """Addresses of a parameter and of what Adam keeps for it; all but ``value`` null where nothing trains it.

    ``max_exp_avg_sq`` is null without AMSGrad, too.
    """

    cpp_header = "nn/optimizers/torch_adam/torch_adam.h"
    cpp_type = "nn::optimizers::torch_adam::Parameter<T>"
    _fields_ = (
        ("value", ctypes.c_void_p),
        ("exp_avg", ctypes.c_void_p),
        ("exp_avg_sq", ctypes.c_void_p),
        ("max_exp_avg_sq", ctypes.c_void_p),
        ("step", ctypes.c_void_p),
    )


class AdamHyperParameters(Shared):
    cpp_header = "nn/optimizers/torch_adam/torch_adam.h"
    cpp_type = "nn::optimizers::torch_adam::HyperParameters"
    _fields_ = (
        ("learning_rate", ctypes.c_double),
        ("beta_1", ctypes.c_double),
        ("beta_2", ctypes.c_double),
        ("epsilon", ctypes.c_double),
        ("weight_decay", ctypes.c_double),
        ("decoupled_weight_decay", ctypes.c_int64),
    )


class HyperParameters(Shared):
    """What may change from one call to the next without a new kernel."""

    cpp_header = "rl/algorithms/sb3_sac/sb3_sac.h"
    cpp_type = "rl::algorithms::sb3_sac::HyperParameters"
    _fields_ = (
        ("actor_optimizer", AdamHyperParameters),
        ("critic_optimizer", AdamHyperParameters),
        ("entropy_coefficient_optimizer", AdamHyperParameters),
        ("gamma", ctypes.c_double),
        ("tau", ctypes.c_double),
        ("target_entropy", ctypes.c_double),
        ("entropy_coefficient", ctypes.c_double),
        ("target_update_interval", ctypes.c_int64),
    )


class EntryArray(Shared):
    """Addresses of an entry of dictionaries of observations, and of what normalises it; see ``sb3_replay_buffer.h``."""

    cpp_header = "rl/components/sb3_replay_buffer/sb3_replay_buffer.h"
    cpp_type = "rl::components::sb3_replay_buffer::EntryArray"
    _fields_ = (
        ("values", ctypes.c_void_p),
        ("mean", ctypes.c_void_p),
        ("standard_deviation", ctypes.c_void_p),
    )


class ReplayBufferView(Shared):
    """Addresses of a replay buffer's arrays, and what may be drawn from them; see ``sb3_replay_buffer.h``.

    For a spec with ``observation_entries``, those of observations are addresses of :class:`EntryArray`, one an entry.
    """

    cpp_header = "rl/components/sb3_replay_buffer/sb3_replay_buffer.h"
    cpp_type = "rl::components::SB3ReplayBuffer<OBSERVATION>"
    _fields_ = (
        ("observations", ctypes.c_void_p),
        ("next_observations", ctypes.c_void_p),
        ("actions", ctypes.c_void_p),
        ("rewards", ctypes.c_void_p),
        ("dones", ctypes.c_void_p),
        ("timeouts", ctypes.c_void_p),
        ("discounts", ctypes.c_void_p),
        ("n_environments", ctypes.c_int64),
        ("capacity", ctypes.c_int64),
        ("first_row", ctypes.c_int64),
        ("n_rows", ctypes.c_int64),
        ("newest_row", ctypes.c_int64),
        ("is_batch", ctypes.c_int64),
        ("n_steps", ctypes.c_int64),
        ("n_step_discounts", ctypes.c_void_p),
        ("observation_mean", ctypes.c_void_p),
        ("observation_standard_deviation", ctypes.c_void_p),
        ("observation_clip", ctypes.c_double),
        ("reward_standard_deviation", ctypes.c_double),
        ("reward_clip", ctypes.c_double),
    )


class SquashedGaussian(Shared):
    """Bounds of the logarithm of the standard deviation: ``LOG_STD_MIN`` and ``LOG_STD_MAX`` of SB3's SAC."""

    cpp_header = "rl/policies/squashed_gaussian/squashed_gaussian.h"
    cpp_type = "rl::policies::squashed_gaussian::Parameters<T>"
    _fields_ = (("log_std_min", ctypes.c_double), ("log_std_max", ctypes.c_double))


class StateDependentNoise(Shared):
    """What the actor has instead of a layer for its standard deviation when it explores with gSDE."""

    cpp_header = "rl/policies/state_dependent_noise/state_dependent_noise.h"
    cpp_type = "rl::policies::state_dependent_noise::Parameters<T>"
    _fields_ = (
        ("log_std", Parameter),
        ("clip_mean", ctypes.c_double),
        ("use_expln", ctypes.c_int64),
    )


class Engine(Shared):
    """Key and counter of the random numbers; one counter value for each gradient step or action."""

    cpp_header = "random/philox/philox.h"
    cpp_type = "random::philox::Engine"
    _fields_ = (("key", ctypes.c_uint64), ("counter", ctypes.c_uint64))


class Losses(Shared):
    """What SB3 logs of one gradient step."""

    cpp_header = "rl/algorithms/sb3_sac/sb3_sac.h"
    cpp_type = "rl::algorithms::sb3_sac::Losses"
    _fields_ = (
        ("entropy_coefficient", ctypes.c_double),
        ("entropy_coefficient_loss", ctypes.c_double),
        ("critic_loss", ctypes.c_double),
        ("actor_loss", ctypes.c_double),
    )


class CompiledEnvironments(Shared):
    """Environments of another library; see ``off_policy_loop.h``."""

    cpp_header = _LOOP
    cpp_type = "rl::components::off_policy_loop::CompiledEnvironments"
    _fields_ = (
        ("step", ctypes.c_void_p),
        ("environments", ctypes.c_void_p),
        ("results", ctypes.c_void_p),
        ("step_limit", ctypes.c_int64),
    )


class LoopSchedule(Shared):
    """How long a loop runs and what it does when; see ``off_policy_loop.h``."""

    cpp_header = _LOOP
    cpp_type = "rl::components::off_policy_loop::Schedule"
    _fields_ = (
        ("train_frequency", ctypes.c_int64),
        ("train_frequency_is_in_episodes", ctypes.c_int64),
        ("gradient_steps", ctypes.c_int64),
        ("sde_sample_frequency", ctypes.c_int64),
        ("handle_timeout_termination", ctypes.c_int64),
        ("max_steps", ctypes.c_int64),
        ("max_episodes", ctypes.c_int64),
        ("max_seconds", ctypes.c_double),
        ("learning_rates", ctypes.c_void_p),
        ("overlap", ctypes.c_int64),
        ("pending_learning_rate", ctypes.c_double),
    )


class LoopProgress(Shared):
    """Where a loop is: what a call goes on from, and leaves; see ``off_policy_loop.h``."""

    cpp_header = _LOOP
    cpp_type = "rl::components::off_policy_loop::Progress"
    _fields_ = (
        ("n_collected_steps", ctypes.c_int64),
        ("n_collected_episodes", ctypes.c_int64),
        ("position", ctypes.c_int64),
        ("is_full", ctypes.c_int64),
        ("n_sampled_batches", ctypes.c_uint64),
        ("n_sampled_actions", ctypes.c_uint64),
        ("n_pending_updates", ctypes.c_int64),
        ("n_overlapped_updates", ctypes.c_int64),
    )


class ExplorationMatrices(Shared):
    """Addresses of the matrix of a single environment and of those of several; null without gSDE."""

    cpp_header = _LOOP
    cpp_type = "rl::components::off_policy_loop::ExplorationMatrices<T>"
    _fields_ = (("matrix", ctypes.c_void_p), ("matrices", ctypes.c_void_p))


class EpisodeStatistics(Shared):
    """What ``Monitor`` tells of an episode."""

    cpp_header = _LOOP
    cpp_type = "rl::components::off_policy_loop::EpisodeStatistics"
    _fields_ = (("episode_return", ctypes.c_double), ("length", ctypes.c_int64))


class LoopRequest(Shared):
    """Everything that one call of the loop needs; the caller keeps all memory that it points at alive.

    ``episodes`` is room for ``schedule.max_steps`` times ``replay_buffer.n_environments`` of them.
    """

    cpp_header = _LOOP
    cpp_type = "rl::components::off_policy_loop::Request<OBSERVATION, T>"
    _fields_ = (
        ("schedule", LoopSchedule),
        ("progress", LoopProgress),
        ("key", ctypes.c_uint64),
        ("environments", CompiledEnvironments),
        ("replay_buffer", ReplayBufferView),
        ("exploration", ExplorationMatrices),
        ("episodes", ctypes.POINTER(EpisodeStatistics)),
    )


class LoopStatus(IntEnum):
    """Why a loop returned."""

    DONE = 0
    ACTION_NOT_FINITE = 1
    STEP_NOT_FINITE = 2
    ENVIRONMENT_THREW = 3
    UPDATE_NOT_FINITE = 4
    NO_MEMORY = 5


class LoopResult(Shared):
    """What one call of the loop did.

    ``status`` is a :class:`LoopStatus`. ``n_steps`` (of each environment), ``n_updates`` and ``n_episodes`` count what
    happened in this call. ``losses`` are the mean of those after the last rollout that was trained with, which used
    ``learning_rate``.
    """

    cpp_header = _LOOP
    cpp_type = "rl::components::off_policy_loop::Result<Losses>"
    _fields_ = (
        ("status", ctypes.c_int64),
        ("progress", LoopProgress),
        ("n_steps", ctypes.c_int64),
        ("n_updates", ctypes.c_int64),
        ("n_episodes", ctypes.c_int64),
        ("learning_rate", ctypes.c_double),
        ("losses", Losses),
    )


class BlasFunctions(Shared):
    """Addresses of the products of a BLAS."""

    cpp_header = "utils/blas/blas.h"
    cpp_type = "utils::blas::Library"
    _fields_ = (("sgemm", ctypes.c_void_p), ("dgemm", ctypes.c_void_p))


class EnvironmentMetadata(Shared):
    """Sizes of a compiled environment."""

    cpp_header = "interface/environment/metadata.h"
    cpp_type = "interface::environment::Metadata"
    _fields_ = (
        ("observation_dim", ctypes.c_int64),
        ("action_dim", ctypes.c_int64),
        ("episode_step_limit", ctypes.c_int64),
        ("episode_bytes", ctypes.c_int64),
    )


class StepResults(Shared):
    """Addresses of the arrays that a step of compiled environments fills; see ``step.h``."""

    cpp_header = "interface/environment/step.h"
    cpp_type = "interface::environment::Results"
    _fields_ = (
        ("observations", ctypes.c_void_p),
        ("rewards", ctypes.c_void_p),
        ("terminated", ctypes.c_void_p),
        ("truncated", ctypes.c_void_p),
        ("final_observations", ctypes.c_void_p),
        ("episode_returns", ctypes.c_void_p),
        ("episode_lengths", ctypes.c_void_p),
        ("infos", ctypes.c_void_p),
    )


class CheckpointMetadata(Shared):
    """Sizes of a compiled checkpoint."""

    cpp_header = "interface/checkpoint/metadata.h"
    cpp_type = "interface::checkpoint::Metadata"
    _fields_ = (
        ("observation_dim", ctypes.c_int64),
        ("output_dim", ctypes.c_int64),
        ("scalar_bytes", ctypes.c_int64),
    )


KERNEL = (
    Parameter,
    AdamHyperParameters,
    HyperParameters,
    EntryArray,
    ReplayBufferView,
    SquashedGaussian,
    StateDependentNoise,
    Engine,
    Losses,
    CompiledEnvironments,
    LoopSchedule,
    LoopProgress,
    ExplorationMatrices,
    EpisodeStatistics,
    LoopRequest,
    LoopResult,
    BlasFunctions,
)
"""What a kernel and Python share."""

ENVIRONMENT = (EnvironmentMetadata, StepResults)
"""What a compiled environment and Python share."""

CHECKPOINT = (CheckpointMetadata,)
"""What a compiled checkpoint and Python share."""
