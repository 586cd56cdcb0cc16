"""``overlap=True``: gradient steps beside the environment are those of a run that takes them in its place."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import models
import numpy as np
import pytest
import torch as th
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_tinyrl import TinySAC
from sb3_tinyrl._native.abi.kernel import Kernel
from sb3_tinyrl.observations import NonFiniteError

N_STEPS = 80


class InOrder(TinySAC):
    """Takes gradient steps after an action has been chosen, before the environment takes its step."""

    put_off: tuple[int, int] | None = None

    def train(self, gradient_steps: int, batch_size: int = 64) -> None:
        if self.num_timesteps < self._total_timesteps:
            self.put_off = gradient_steps, batch_size
        else:
            super().train(gradient_steps, batch_size)

    def _sample_action(self, *args: Any, **kwargs: Any) -> tuple[np.ndarray, np.ndarray]:
        actions = super()._sample_action(*args, **kwargs)
        put_off, self.put_off = self.put_off, None
        if put_off:
            super().train(*put_off)
        return actions


class Late(gym.Wrapper):
    """Takes its time, now longer and now shorter than a gradient step."""

    def step(self, action: Any) -> Any:
        time.sleep(float(self.np_random.choice([0, 0.0005, 0.004])))
        return super().step(action)


class Drawn(ReplayBuffer):
    """Draws its batches in Python."""

    def sample(self, *args: Any, **kwargs: Any) -> Any:
        return super().sample(*args, **kwargs)


def late() -> gym.Env:
    return Late(gym.make("Pendulum-v1"))


def several() -> DummyVecEnv:
    return DummyVecEnv([late, late])


def normalised() -> VecNormalize:
    return VecNormalize(DummyVecEnv([late]))


SETTINGS: dict[str, dict[str, Any]] = {
    "a step": {},
    "three gradient steps": {"gradient_steps": 3},
    "more than a call takes": {"gradient_steps": 20},
    "several environments": {"env": several, "gradient_steps": -1},
    "gSDE": {"use_sde": True},
    "normalised": {"env": normalised},
    "drawn by Python": {"replay_buffer_class": Drawn},
    "whole episodes": {"train_freq": (1, "episode"), "gradient_steps": 5, "env": lambda: models.Scripted((7, 4))},
}


def make(cls: type[TinySAC] = TinySAC, **arguments: Any) -> TinySAC:
    env = arguments.pop("env", late)()
    model: TinySAC = models.make(cls, env, **({"overlap": True} if cls is TinySAC else {}), **arguments)
    return model


def assert_same(one: TinySAC, other: TinySAC) -> None:
    assert not models.differences(models.state(one), models.state(other))
    assert (one._n_updates, one._n_sampled_batches) == (other._n_updates, other._n_sampled_batches)
    np.testing.assert_array_equal(one.replay_buffer.actions, other.replay_buffer.actions)


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("name", SETTINGS)
def test_gradient_steps_are_those_taken_in_order(name: str, n_threads: int) -> None:
    np.random.seed(0)  # noqa: NPY002 - draws the batches of a buffer in Python
    ours = make(n_threads=n_threads, **SETTINGS[name]).learn(N_STEPS)
    np.random.seed(0)  # noqa: NPY002
    assert_same(ours, make(InOrder, **SETTINGS[name]).learn(N_STEPS))
    assert ours._n_updates > 10
    assert ours._pending is None


def test_each_step_of_a_rollout_takes_its_share() -> None:
    class Count(BaseCallback):
        def _on_training_start(self) -> None:
            self.counts: list[int] = []

        def _on_step(self) -> bool:
            self.counts.append(self.model._n_updates)
            return True

    count = Count()
    make(train_freq=4, gradient_steps=6, learning_starts=7).learn(20, callback=count)
    assert count.counts == [*[0] * 8, 2, 4, 5, 6, 8, 10, 11, 12, 14, 16, 17, 18]


def test_a_callback_sees_weights_at_rest() -> None:
    class Look(BaseCallback):
        def _on_step(self) -> bool:
            before = models.state(self.model)
            time.sleep(0.003)
            assert not models.differences(before, models.state(self.model))
            return True

    model = make(gradient_steps=10).learn(N_STEPS, callback=Look())
    assert model._n_updates == 10 * (N_STEPS - 20)


def test_train_called_by_the_user_trains_at_once() -> None:
    class Train(BaseCallback):
        def _on_step(self) -> bool:
            if self.n_calls == 40:
                n_updates = self.model._n_updates
                self.model.train(5, self.model.batch_size)
                assert self.model._n_updates == n_updates + 5
            return True

    assert make().learn(N_STEPS, callback=Train())._n_updates == N_STEPS - 20 + 5


@pytest.mark.parametrize("env", [late, lambda: "sb3_tinyrl:rl_tools/Pendulum-v0"], ids=["Python", "C++"])
def test_an_update_that_fails_within_a_share_counts_what_was_taken(env: Any) -> None:
    class Spoil(BaseCallback):
        def _on_step(self) -> bool:
            if self.n_calls == 41:
                self.model.replay_buffer.rewards[7] = np.nan
            return True

    model = make(env=env, train_freq=4, gradient_steps=32)
    model.learn(40, reset_num_timesteps=False)
    with pytest.raises(ValueError, match="holds nan in rewards"):
        model.learn(1000, callback=Spoil(), reset_num_timesteps=False)
    assert {*models.step_counts(model).values()} == {model._n_updates}
    assert model._n_updates == model._n_sampled_batches
    assert model._pending is None


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_of_the_environment_loses_no_gradient_step(error: type[BaseException]) -> None:
    class Failing(gym.Wrapper):
        n_steps = 0

        def step(self, action: Any) -> Any:
            self.n_steps += 1
            if self.n_steps == 50:
                raise error("of the environment")
            return super().step(action)

    model = make(env=lambda: Failing(gym.make("Pendulum-v1")))
    with pytest.raises(error, match="of the environment"):
        model.learn(N_STEPS)
    assert model._n_updates == 29
    before = models.state(model)
    time.sleep(0.003)
    assert not models.differences(before, models.state(model))
    model.learn(N_STEPS, reset_num_timesteps=False)
    models.assert_trained(model, before)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers that raise signals")
def test_interrupts_leave_the_right_counts() -> None:
    class Interrupted(BaseException):
        pass

    def interrupt(*_: Any) -> None:
        raise Interrupted

    model = make(env=models.Scripted, gradient_steps=16).learn(30)
    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        for i in range(10):
            signal.setitimer(signal.ITIMER_REAL, 0.05 + 0.0003 * i)
            with pytest.raises(Interrupted):
                model.learn(100_000, reset_num_timesteps=False)
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert {*models.step_counts(model).values()} == {model._n_updates}
            assert model._n_sampled_batches == model._n_updates
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def test_an_interrupt_while_learn_waits_leaves_no_transition_of_two_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    finish, calls = Kernel.finish_training, []

    def interrupted(self: Kernel, *arguments: Any) -> Any:
        losses = finish(self, *arguments)
        calls.append(losses)
        if len(calls) == 10:
            raise KeyboardInterrupt  # as after a signal: when the kernel returns
        return losses

    model = make(env=lambda: models.Scripted((1000,)))
    monkeypatch.setattr(Kernel, "finish_training", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.learn(N_STEPS)
    assert model._n_updates == model._n_sampled_batches == 10
    model.learn(N_STEPS, reset_num_timesteps=False)
    buffer = model.replay_buffer
    steps = [getattr(buffer, name)[: buffer.size(), 0, 1] for name in ("observations", "next_observations")]
    np.testing.assert_array_equal(steps[1], steps[0] + 1)
    assert {*models.step_counts(model).values()} == {model._n_updates}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_forked_by_the_environment_trains_on_as_its_parent_does(tmp_path: Path) -> None:
    """As within a simulator that starts processes, beside gradient steps that take longer than a fork does."""

    class Forks(models.Scripted):
        child: int | None = None

        def step(self, action: Any) -> Any:
            if self.n_steps == 40:
                self.child = os.fork()
                if self.child == 0:
                    signal.alarm(models.TIMEOUT)  # ends a child that hangs
            return super().step(action)

    env = Forks()
    status = 1
    model = make(env=lambda: env, gradient_steps=16, batch_size=2048, n_threads=1)
    try:
        model.learn(60)
        th.save(models.state(model), tmp_path / ("parent" if env.child else "child"))
        status = 0 if {*models.step_counts(model).values()} == {model._n_updates} else 1
    finally:
        if env.child == 0:
            os._exit(status)
    assert os.waitpid(env.child, 0)[1] == 0, "the child failed or hung"
    assert not models.differences(th.load(tmp_path / "parent"), th.load(tmp_path / "child"))


class Stop(BaseCallback):
    """Stops within a rollout of four steps."""

    def _on_step(self) -> bool:
        return self.n_calls < 42


def stopped(**arguments: Any) -> TinySAC:
    model = make(train_freq=4, gradient_steps=8, **arguments).learn(N_STEPS, callback=Stop())
    assert model._pending == (4, 4, 32)
    assert model._n_updates == 4 * 8 + 4
    return model


@pytest.mark.parametrize("env", [late, lambda: "sb3_tinyrl:rl_tools/Pendulum-v0"], ids=["Python", "C++"])
def test_what_is_pending_waits_for_a_replay_buffer(env: Any, tmp_path: Path) -> None:
    stopped(env=env).save(tmp_path / "model")
    loaded = TinySAC.load(tmp_path / "model", env=env() if isinstance(env(), gym.Env) else gym.make(env()))
    loaded.learn(40, reset_num_timesteps=False)
    assert loaded._pending is None
    assert loaded._n_updates == loaded._n_sampled_batches == 4 * 8 + 8 + 10 * 8


def test_what_is_pending_is_taken_through_torch_or_dropped_with_the_run() -> None:
    model = stopped()
    model.kernel = "torch"
    model.learn(4, reset_num_timesteps=False)
    assert (model._n_updates, model._pending) == (4 * 8 + 8 + 8, None)

    other = stopped()
    other.learn(10)  # which is all warm-up
    assert (other._n_updates, other._pending) == (4 * 8 + 4, None)


def test_what_is_pending_is_saved(tmp_path: Path) -> None:
    model = stopped()
    model.save(tmp_path / "model")
    loaded = TinySAC.load(tmp_path / "model", env=late(), device="cpu")
    assert loaded.overlap
    assert tuple(loaded._pending) == model._pending
    loaded.replay_buffer = model.replay_buffer
    n_rollouts = 5
    loaded.learn(4 * n_rollouts, reset_num_timesteps=False)
    assert loaded._n_updates == 5 * 8 + 8 * n_rollouts


def test_what_the_kernel_lacks_goes_through_torch() -> None:
    class Hook(BaseCallback):
        def _on_step(self) -> bool:
            if self.n_calls == 40:
                self.handle = self.model.actor.register_forward_hook(lambda *_: None)
            if self.n_calls == 60:
                self.handle.remove()
            return True

    model = make(kernel="auto")
    with pytest.warns(UserWarning, match="hook"):
        model.learn(N_STEPS, callback=Hook())
    assert model._n_updates == N_STEPS - 20
    assert model.kernel_status().native


@pytest.mark.parametrize("pending", ["x", [1, 2], [0, -1, 32], [0, 1.5, 32], {"n": 1}])
def test_what_no_model_has_saved_as_pending_is_refused(pending: Any) -> None:
    model = make()
    model._pending = pending
    with pytest.raises(ValueError, match="expected three whole numbers"):
        model.learn(10, reset_num_timesteps=False)


def test_a_batch_that_is_not_finite_changes_no_weight() -> None:
    class Spoil(BaseCallback):
        def _on_step(self) -> bool:
            if self.n_calls == 50:
                self.before, self.n_updates = models.state(self.model), self.model._n_updates
                self.model.replay_buffer.rewards[...] = np.nan
            return True

    model, spoil = make(), Spoil()
    with pytest.raises(ValueError, match="holds nan in rewards"):
        model.learn(N_STEPS, callback=spoil)
    assert not models.differences(spoil.before, models.state(model))
    assert model._n_updates == model._n_sampled_batches == spoil.n_updates


def test_an_observation_that_is_not_finite_is_refused() -> None:
    def spoiled() -> gym.Env:
        return models.Scripted(spoil={50: lambda observation, reward: (observation, np.nan)})

    with pytest.raises(NonFiniteError, match="reward"):
        make(env=spoiled).learn(N_STEPS)


def test_overlap_is_true_or_false() -> None:
    with pytest.raises(ValueError, match="overlap='yes'; expected True or False"):
        models.make(overlap="yes")
