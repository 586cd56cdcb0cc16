"""What a step of the environment itself takes, with nothing around it: part of the least that training takes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import Any

from sb3_tinyrl.bench.measure import calls_per_second
from sb3_tinyrl.bench.settings import Settings

#: What its worker process goes by, beside the names of the peers.
RAW_ENVIRONMENT = "environment"

_SECONDS = 0.2
_N_ACTIONS = 100
_STEPS_PER_CALL = 10
_N_NATIVE = 256
_SEED = 0


class RawEnvironment:
    """The environment without the wrappers of Gymnasium and Stable-Baselines3, as its worker process drives it.

    A native environment takes its steps in C++, as it does in the kernel.

    :param settings: what is measured
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def step_seconds(self) -> float:
        """Seconds of a step with random actions, resets at the end of episodes included."""
        return 1 / (calls_per_second(self._take_steps, _SECONDS) * self._steps_per_call)

    def set_up(self) -> None:
        """Make the environment."""
        import gymnasium

        from sb3_tinyrl.environments.env import NativeEnv

        env = gymnasium.make(self.settings.env, **self.settings.env_kwargs)
        raw: gymnasium.Env[Any, Any] = env.unwrapped
        raw.action_space.seed(_SEED)
        if isinstance(raw, NativeEnv):
            self._take_steps, self._steps_per_call = _native_steps(raw)
        else:
            limit = env.spec.max_episode_steps if env.spec else None
            self._take_steps, self._steps_per_call = _python_steps(raw, limit), _STEPS_PER_CALL


def _python_steps(env: Any, limit: int | None) -> Callable[[], None]:
    actions = cycle([env.action_space.sample() for _ in range(_N_ACTIONS)])
    n_steps = 0  # of this episode
    env.reset(seed=_SEED)

    def take_steps() -> None:
        nonlocal n_steps
        for _ in range(_STEPS_PER_CALL):
            _, _, terminated, truncated, _ = env.step(next(actions))
            n_steps += 1
            if terminated or truncated or n_steps == limit:
                env.reset()
                n_steps = 0

    return take_steps


def _native_steps(env: Any) -> tuple[Callable[[], None], int]:
    """Return what steps many of them in one call, so that the call itself counts for nothing, and how many."""
    import numpy as np

    from sb3_tinyrl._native.abi.env_batch import Autoreset, Environments

    environments = Environments(env.environments.folder, _N_NATIVE)
    for i in range(_N_NATIVE):
        environments.seed(i, _SEED + i)
    environments.reset(None)
    actions = np.stack([env.action_space.sample() for _ in range(_N_NATIVE)])
    limit = environments.episode_step_limit
    return lambda: environments.step(actions, limit, Autoreset.SAME_STEP), _N_NATIVE
