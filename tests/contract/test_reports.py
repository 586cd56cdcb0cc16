"""Reports of what a user builds, rather than does to a model: each behaves as with SB3, in both loops."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from fast_loop import slow_but
from gymnasium import spaces
from judge import COMPILED, ENVIRONMENTS, PYTHON
from models import make
from mutators import BATCH_SIZE, WIDTH
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

from sb3_tinyrl import TinySAC

EACH_LOOP = pytest.mark.parametrize("loop", [PYTHON, COMPILED])
SMALL: dict[str, Any] = {
    "policy_kwargs": {"net_arch": [WIDTH, WIDTH]},
    "batch_size": BATCH_SIZE,
    "learning_starts": 10,
    "kernel": "auto",
}


def moved(model: SAC, parameter: th.Tensor, before: th.Tensor) -> bool:
    assert parameter.isfinite().all()
    return not th.equal(parameter, before)


class SlowActor(TinySAC):
    """An actor that doesn't learn while the critics do."""

    def _update_learning_rate(self, optimizers: Any) -> None:
        super()._update_learning_rate(optimizers)
        self.actor.optimizer.param_groups[0]["lr"] = 0.0


@EACH_LOOP
@pytest.mark.parametrize("kernel", ["native", "auto"])
def test_an_overridden_learning_rate_is_honoured(loop: str, kernel: str) -> None:
    model = make(SlowActor, gym.make(ENVIRONMENTS[loop]), **{**SMALL, "kernel": kernel})
    actor, critic = (next(network.parameters()) for network in (model.actor, model.critic))
    before = actor.detach().clone(), critic.detach().clone()
    model.learn(40)
    assert not moved(model, actor, before[0])
    assert moved(model, critic, before[1])


@EACH_LOOP
@pytest.mark.parametrize(
    "method", ["_update_current_progress_remaining", "_update_info_buffer", "_on_step", "_dump_logs", "dump_logs"]
)
def test_overridden_methods_are_called_as_often_as_by_sb3(loop: str, method: str) -> None:
    calls = {}
    for base in (SAC, TinySAC):
        calls[base] = 0

        def count(self: Any, *args: Any, base: Any = base, **kwargs: Any) -> Any:
            calls[base] += 1
            return getattr(base, method)(self, *args, **kwargs)

        cls = type("Counting", (base,), {method: count})
        arguments = {name: value for name, value in SMALL.items() if base is TinySAC or name != "kernel"}
        env = gym.wrappers.TimeLimit(gym.make(ENVIRONMENTS[loop]), 20)
        make(cls, env, **arguments).learn(65, log_interval=1)
    assert calls[TinySAC] == calls[SAC]


class Twice(ReplayBuffer):
    """Returns each row two times."""

    def sample(self, batch_size: int, env: Any = None) -> ReplayBufferSamples:
        samples = super().sample(batch_size, env)
        return ReplayBufferSamples(*(None if x is None else th.cat([x, x]) for x in samples))


@EACH_LOOP
@pytest.mark.filterwarnings("ignore:TinySAC")
def test_a_buffer_that_returns_more_rows_trains(loop: str) -> None:
    model = make(TinySAC, gym.make(ENVIRONMENTS[loop]), replay_buffer_class=Twice, **SMALL)
    weight = model.actor.mu.weight
    before = weight.detach().clone()
    model.learn(40)
    assert moved(model, weight, before)


@EACH_LOOP
@pytest.mark.parametrize("kernel", ["native", "auto"])
def test_a_memory_optimised_buffer_of_one_row_is_refused(loop: str, kernel: str) -> None:
    arguments = {
        **SMALL,
        "buffer_size": 1,
        "optimize_memory_usage": True,
        "replay_buffer_kwargs": {"handle_timeout_termination": False},
        "kernel": kernel,
    }
    with pytest.raises(ValueError, match=r"buffer|high|low"):
        make(TinySAC, gym.make(ENVIRONMENTS[loop]), **arguments).learn(40)


@pytest.mark.parametrize("kernel", ["native", "auto"])
def test_statistics_of_single_precision_normalise_as_those_of_double(kernel: str) -> None:
    """The losses of frozen networks depend on the batches only."""
    losses = {}
    for dtype in (np.float64, np.float32):
        env = VecNormalize(DummyVecEnv([lambda: gym.make("Pendulum-v1")]), norm_reward=False, training=False)
        env.obs_rms.mean, env.obs_rms.var = np.zeros(3), np.array([0.5, 0.5, 4.0], dtype)
        arguments = {**SMALL, "learning_rate": 0.0, "tau": 0.0, "ent_coef": 0.1, "kernel": kernel}
        model = make(TinySAC, env, **arguments).learn(40)
        model.train(200, BATCH_SIZE)
        losses[dtype] = model.logger.name_to_value["train/actor_loss"]
    assert losses[np.float32] == pytest.approx(losses[np.float64], rel=1e-4)


class Unusual(VecEnv):
    """Returns observations, rewards or ends of episodes of another type than numpy's usual ones."""

    def __init__(self, which: int, convert: Any) -> None:
        super().__init__(2, spaces.Box(-9, 9, (3,), np.float32), spaces.Box(-1, 1, (1,), np.float32))
        self.which, self.convert = which, convert

    def reset(self) -> np.ndarray:
        return np.zeros((2, 3), np.float32)

    def step_async(self, actions: np.ndarray) -> None:
        self.actions = actions

    def step_wait(self) -> Any:
        results = [np.full((2, 3), self.actions.sum(), np.float32), np.ones(2, np.float32), np.array([False, True])]
        results[self.which] = self.convert(results[self.which])
        return (*results, [{}, {"terminal_observation": np.zeros(3, np.float32)}])

    def close(self) -> None:
        pass

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [None] * 2

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        pass

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        return [None] * 2

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * 2


CONVERSIONS = {
    "lists": np.ndarray.tolist,
    "tuples": lambda array: tuple(array.tolist()),
    "tensors": th.from_numpy,
    "float64": lambda array: array.astype(np.float64),
    "integers": lambda array: array.astype(np.int64),
    "float16": lambda array: array.astype(np.float16),
}


@pytest.mark.parametrize("kernel", slow_but(["native"], ["native", "auto"]))
@pytest.mark.parametrize("conversion", CONVERSIONS)
@pytest.mark.parametrize("which", [0, 1, 2], ids=["observations", "rewards", "dones"])
def test_environments_may_return_what_they_may_with_sb3(which: int, conversion: str, kernel: str) -> None:
    outcomes = []
    for cls in (SAC, TinySAC):
        arguments = {**SMALL, "kernel": kernel} if cls is TinySAC else {**SMALL}
        if cls is SAC:
            del arguments["kernel"]
        try:
            model = make(cls, Unusual(which, CONVERSIONS[conversion]), **arguments).learn(40)
        except Exception as error:
            outcomes.append(type(error).__name__)
        else:
            outcomes.append((model.replay_buffer.pos, model._episode_num, model.replay_buffer.rewards.sum()))
    if outcomes[0] != outcomes[1]:
        # What SB3 refuses may be refused in other words.
        assert isinstance(outcomes[0], str)
        assert outcomes[1] in ("ValueError", "TypeError", "NonFiniteError")
