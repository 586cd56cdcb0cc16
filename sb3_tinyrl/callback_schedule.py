"""When SB3's callbacks are due, and what its schedules return: how far a loop may run without asking them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from operator import attrgetter
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

#: Of a callback at each step, and around each rollout.
_METHODS = (
    *("on_step", "_on_step", "update_locals", "update_child_locals"),
    *("on_rollout_start", "_on_rollout_start", "on_rollout_end", "_on_rollout_end"),
)
_methods = attrgetter(*_METHODS)
#: Of one that an event calls, at each step: with the local variables.
_EVENT_METHODS = ("update_locals", "update_child_locals")
_event_methods = attrgetter(*_EVENT_METHODS)


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


def sees_each_step(callback: BaseCallback) -> bool:
    """Whether steps can't be counted for a callback, as code of the user's runs in each, or one counts them twice.

    :param callback: with those that it calls
    """
    called = [*all_callbacks(callback)]
    return len({*map(id, called)}) < len(called) or any(map(_has_own_methods, called))


def _has_own_methods(callback: BaseCallback) -> bool:
    cls = type(callback)
    return not (
        vars(callback).keys().isdisjoint(_EVENT_METHODS)
        and _event_methods(cls) in _SB3S_EVENT_METHODS
        and (cls not in _SB3S_METHODS or _methods(cls) == _SB3S_METHODS[cls])
    )


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
    return abs(frequency) - n_calls % abs(frequency) - 1 if frequency else 0  # SB3 divides by it


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
    EvalCallback: lambda callback: (
        _until_multiple(callback.eval_freq, callback.n_calls) if callback.eval_freq > 0 else math.inf
    ),
    EveryNTimesteps: _idle_steps_of_timesteps,
    LogEveryNTimesteps: _idle_steps_of_timesteps,
    ProgressBarCallback: lambda callback: math.inf,
}
_SB3S_METHODS = {cls: _methods(cls) for cls in _IDLE_STEPS}
_SB3S_EVENT_METHODS = {_event_methods(cls) for cls in (BaseCallback, *_IDLE_STEPS)}
