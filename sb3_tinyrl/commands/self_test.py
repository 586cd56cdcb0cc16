"""A small kernel beside torch: whether it is compiled and loaded, and acts and trains as Stable-Baselines3 does.

Run as ``python -m sb3_tinyrl.commands.self_test``, in a process of its own: what a compiler has got wrong may end it.
Prints one line of JSON, with the results or an ``error``.
"""

from __future__ import annotations

import json
import time
from typing import Any

import gymnasium as gym
import numpy as np

from sb3_tinyrl._native.abi.thread_tuner import available_threads
from sb3_tinyrl._native.errors import KernelError

#: What rounding in float32 explains: actions of Pendulum-v1 reach 2, and a wrong update moves weights by 1e-4 or more.
TOLERANCE = 2e-5

_BATCH_SIZE = 32
_N_UPDATES = 10
_N_OBSERVATIONS = 1000


def compare() -> dict[str, Any]:
    """Compile a kernel for Pendulum-v1, train and predict with it, and do the same with torch.

    The numbers that a kernel draws are its own. So all transitions are the same and terminal: their targets are their
    rewards, and the updates of the critics depend neither on the batch nor on the actions that the policy draws.

    :return: ``seconds`` that it took to get the kernel; largest differences of the ``critics``' weights and of the
        ``actions``; how many numbers of either were compared, ``n_weights`` and ``n_actions``, and after how many
        ``n_updates``
    :raises KernelError: when there is no kernel, or it computes something else
    """
    import torch as th
    from stable_baselines3.common.logger import Logger

    from sb3_tinyrl._native.jit.jobs import build_in_foreground
    from sb3_tinyrl.capabilities import kernel_spec
    from sb3_tinyrl.sac import TinySAC

    def make(kernel: Any) -> TinySAC:
        model = TinySAC(
            "MlpPolicy",
            gym.make("Pendulum-v1"),
            policy_kwargs={"net_arch": [32, 32]},
            batch_size=_BATCH_SIZE,
            buffer_size=_BATCH_SIZE,
            seed=0,
            device="cpu",
            kernel=kernel,
            n_threads=available_threads(),
            backend="simd",
        )
        model.set_logger(Logger(None, []))
        assert model.replay_buffer is not None
        observation, action = np.full((1, 3), 0.5, np.float32), np.full((1, 1), 0.25, np.float32)
        for _ in range(_BATCH_SIZE):
            model.replay_buffer.add(observation, observation, action, np.array([-1.0]), np.array([True]), [{}])
        return model

    native, torch = make("native"), make("torch")
    start = time.perf_counter()
    build_in_foreground(kernel_spec(native, _BATCH_SIZE))
    seconds = time.perf_counter() - start

    for model in (native, torch):
        model.train(_N_UPDATES, _BATCH_SIZE)
    pairs = zip(native.critic.parameters(), torch.critic.parameters(), strict=True)
    weights = th.cat([(one - other).detach().flatten() for one, other in pairs]).abs()

    # Observations are drawn apart from those of the environment, whose generator is the model's.
    observations = np.random.default_rng(0).normal(size=(_N_OBSERVATIONS, 3)).astype(np.float32)
    ours = native._predict_natively(observations, deterministic=True)
    if ours is None:
        raise KernelError("the kernel was compiled and trains, but does not predict; please report this")
    theirs, _ = native.policy.predict(observations, deterministic=True)
    actions = np.abs(ours - theirs)

    result = {
        "seconds": seconds,
        "critics": float(weights.max()),
        "n_weights": weights.numel(),
        "actions": float(actions.max()),
        "n_actions": actions.size,
        "n_updates": _N_UPDATES,
    }
    for what in ("critics", "actions"):
        if not result[what] <= TOLERANCE:
            raise KernelError(
                f"the kernel was compiled, but its {what} differ from torch's by {result[what]:.1e}, expected at most "
                f'{TOLERANCE:.0e}; please report this, and pass kernel="torch" until it is mended, or choose another '
                "compiler with $CXX"
            )
    return result


def main() -> None:
    """Compare, and print what came out."""
    try:
        answer = compare()
    except (KernelError, ImportError, OSError) as error:
        answer = {"error": str(error)}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
