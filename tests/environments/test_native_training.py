"""Training with native environments inside the kernel: the results are those of steps taken from Python."""

import functools
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import models
import numpy as np
import pytest
import torch as th
from gymnasium.wrappers import RescaleAction
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import (
    BaseCallback,
    CallbackList,
    CheckpointCallback,
    ConvertCallback,
    EvalCallback,
    EveryNTimesteps,
    ProgressBarCallback,
)
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import Logger, configure
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_tinyrl import NativeVecEnv, TinySAC, register_environment
from sb3_tinyrl.callback_schedule import idle_steps
from sb3_tinyrl.fused_loop import FusedLoop
from sb3_tinyrl.observations import NonFiniteError

PENDULUM = "sb3_tinyrl:rl_tools/Pendulum-v0"


class Each(BaseCallback):
    """Wants to see each step, and so keeps the loop in Python."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def _on_step(self) -> bool:
        self.seen.append(self.num_timesteps)
        return True


def make(env: Any = PENDULUM, **arguments: Any) -> TinySAC:
    return models.make(env=env() if callable(env) else env, **arguments)


def several() -> NativeVecEnv:
    return NativeVecEnv(PENDULUM, 3, max_episode_steps=30)


def short() -> NativeVecEnv:
    return NativeVecEnv(PENDULUM, max_episode_steps=30)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Steps that each call of the native loop took."""
    taken = []
    run = FusedLoop.run

    def record(self: FusedLoop, kernel: Any, request: Any, result: Any) -> None:
        run(self, kernel, request, result)
        taken.append(result.outcome.n_steps)

    monkeypatch.setattr(FusedLoop, "run", record)
    return taken


def assert_same(one: TinySAC, other: TinySAC) -> None:
    ours, theirs = one.get_parameters(), other.get_parameters()
    for name, tensor in ours["policy"].items():
        assert th.equal(tensor, theirs["policy"][name]), name
    for name in ("actor.optimizer", "critic.optimizer"):
        for state, expected in zip(ours[name]["state"].values(), theirs[name]["state"].values(), strict=True):
            assert all(th.equal(state[key], expected[key]) for key in expected)
        assert ours[name]["param_groups"] == theirs[name]["param_groups"]
    for name in ("observations", "actions", "rewards", "dones", "timeouts"):
        np.testing.assert_array_equal(getattr(one.replay_buffer, name), getattr(other.replay_buffer, name))
    for name in ("num_timesteps", "_n_updates", "_episode_num", "_n_sampled_batches", "_n_sampled_actions"):
        assert getattr(one, name) == getattr(other, name), name
    for name in ("_current_progress_remaining", "_last_obs", "_last_original_obs"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert (one.replay_buffer.pos, one.replay_buffer.full) == (other.replay_buffer.pos, other.replay_buffer.full)
    returns = [[(episode["r"], episode["l"]) for episode in model.ep_info_buffer] for model in (one, other)]
    assert returns[0] == returns[1]


SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "several environments": {"env": several},
    "eight steps, then eight updates": {"train_freq": 8, "gradient_steps": 8, "env": several},
    "many updates": {"train_freq": 20, "gradient_steps": -1},
    "whole episodes": {"train_freq": (2, "episode"), "gradient_steps": 3, "env": short},
    "whole episodes and as many updates": {"train_freq": (1, "episode"), "gradient_steps": -1, "env": short},
    "no updates": {"gradient_steps": 0},
    "gSDE": {"use_sde": True, "train_freq": 4},
    "gSDE in several environments": {"use_sde": True, "train_freq": 8, "sde_sample_freq": 3, "env": several},
    "a small buffer": {"buffer_size": 70},
    "little memory": {
        "buffer_size": 70,
        "optimize_memory_usage": True,
        "replay_buffer_kwargs": {"handle_timeout_termination": False},
        "env": short,
    },
    "n steps": {"n_steps": 3, "env": several},
    "a learning rate that falls": {"learning_rate": lambda remaining: 1e-2 * remaining},
    "slow targets": {"target_update_interval": 3, "gradient_steps": 4, "train_freq": 2},
    "a fixed entropy coefficient": {"ent_coef": 0.1},
    "no warm-up": {"learning_starts": 0},
}


def test_nan_written_to_the_replay_buffer_ends_the_loop_before_any_weight_changes(calls: list[int]) -> None:
    model, other = make(train_freq=4), make(train_freq=4)
    for one in (model, other):
        one.learn(100)
    n_calls, before = len(calls), models.state(model)
    model.replay_buffer.rewards[...] = np.nan
    with pytest.raises(ValueError, match=r"holds nan in rewards at index \(0, 0\)"):
        model.learn(60, reset_num_timesteps=False)
    assert len(calls) == n_calls + 1
    assert not models.differences(before, models.state(model))
    assert (model._n_updates, model._n_sampled_batches) == (other._n_updates, other._n_sampled_batches)
    assert model.num_timesteps == model.replay_buffer.size() == 104
    model.replay_buffer.rewards[:100] = other.replay_buffer.rewards[:100]
    model.learn(60, reset_num_timesteps=False)
    models.assert_trained(model, before)


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("name", SETTINGS)
def test_results_are_those_of_steps_taken_from_python(
    name: str, overlap: bool, tmp_path: Path, calls: list[int]
) -> None:
    trained = []
    for callback in (None, Each()):
        model = make(**{"env": short, **SETTINGS[name]}, overlap=overlap)
        model.set_logger(configure(str(tmp_path / str(callback is None)), ["csv"]))
        model.learn(150, callback=callback, log_interval=2)
        model.learn(61, callback=callback, log_interval=2, reset_num_timesteps=False)
        model.logger.close()
        trained.append(model)
        if callback is None:
            # All but the warm-up, and nothing at all the second time. More updates than one call takes overlap with a
            # step from Python: one of each episode's 30.
            n_from_python = 211 // 30 if overlap and "as many" in name else 0
            assert sum(calls) * model.n_envs >= 211 - 20 - 2 * model.n_envs - n_from_python
            calls.clear()
    assert not calls
    assert_same(*trained)

    native, python = ((tmp_path / folder / "progress.csv").read_text().splitlines() for folder in ("True", "False"))
    timing = [i for i, column in enumerate(native[0].split(",")) if column in ("time/fps", "time/time_elapsed")]
    for line, expected in zip(native, python, strict=True):
        kept = [[v for i, v in enumerate(row.split(",")) if i not in timing] for row in (line, expected)]
        assert kept[0] == kept[1]
    assert len(native) > 1


def test_an_id_a_native_environment_and_a_native_vec_env_train_the_same(calls: list[int]) -> None:
    environments = (PENDULUM, lambda: gym.make(PENDULUM), lambda: NativeVecEnv(PENDULUM))
    trained = [make(env).learn(60) for env in environments]
    assert sum(calls) == 3 * 40
    for model in trained[1:]:
        assert_same(trained[0], model)


@pytest.mark.parametrize(
    ("env", "arguments"),
    [
        (lambda: VecNormalize(NativeVecEnv(PENDULUM)), {}),
        (lambda: RescaleAction(gym.make(PENDULUM), -1, 1), {}),
        (lambda: DummyVecEnv([lambda: gym.make(PENDULUM)]), {}),
        (PENDULUM, {"action_noise": NormalActionNoise(np.zeros(1), np.ones(1))}),
        (PENDULUM, {"kernel": "torch"}),
    ],
    ids=["VecNormalize", "wrapper", "DummyVecEnv", "action noise", "torch"],
)
def test_what_the_loop_does_not_know_is_stepped_from_python(
    env: Any, arguments: dict[str, Any], calls: list[int]
) -> None:
    model = make(env, **arguments).learn(40)
    assert model._n_updates > 0
    assert not calls


def test_methods_of_a_subclass_are_called(calls: list[int]) -> None:
    class Counting(TinySAC):
        n_calls = 0

        def train(self, gradient_steps: int, batch_size: int = 64) -> None:
            Counting.n_calls += 1
            super().train(gradient_steps, batch_size)

    Counting("MlpPolicy", PENDULUM, policy_kwargs={"net_arch": [32, 32]}, batch_size=32, learning_starts=20).learn(50)
    assert Counting.n_calls == 30
    assert not calls


def test_a_decorated_method_of_a_subclass_is_called(calls: list[int]) -> None:
    n_calls = []

    class Counting(TinySAC):
        @functools.wraps(TinySAC.train)
        def train(self, *arguments: Any, **named: Any) -> None:
            n_calls.append(1)
            super().train(*arguments, **named)

    Counting("MlpPolicy", PENDULUM, policy_kwargs={"net_arch": [32, 32]}, batch_size=32, learning_starts=20).learn(50)
    assert len(n_calls) == 30
    assert not calls


def test_a_method_replaced_on_the_class_of_the_logger_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    logged = []
    original = Logger.record

    def record(self: Logger, key: str, *arguments: Any, **named: Any) -> None:
        logged.append(key)
        original(self, key, *arguments, **named)

    monkeypatch.setattr(Logger, "record", record)
    make().learn(50)
    assert logged.count("train/actor_loss") == 30


# --- callbacks ---


def test_an_unknown_callback_sees_each_step() -> None:
    callback = Each()
    make().learn(60, callback=callback)
    assert callback.seen == [*range(1, 61)]


class Recorded:
    """Callbacks of SB3 with a note of when they did what they are for."""

    def __init__(self, folder: Path) -> None:
        self.events: list[tuple[str, int, int]] = []
        evaluation = EvalCallback(several(), n_eval_episodes=1, eval_freq=35, verbose=0, warn=False)
        self._note(evaluation.eval_env, "reset", evaluation, "evaluation")
        every = EveryNTimesteps(25, Each())
        self._note(every.callback, "on_step", every, "every 25 steps")
        checkpoint = CheckpointCallback(40, str(folder))
        self.callback = CallbackList([evaluation, every, checkpoint, ProgressBarCallback()])

    def _note(self, target: Any, method: str, callback: BaseCallback, name: str) -> None:
        original = getattr(target, method)

        def noting(*arguments: Any) -> Any:
            self.events.append((name, callback.n_calls, callback.model._n_updates))
            return original(*arguments)

        setattr(target, method, noting)


def test_callbacks_of_sb3_are_called_when_they_would_be(tmp_path: Path, calls: list[int]) -> None:
    recorded = []
    for folder, extra in ((tmp_path / "native", []), (tmp_path / "python", [Each()])):
        record = Recorded(folder)
        make(several).learn(300, callback=[record.callback, *extra])
        recorded.append(record)
    assert calls
    assert recorded[0].events == recorded[1].events
    assert {name for name, _, _ in recorded[0].events} == {"evaluation", "every 25 steps"}
    for folder in ("native", "python"):
        assert sorted(path.name for path in (tmp_path / folder).iterdir()) == [
            "rl_model_120_steps.zip",
            "rl_model_240_steps.zip",
        ]
    for n_steps in (120, 240):
        name = f"rl_model_{n_steps}_steps.zip"
        assert_same_policy(tmp_path / "native" / name, tmp_path / "python" / name)
    assert recorded[0].callback.callbacks[-1].pbar.n == 300
    for one, other in zip(*(record.callback.callbacks for record in recorded), strict=True):
        assert (one.n_calls, one.num_timesteps) == (other.n_calls, other.num_timesteps)


def assert_same_policy(one: Path, other: Path) -> None:
    policies = [SAC.load(path).policy.state_dict() for path in (one, other)]
    assert all(th.equal(policies[0][name], policies[1][name]) for name in policies[0])


def test_a_subclass_of_a_known_callback_is_unknown() -> None:
    class Own(CheckpointCallback):
        pass

    assert idle_steps(Own(100, "nowhere")) == 0
    assert idle_steps(CheckpointCallback(100, "nowhere")) == 99


class Told(BaseCallback):
    """Notes when it is told of the local variables, which an event does at each step."""

    def __init__(self, notes: list[Any]) -> None:
        super().__init__()
        self.notes = notes

    def _on_step(self) -> bool:
        return True

    def update_locals(self, locals_: dict[str, Any]) -> None:
        self.notes.append(self.model.num_timesteps)


def noting(method: str, notes: list[Any]) -> BaseCallback:
    callback = ConvertCallback(None)
    setattr(callback, method, lambda: notes.append(method))
    return callback


def checkpoints(save_freq: int, notes: list[Any], folder: Path) -> CheckpointCallback:
    callback = CheckpointCallback(save_freq, str(folder))
    path = callback._checkpoint_path

    def noted(*arguments: Any, **named: Any) -> str:
        notes.append(callback.num_timesteps)
        return path(*arguments, **named)

    callback._checkpoint_path = noted
    return callback


@pytest.mark.parametrize(
    "callback",
    [
        lambda notes, folder: CallbackList(2 * [checkpoints(40, notes, folder)]),
        lambda notes, folder: checkpoints(-40, notes, folder),
        lambda notes, folder: EveryNTimesteps(50, Told(notes)),
        lambda notes, folder: noting("on_rollout_end", notes),
        lambda notes, folder: noting("_on_rollout_start", notes),
    ],
    ids=["twice in a list", "negative frequency", "locals of an event's callback", "on_rollout_end", "rollout_start"],
)
def test_callbacks_are_called_as_often_as_by_sb3(
    callback: Callable[[list[Any], Path], BaseCallback], tmp_path: Path
) -> None:
    seen: list[list[Any]] = [[], []]
    for notes, extra in zip(seen, ([], [Each()]), strict=True):
        make().learn(130, callback=[callback(notes, tmp_path), *extra])
    assert seen[0]
    assert seen[0] == seen[1]


def test_a_method_replaced_on_the_class_of_a_callback_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    n_calls = []
    monkeypatch.setattr(ConvertCallback, "_on_step", lambda self: not n_calls.append(self.n_calls))
    make().learn(60, callback=ConvertCallback(None))
    assert n_calls == [*range(1, 61)]


def test_a_checkpoint_each_0_steps_is_the_error_that_it_is_with_sb3(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        make(learning_starts=0).learn(30, callback=CheckpointCallback(0, str(tmp_path)))


def reset(model: TinySAC) -> None:
    model.env.reset()


def step_once(model: TinySAC) -> None:
    model.env.step(np.ones((model.n_envs, 1), np.float32))


def evaluate(model: TinySAC) -> None:
    evaluate_policy(model, model.env, n_eval_episodes=1, warn=False)


@pytest.mark.parametrize("act", [reset, step_once, evaluate])
def test_a_callback_may_use_the_training_environment(act: Callable[[TinySAC], None], calls: list[int]) -> None:
    trained = [
        make(short).learn(119, callback=[EveryNTimesteps(65, models.At(1, act)), *extra]) for extra in ([], [Each()])
    ]
    assert calls
    assert_same(*trained)


# --- what may go wrong ---


def test_what_changes_while_the_loop_runs_is_noticed(calls: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    run = FusedLoop.run
    model = make()
    moved: list[th.Tensor] = []

    def run_beside_a_thread(*arguments: Any) -> None:
        run(*arguments)
        if len(calls) == 1:
            weight = model.actor.mu.weight
            weight.data = weight.data.clone()
            moved.append(weight.detach().clone())

    monkeypatch.setattr(FusedLoop, "run", run_beside_a_thread)
    model.learn(400, log_interval=None)
    assert len(calls) > 1
    assert not th.equal(model.actor.mu.weight, moved[0])


def test_an_interrupt_leaves_a_consistent_model() -> None:
    model = make()
    model.learn(30)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        model.learn(10**9, reset_num_timesteps=False)
    assert time.monotonic() - start < 60
    assert model.num_timesteps == model._n_sampled_actions + 20
    assert model._n_updates == model._n_sampled_batches
    steps = {state["step"].item() for state in model.actor.optimizer.state.values()}
    assert steps == {model._n_updates}
    n_updates = model._n_updates
    model.learn(20, reset_num_timesteps=False)
    assert model._n_updates >= n_updates + 19


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("return -", "return state.velocity > 2 ? T(0) / T(0) : -", "reward"),
        ("0, 2, state.velocity)", "0, 2, state.velocity > 2 ? T(1) / T(0) : state.velocity)", "observation"),
    ],
    ids=["reward", "observation"],
)
def test_what_is_not_finite_is_refused_before_it_is_stored(
    old: str, new: str, what: str, changed_example: Callable[..., Path]
) -> None:
    register_environment(f"tests/NotFinite{what}-v0", changed_example((old, new)), max_episode_steps=50)
    model = make(f"tests/NotFinite{what}-v0", learning_starts=0)
    with pytest.raises(NonFiniteError, match=rf"The {what}.* of environment 0.* at timestep"):
        model.learn(100_000)
    assert np.isfinite(model.replay_buffer.rewards).all()
    assert np.isfinite(model.replay_buffer.observations).all()
    assert all(tensor.isfinite().all() for tensor in model.policy.state_dict().values())
