"""Trains with compiled environments: acts, steps, stores and updates in C++ until a callback or the logger is due.

A request says from where to go on and for how long; the result, how far it got. Neither is a model: who asks puts the
result into its own.
"""

from __future__ import annotations

import ctypes
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sb3_tinyrl._native.abi import structs
from sb3_tinyrl._native.abi.kernel import Kernel
from sb3_tinyrl._native.abi.structs import (
    EpisodeStatistics,
    ExplorationMatrices,
    HyperParameters,
    LoopProgress,
    LoopSchedule,
    LoopStatus,
    ReplayBufferView,
)
from sb3_tinyrl.environments.vec_env import NativeVecEnv

# Between two calls Python gets to see a KeyboardInterrupt.
_SECONDS_PER_CALL = 0.02
_MOST_STEPS_PER_CALL = 4096


@dataclass(frozen=True)
class LoopRequest:
    """Where a loop goes on from, and for how long.

    :param hyper_parameters: of the gradient steps, but for the learning rate
    :param replay: the replay buffer
    :param key: of the random numbers
    :param exploration: matrices of gSDE, drawn anew in place
    :param train_frequency: steps of each environment, or episodes, in a rollout
    :param is_in_episodes: which of the two
    :param gradient_steps: after each rollout, -1 for as many as it had transitions
    :param sde_sample_frequency: steps between two draws of the matrices within a rollout; not above 0 for none
    :param handle_timeout_termination: whether the buffer keeps time limits apart
    :param max_steps: of each environment
    :param max_episodes: in all environments together, 0 for any number
    :param learning_rates: shape ``(max_steps,)``, of the gradient steps that follow each step
    :param overlap: whether these are taken with the next steps rather than before them
    :param pending_learning_rate: of the gradient steps that are pending in ``progress``
    :param progress: where the loop is
    """

    hyper_parameters: HyperParameters
    replay: ReplayBufferView
    key: int
    exploration: ExplorationMatrices
    train_frequency: int
    is_in_episodes: bool
    gradient_steps: int
    sde_sample_frequency: int
    handle_timeout_termination: bool
    max_steps: int
    max_episodes: int
    learning_rates: npt.NDArray[np.float64]
    overlap: bool
    pending_learning_rate: float
    progress: LoopProgress


@dataclass
class LoopResult:
    """What a loop did; filled while it runs, so that an interrupt loses none of it.

    :param outcome: why it returned, where it is now, what it counted, and the losses of its last gradient steps
    :param episodes: those that ended, in their order, and unused room
    """

    outcome: structs.LoopResult
    episodes: ctypes.Array[EpisodeStatistics]

    @classmethod
    def of(cls, request: LoopRequest, n_envs: int) -> LoopResult:
        """Make room for what may come of a request."""
        episodes = (EpisodeStatistics * (request.max_steps * n_envs))()
        return cls(structs.LoopResult(progress=request.progress), episodes)

    @property
    def status(self) -> LoopStatus:
        """Why the loop returned."""
        return LoopStatus(self.outcome.status)

    def ended_episodes(self) -> list[EpisodeStatistics]:
        """Statistics of the episodes that ended."""
        return self.episodes[: self.outcome.n_episodes]


class FusedLoop:
    """Runs environments and a kernel together, for as many steps at once as take a moment.

    :param env: compiled environments
    """

    def __init__(self, env: NativeVecEnv) -> None:
        self.env = env
        self._environments = env.environments.compiled(env.step_limit)
        self.steps_per_call = 16
        """As many as a call may take: what fits in a moment, as measured so far."""

    def run(self, kernel: Kernel, request: LoopRequest, result: LoopResult) -> None:
        """Go on until the request says that the loop returns, or for a short time.

        A rollout that is complete then has not been followed by its gradient steps: they are the caller's.
        """
        schedule = LoopSchedule(
            train_frequency=request.train_frequency,
            train_frequency_is_in_episodes=request.is_in_episodes,
            gradient_steps=request.gradient_steps,
            sde_sample_frequency=request.sde_sample_frequency,
            handle_timeout_termination=request.handle_timeout_termination,
            max_steps=request.max_steps,
            max_episodes=request.max_episodes,
            max_seconds=_SECONDS_PER_CALL,
            learning_rates=request.learning_rates.ctypes.data,
            overlap=request.overlap,
            pending_learning_rate=request.pending_learning_rate,
        )
        shared = structs.LoopRequest(
            schedule=schedule,
            progress=request.progress,
            key=request.key,
            environments=self._environments,
            replay_buffer=request.replay,
            exploration=request.exploration,
            episodes=result.episodes,
        )
        start = time.perf_counter()
        kernel.run(request.hyper_parameters, shared, result.outcome)
        steps_per_second = result.outcome.n_steps / (time.perf_counter() - start)
        self.steps_per_call = min(max(1, int(_SECONDS_PER_CALL * steps_per_second)), _MOST_STEPS_PER_CALL)
