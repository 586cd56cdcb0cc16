"""When SB3's callbacks are due, and what its schedules return: how far a loop may run without asking them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from stable_baselines3.common.callbacks import (
    BaseCallback,
    CallbackList,
    CheckpointCallback,
    ConvertCallback,
    EvalCallback,
    EventCallback,
    EveryNTimesteps,
    LogEveryNTimesteps,
    ProgressBarCallback,
)
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.common.utils import ConstantSchedule, FloatSchedule, LinearSchedule

#: Of a callback at each step.
_METHODS = ("on_step", "_on_step", "update_locals", "update_child_locals")


def is_known_schedule(schedule: Schedule) -> bool:
    """Whether a schedule is one of SB3's, which return the same for the same progress whenever they are asked."""
    if type(schedule) is FloatSchedule:
        schedule = schedule.value_schedule
    return type(schedule) in (ConstantSchedule, LinearSchedule)


def idle_steps(callback: BaseCallback) -> float:
    """Return how many calls of ``on_step`` in a row would do nothing but count; 0 for a callback that is not known.

    Subclasses are not known, as they may override anything.
    """
    rule = _IDLE_STEPS.get(type(callback))
    return rule(callback) if rule and vars(callback).keys().isdisjoint(_METHODS) else 0


def all_callbacks(callback: BaseCallback) -> Iterator[BaseCallback]:
    """A callback, and those that it calls."""
    yield callback
    if isinstance(callback, CallbackList):
        for child in callback.callbacks:
            yield from all_callbacks(child)
    if isinstance(callback, EventCallback) and callback.callback is not None:
        yield from all_callbacks(callback.callback)


def skip(callback: BaseCallback, n_steps: int) -> None:
    """Count ``n_steps`` calls of ``on_step``, after as many steps of the environments; at most :func:`idle_steps`."""
    callback.n_calls += n_steps
    callback.num_timesteps = callback.model.num_timesteps
    if isinstance(callback, CallbackList):
        for child in callback.callbacks:
            skip(child, n_steps)
    if isinstance(callback, ProgressBarCallback):
        callback.pbar.update(n_steps * callback.training_env.num_envs)


def _until_multiple(frequency: int, n_calls: int) -> float:
    return frequency - n_calls % frequency - 1 if frequency > 0 else math.inf


def _idle_steps_of_list(callback: Any) -> float:
    return min(map(idle_steps, callback.callbacks), default=math.inf)


def _idle_steps_of_timesteps(callback: Any) -> float:
    remaining = callback.last_time_trigger + callback.n_steps - callback.model.num_timesteps
    n_steps: int = math.ceil(remaining / callback.training_env.num_envs)
    return max(0, n_steps - 1)


_IDLE_STEPS: dict[type[BaseCallback], Callable[[Any], float]] = {
    CallbackList: _idle_steps_of_list,
    CheckpointCallback: lambda callback: _until_multiple(callback.save_freq, callback.n_calls),
    ConvertCallback: lambda callback: math.inf if callback.callback is None else 0,
    EvalCallback: lambda callback: _until_multiple(callback.eval_freq, callback.n_calls),
    EveryNTimesteps: _idle_steps_of_timesteps,
    LogEveryNTimesteps: _idle_steps_of_timesteps,
    ProgressBarCallback: lambda callback: math.inf,
}
