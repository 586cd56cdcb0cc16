"""Callbacks, wrappers, loggers and other packages around Stable-Baselines3: with TinySAC they do what they do with SAC.

What is tested where callbacks and logs are (test_sac.py) or in the zoo (test_zoo.py) is not repeated here.
"""

import csv
from collections.abc import Callable
from numbers import Real
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import RescaleAction, TimeLimit
from models import At, Scripted, assert_trained, differences, make, scripted, state
from sb3_contrib import TQC
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import (
    BaseCallback,
    CheckpointCallback,
    EvalCallback,
    EveryNTimesteps,
    LogEveryNTimesteps,
)
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import HumanOutputFormat, KVWriter, Logger
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.save_util import load_from_pkl
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecFrameStack, VecMonitor, VecNormalize

from sb3_tinyrl import TinySAC

EPISODES = (5, 4, 1, 2)


Row = tuple[int, dict[str, Any], dict[str, tuple[str, ...]]]


class Tracker(KVWriter):
    """A logger's output as those of experiment trackers are: it gets values, where they are not shown, and a step."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.is_closed = False

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        self.rows.append((step, dict(key_values), dict(key_excluded)))

    def close(self) -> None:
        self.is_closed = True


# --- callbacks ---


class Counter(BaseCallback):
    """Where it was called, in steps and updates of the model."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[int, int]] = []

    def _on_step(self) -> bool:
        self.calls.append((self.num_timesteps, self.model._n_updates))
        return True


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("train_freq", [1, 7])
def test_events_come_when_they_come_in_sb3(n_envs: int, train_freq: int) -> None:
    def calls(cls: type[SAC]) -> list[list[tuple[int, int]]]:
        every, best, each = Counter(), Counter(), Counter()
        evaluation = EvalCallback(
            Monitor(Scripted(EPISODES)), callback_on_new_best=best, callback_after_eval=each, eval_freq=8, verbose=0
        )
        model = make(cls, scripted(n_envs), train_freq=train_freq)
        model.learn(90, callback=[EveryNTimesteps(11, every), evaluation])
        return [every.calls, best.calls[:1], each.calls]  # which evaluation is the best one is up to the weights

    ours, theirs = calls(TinySAC), calls(SAC)
    assert all(theirs)
    assert ours == theirs


def test_logs_written_every_n_timesteps_are_sb3s() -> None:
    def rows(cls: type[SAC]) -> list[Row]:
        tracker = Tracker()
        model = make(cls, DummyVecEnv([lambda: Monitor(Scripted(EPISODES))]))
        model.set_logger(Logger(None, [tracker]))
        model.learn(70, callback=LogEveryNTimesteps(10), log_interval=None)
        return tracker.rows

    ours, theirs = rows(TinySAC), rows(SAC)
    assert [step for step, *_ in ours] == [10, 20, 30, 40, 50, 60, 70]
    for (step, one, _), (expected_step, other, _) in zip(ours, theirs, strict=True):
        assert step == expected_step
        assert one.keys() == other.keys()
        assert one.get("train/n_updates") == other.get("train/n_updates")


@pytest.mark.filterwarnings("ignore:TinySAC trains through")
def test_checkpoints_of_model_buffer_and_statistics_have_sb3s_names(tmp_path: Path) -> None:
    def files(cls: type[SAC]) -> set[str]:
        folder = tmp_path / cls.__name__
        everything = {"save_replay_buffer": True, "save_vecnormalize": True}
        arguments = {"kernel": "auto"} if cls is TinySAC else {}
        model = make(cls, VecNormalize(scripted()), **arguments)
        model.learn(40, callback=CheckpointCallback(20, str(folder), **everything))

        loaded = VecNormalize.load(str(folder / "rl_model_vecnormalize_40_steps.pkl"), scripted())
        np.testing.assert_array_equal(loaded.obs_rms.mean, model.get_vec_normalize_env().obs_rms.mean)
        assert load_from_pkl(folder / "rl_model_replay_buffer_40_steps.pkl").size() == 39
        assert cls.load(folder / "rl_model_40_steps.zip")._n_updates == 19
        return {path.name for path in folder.iterdir()}

    ours = files(TinySAC)
    assert len(ours) == 6
    assert ours == files(SAC)


# --- wrappers ---


def limited_and_rescaled() -> gym.Env:
    return TimeLimit(RescaleAction(Scripted((9, 3)), np.float32(-1), np.float32(1)), max_episode_steps=4)


WRAPPED: dict[str, Callable[[], VecEnv]] = {
    "VecMonitor": lambda: VecMonitor(scripted(2), info_keywords=("is_success",)),
    "VecFrameStack": lambda: VecFrameStack(scripted(2), 3),
    "TimeLimit, RescaleAction": lambda: DummyVecEnv([lambda: Monitor(limited_and_rescaled())]),
}


@pytest.mark.parametrize("make_env", WRAPPED.values(), ids=WRAPPED)
def test_wrapped_environments_are_stored_as_by_sb3(make_env: Callable[[], VecEnv]) -> None:
    ours, theirs = make(env=make_env()), make(SAC, make_env())
    before = state(ours)
    ours.learn(60)
    theirs.learn(60)
    assert_trained(ours, before)
    # The scripted observations and ends of episodes do not depend on the actions, which differ.
    for name in ("observations", "next_observations", "dones", "timeouts"):
        one, other = getattr(ours.replay_buffer, name), getattr(theirs.replay_buffer, name)
        np.testing.assert_array_equal(one, other, err_msg=name)
    lengths = [[info["l"] for info in model.ep_info_buffer] for model in (ours, theirs)]
    assert lengths[0] == lengths[1]
    assert ours._n_updates == theirs._n_updates


def test_time_limits_are_stored_as_timeouts() -> None:
    model = make(env=limited_and_rescaled()).learn(40)
    buffer = model.replay_buffer
    # Episodes of 9 steps are cut after 4, those of 3 end by themselves.
    assert buffer.timeouts[:14, 0].tolist() == [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0]
    assert buffer.actions.min() >= -1
    assert buffer.actions.max() <= 1


def test_vec_monitor_writes_sb3s_file(tmp_path: Path) -> None:
    def rows(cls: type[SAC]) -> list[tuple[str, str]]:
        path = tmp_path / f"{cls.__name__}.monitor.csv"
        env = VecMonitor(scripted(2), str(path), info_keywords=("is_success",))
        make(cls, env).learn(60)
        env.close()
        lines = path.read_text().splitlines()[1:]
        return [(row["l"], row["is_success"]) for row in csv.DictReader(lines)]

    ours = rows(TinySAC)
    assert len(ours) > 10
    assert ours == rows(SAC)


# --- evaluation ---


def test_evaluate_policy_gives_the_returns_that_sb3s_class_gives(tmp_path: Path) -> None:
    model = make().learn(60)
    model.save(tmp_path / "model")

    def returns(model: SAC) -> tuple[list[float], list[int]]:
        env = Monitor(gym.make("Pendulum-v1"))
        env.reset(seed=3)
        return evaluate_policy(model, env, n_eval_episodes=3, return_episode_rewards=True)

    before = state(model)
    (ours, our_lengths), (theirs, their_lengths) = returns(model), returns(SAC.load(tmp_path / "model"))
    assert ours == pytest.approx(theirs, rel=1e-5)  # the kernel's actions are rounded otherwise than torch's
    assert our_lengths == their_lengths
    assert not differences(state(model), before)


# --- other packages ---


def test_another_packages_model_trains_and_is_saved_beside(tmp_path: Path) -> None:
    alone = make().learn(40).learn(20, reset_num_timesteps=False)

    ours = make().learn(40)
    other = make(TQC).learn(40)
    ours.learn(20, reset_num_timesteps=False)
    ours.save(tmp_path / "sac")
    other.save(tmp_path / "tqc")

    assert not differences(state(ours), state(alone))
    assert not differences(state(TinySAC.load(tmp_path / "sac")), state(ours))
    observation = np.ones(3, np.float32)
    loaded = TQC.load(tmp_path / "tqc")
    assert loaded.predict(observation, deterministic=True)[0] == other.predict(observation, deterministic=True)[0]
    assert loaded._n_updates == 20


# --- loggers ---


@pytest.mark.parametrize("arguments", [{}, {"ent_coef": 0.2}, {"gradient_steps": 3}], ids=str)
def test_trackers_get_the_numbers_that_sb3_gives_them(arguments: dict[str, Any]) -> None:
    def tracked(cls: type[SAC]) -> list[Row]:
        tracker = Tracker()
        model = make(cls, DummyVecEnv([lambda: Monitor(Scripted(EPISODES))]), **arguments)
        logger = Logger(None, [HumanOutputFormat("/dev/null"), tracker])
        model.set_logger(logger)
        # What integrations do: their callback's own values go along with the model's.
        own = At(30, lambda model: model.logger.record("own/value", 1.5, exclude="stdout"))
        model.learn(60, callback=own, log_interval=2)
        assert model.logger is logger
        logger.close()
        assert tracker.is_closed
        return tracker.rows

    ours, theirs = tracked(TinySAC), tracked(SAC)
    assert any("own/value" in row for _, row, _ in ours)
    assert any("train/critic_loss" in row for _, row, _ in ours)
    for (step, one, excluded), (expected_step, other, expected_excluded) in zip(ours, theirs, strict=True):
        assert step == expected_step
        assert [*one] == [*other]
        assert excluded == expected_excluded
        assert all(isinstance(value, Real) and np.isfinite(value) for value in one.values())
