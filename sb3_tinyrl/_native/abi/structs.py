"""Structures that Python and C++ share: ctypes mirrors of those in ``rl_tools/``."""

from __future__ import annotations

import ctypes
from enum import IntEnum


class Parameter(ctypes.Structure):
    """Addresses of a parameter and of what Adam keeps for it; all but ``value`` null where nothing trains it.

    ``max_exp_avg_sq`` is null without AMSGrad, too.
    """

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("exp_avg", ctypes.c_void_p),
        ("exp_avg_sq", ctypes.c_void_p),
        ("max_exp_avg_sq", ctypes.c_void_p),
        ("step", ctypes.c_void_p),
    )


class AdamHyperParameters(ctypes.Structure):
    _fields_ = (
        ("learning_rate", ctypes.c_double),
        ("beta_1", ctypes.c_double),
        ("beta_2", ctypes.c_double),
        ("epsilon", ctypes.c_double),
        ("weight_decay", ctypes.c_double),
        ("decoupled_weight_decay", ctypes.c_int64),
    )


class HyperParameters(ctypes.Structure):
    """What may change from one call to the next without a new kernel."""

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


class ReplayBufferView(ctypes.Structure):
    """Addresses of a replay buffer's arrays, and what may be drawn from them; see ``sb3_replay_buffer.h``."""

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


class StateDependentNoise(ctypes.Structure):
    """What the actor has instead of a layer for its standard deviation when it explores with gSDE."""

    _fields_ = (
        ("log_std", Parameter),
        ("clip_mean", ctypes.c_double),
        ("use_expln", ctypes.c_int64),
    )


class Engine(ctypes.Structure):
    """Key and counter of the random numbers; one counter value for each gradient step or action."""

    _fields_ = (("key", ctypes.c_uint64), ("counter", ctypes.c_uint64))


class Losses(ctypes.Structure):
    """What SB3 logs of one gradient step."""

    _fields_ = (
        ("entropy_coefficient", ctypes.c_double),
        ("entropy_coefficient_loss", ctypes.c_double),
        ("critic_loss", ctypes.c_double),
        ("actor_loss", ctypes.c_double),
    )


class CompiledEnvironments(ctypes.Structure):
    """Environments of another library; see ``loop.h``."""

    _fields_ = (
        ("step", ctypes.c_void_p),
        ("environments", ctypes.c_void_p),
        ("results", ctypes.c_void_p),
        ("step_limit", ctypes.c_int64),
    )


class LoopSchedule(ctypes.Structure):
    """How long a loop runs and what it does when; see ``loop.h``."""

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
    )


class LoopState(ctypes.Structure):
    """What a loop goes on from and leaves; see ``loop.h``."""

    _fields_ = (
        ("n_collected_steps", ctypes.c_int64),
        ("n_collected_episodes", ctypes.c_int64),
        ("position", ctypes.c_int64),
        ("is_full", ctypes.c_int64),
        ("n_sampled_batches", ctypes.c_uint64),
        ("n_sampled_actions", ctypes.c_uint64),
        ("n_steps", ctypes.c_int64),
        ("n_updates", ctypes.c_int64),
        ("n_episodes", ctypes.c_int64),
        ("losses", Losses),
        ("learning_rate", ctypes.c_double),
    )


class LoopStatus(IntEnum):
    """Why a loop returned."""

    DONE = 0
    ACTION_NOT_FINITE = 1
    STEP_NOT_FINITE = 2
    ENVIRONMENT_THREW = 3


class EpisodeStatistics(ctypes.Structure):
    """What ``Monitor`` tells of an episode."""

    _fields_ = (("episode_return", ctypes.c_double), ("length", ctypes.c_int64))


class ExplorationMatrices(ctypes.Structure):
    """Addresses of the matrix of a single environment and of those of several."""

    _fields_ = (("matrix", ctypes.c_void_p), ("matrices", ctypes.c_void_p))
