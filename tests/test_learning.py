"""Learning as a whole: TinySAC solves what SB3's SAC solves with the same number of steps."""

import gymnasium as gym
import pytest
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from sb3_tinyrl import TinySAC


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_pendulum_is_solved_in_10000_steps(seed: int) -> None:
    """SB3's SAC reaches -149, -154 and -167 with the same arguments, seeds and evaluation."""
    model = TinySAC(
        "MlpPolicy", "Pendulum-v1", policy_kwargs={"net_arch": [64, 64]}, seed=seed, device="cpu", kernel="native"
    )
    model.learn(10_000)
    env = Monitor(gym.make("Pendulum-v1"))
    env.reset(seed=1000 + seed)
    mean_return, _ = evaluate_policy(model, env, n_eval_episodes=20, deterministic=True)
    assert mean_return > -200
