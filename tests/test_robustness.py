"""Bad input, interrupts, forks and threads: an error that names the culprit or a run that goes on, never a hang."""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from models import TIMEOUT, At, Scripted, assert_trained, differences, make, run_python, scripted, state, step_counts
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_tinyrl import TinySAC
from sb3_tinyrl._native.abi.kernel import Kernel
from sb3_tinyrl.observations import NonFiniteError

BAD_VALUES = st.sampled_from([np.nan, np.inf, -np.inf])


# --- NaN and infinity ---


def bad_observation(element: int, value: float) -> Callable[[np.ndarray, float], tuple[np.ndarray, float]]:
    def spoil(observation: np.ndarray, reward: float) -> tuple[np.ndarray, float]:
        observation.flat[element] = value
        return observation, reward

    return spoil


class Snapshot(BaseCallback):
    """Keeps the weights of the last step; training may come between steps only."""

    def _on_step(self) -> bool:
        self.last = state(self.model)
        return True


def learn_until_error(model: TinySAC) -> NonFiniteError:
    snapshot = Snapshot()
    n_stored = model.replay_buffer.size()
    with pytest.raises(NonFiniteError) as error:
        model.learn(60, callback=snapshot, reset_num_timesteps=False)
    assert not differences(snapshot.last, state(model))
    stored = slice(n_stored, model.replay_buffer.size())
    assert np.isfinite(model.replay_buffer.next_observations[stored]).all()
    assert np.isfinite(model.replay_buffer.rewards[stored]).all()
    return error.value


def spoiled(spoil: dict[int, Any], n_envs: int, index: int, **arguments: Any) -> DummyVecEnv:
    """Several environments, one of which is spoiled."""
    return DummyVecEnv([lambda i=i: Scripted(spoil=spoil if i == index else None, **arguments) for i in range(n_envs)])


@settings(max_examples=20)
@given(data=st.data(), n_envs=st.integers(1, 3), step=st.integers(1, 40), element=st.integers(0, 2), value=BAD_VALUES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_bad_observation_is_named_before_anything_is_stored(
    dtype: type, data: Any, n_envs: int, step: int, element: int, value: float
) -> None:
    index = data.draw(st.integers(0, n_envs - 1))
    step = min(step, 60 // n_envs)
    space = spaces.Box(-1000, 1000, (3,), dtype)
    env = spoiled({step: bad_observation(element, value)}, n_envs, index, observation_space=space)
    model = make(env=env, learning_starts=1000 if dtype is np.float64 else 20)
    error = learn_until_error(model)
    assert f"observation of environment {index}, element {element} is {value}" in str(error)
    assert f"at timestep {step * n_envs}" in str(error)
    assert model.replay_buffer.size() == step - 1


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@settings(max_examples=20)
@given(data=st.data(), n_envs=st.integers(1, 3), step=st.integers(1, 40), value=BAD_VALUES | st.just(1e39))
def test_a_bad_reward_is_named_before_anything_is_stored(data: Any, n_envs: int, step: int, value: float) -> None:
    index = data.draw(st.integers(0, n_envs - 1))
    step = min(step, 60 // n_envs)
    model = make(env=spoiled({step: lambda observation, _: (observation, value)}, n_envs, index))
    error = learn_until_error(model)
    assert f"reward of environment {index} is {np.float32(value)} at timestep {step * n_envs}" in str(error)
    assert model.replay_buffer.size() == step - 1


def test_an_observation_that_float32_can_not_hold_is_named() -> None:
    space = spaces.Box(-np.inf, np.inf, (3,), np.float64)
    env = spoiled({30: bad_observation(1, 1e39)}, 1, 0, observation_space=space)
    error = learn_until_error(make(env=env, learning_starts=1000))
    assert "element 1 is 1e+39" in str(error)


def test_large_numbers_are_not_taken_for_infinite_ones() -> None:
    space = spaces.Box(-np.inf, np.inf, (3,), np.float32)
    spoil = {n: bad_observation(2, 3e38) for n in range(15)}
    make(env=Scripted(observation_space=space, spoil=spoil), learning_starts=1000).learn(20)


def test_a_bad_observation_in_several_dimensions_is_named_by_its_indices() -> None:
    space = spaces.Box(-1000, 1000, (1, 3), np.float32)
    env = Scripted(observation_space=space, spoil={25: bad_observation(2, np.nan)})
    assert "environment 0, element [0, 2] is nan at timestep 25" in str(learn_until_error(make(env=env)))


@pytest.mark.parametrize("episode", [0, 6])
def test_a_bad_observation_at_reset_is_named(episode: int) -> None:
    class BadReset(Scripted):
        def reset(self, **arguments: Any) -> tuple[np.ndarray, dict[str, Any]]:
            observation, info = super().reset(**arguments)
            if self.n_episodes == episode:
                observation[1] = np.inf
            return observation, info

    model = make(env=BadReset(lengths=(5,)))
    before = state(model)
    with pytest.raises(NonFiniteError, match="observation after reset of environment 0, element 1 is inf") as error:
        model.learn(60)
    assert f"at timestep {5 * episode}" in str(error.value)
    if not episode:
        assert not differences(before, state(model))


def test_a_model_goes_on_after_a_bad_value() -> None:
    model = make(env=Scripted(spoil={40: lambda observation, _: (observation, np.nan)}))
    learn_until_error(model)
    before = state(model)
    assert_trained(model.learn(30, reset_num_timesteps=False), before)


def test_weights_that_became_nan_are_noticed_before_the_environment_sees_their_actions() -> None:
    model = make(env=scripted()).learn(40)
    with th.no_grad():
        model.actor.mu.bias.fill_(np.nan)
    n_steps = model.env.envs[0].n_steps
    with pytest.raises(NonFiniteError, match="action of the policy of environment 0, element 0 is nan"):
        model.learn(10, reset_num_timesteps=False)
    assert model.env.envs[0].n_steps == n_steps


def test_torch_passes_nan_on_as_sb3_does() -> None:
    models = [
        make(cls, Scripted(spoil={40: lambda observation, _: (observation, np.nan)}), **kernel)
        for cls, kernel in ((SAC, {}), (TinySAC, {"kernel": "torch"}))
    ]
    for model in models:
        model.learn(41)
        assert np.isnan(model.replay_buffer.rewards[39])


# --- observations of the wrong kind ---


class WrongShape(Scripted):
    def step(self, action: np.ndarray) -> Any:
        observation, *rest = super().step(action)
        return (observation[:2] if self.n_steps == 30 else observation), *rest


@pytest.mark.parametrize("cls", [SAC, TinySAC])
def test_an_observation_of_another_shape_is_refused_as_by_sb3(cls: type[SAC]) -> None:
    with pytest.raises(ValueError, match="could not broadcast"):
        make(cls, WrongShape()).learn(60)


# --- interrupts ---


def interrupt(_: TinySAC) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("n_steps", [1, 10, 21, 50])
@pytest.mark.parametrize("n_envs", [1, 2])
def test_a_model_interrupted_by_its_callback_saves_and_goes_on(n_steps: int, n_envs: int, tmp_path: Path) -> None:
    model = make(env=scripted(n_envs))
    with pytest.raises(KeyboardInterrupt):
        model.learn(200, callback=At(n_steps, interrupt))
    assert model.num_timesteps == n_steps * n_envs
    model.save(tmp_path / "model")
    before = state(model)
    for each in (model, TinySAC.load(tmp_path / "model"), SAC.load(tmp_path / "model")):
        assert not differences(before, state(each))
        each.set_env(scripted(n_envs))
        each.learning_starts = 0
        assert_trained(each.learn(10, reset_num_timesteps=False), before)


INTERRUPTED = """
import sys
import gymnasium as gym
from stable_baselines3.common.callbacks import BaseCallback
from sb3_tinyrl import TinySAC

class Ready(BaseCallback):
    def _on_step(self):
        if self.num_timesteps == 30:
            print("training", flush=True)
        return True

model = TinySAC(
    "MlpPolicy", "Pendulum-v1", policy_kwargs={"net_arch": [32, 32]}, batch_size=32, buffer_size=1000,
    learning_starts=20, seed=0, device="cpu", kernel="native",
)
try:
    model.learn(10**9, callback=Ready())
except KeyboardInterrupt:
    assert model._n_updates > 0
    model.save(sys.argv[1])
    model.learn(30, reset_num_timesteps=False)
    print("continued")
"""


def test_ctrl_c_leaves_a_model_that_saves_and_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path / "model")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=Path(__file__).parent, text=True, **pipes) as process:
        killer = threading.Timer(TIMEOUT, process.kill)
        killer.start()
        try:
            assert process.stdout.readline() == "training\n"
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate()
        finally:
            killer.cancel()
    assert process.returncode == 0, errors
    assert output.endswith("continued\n")
    model = TinySAC.load(tmp_path / "model", env=gym.make("Pendulum-v1"))
    before = state(model)
    assert_trained(model.learn(30, reset_num_timesteps=False), before)


def assert_counts_agree(model: TinySAC) -> None:
    """Of gradient steps: Adam's, the model's and that of the random numbers."""
    assert set(step_counts(model).values()) == {model._n_updates}
    assert model._n_sampled_batches == model._n_updates


@pytest.mark.parametrize("is_late", [False, True])
def test_an_interrupt_around_gradient_steps_counts_those_that_were_taken(
    is_late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = Kernel.train

    def interrupted(self: Kernel, *arguments: Any) -> Any:
        if is_late:
            train(self, *arguments)
        raise KeyboardInterrupt

    model = make().learn(40)
    monkeypatch.setattr(Kernel, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.train(10, 32)
    assert model._n_updates == (30 if is_late else 20)
    assert_counts_agree(model)


INTERRUPTED_RUNS: dict[str, dict[str, Any]] = {
    "Python": {},
    "several environments": {"env": lambda: scripted(3), "gradient_steps": -1},
    "whole episodes": {"train_freq": (1, "episode"), "gradient_steps": -1, "env": lambda: Scripted((7, 4))},
    "C++": {"env": lambda: "sb3_tinyrl:rl_tools/Pendulum-v0"},
    "C++ and gSDE": {"env": lambda: "sb3_tinyrl:rl_tools/Pendulum-v0", "use_sde": True, "sde_sample_freq": 4},
}


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers that raise signals")
@pytest.mark.parametrize("name", INTERRUPTED_RUNS)
def test_counts_agree_after_interrupts_at_random_moments(name: str) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    def learn_until(seconds: float, model: TinySAC) -> None:
        try:
            # And again a second later: Python ignores an exception that comes in the end of an object.
            signal.setitimer(signal.ITIMER_REAL, seconds, 1)
            model.learn(10**9, reset_num_timesteps=False)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    arguments = {"env": Scripted, **INTERRUPTED_RUNS[name]}
    model = make(env=arguments.pop("env")(), **arguments).learn(60)
    moments = np.random.default_rng(0)
    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(100):
            with pytest.raises(KeyboardInterrupt):
                learn_until(moments.uniform(0.0005, 0.03), model)
            assert_counts_agree(model)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    n_updates = model._n_updates
    model.learn(60, reset_num_timesteps=False)
    assert model._n_updates > n_updates
    assert_counts_agree(model)
    # Whether the actor still moves depends on how long all of this took: its actions may be at their bounds by now.
    assert all(tensor.isfinite().all() for tensor in state(model).values())


def test_a_run_after_an_interrupt_between_two_episodes_begins_with_a_reset() -> None:
    class Interrupted(Scripted):
        def reset(self, **arguments: Any) -> tuple[np.ndarray, dict[str, Any]]:
            if self.n_episodes == 8:
                self.n_episodes += 1
                raise KeyboardInterrupt
            return super().reset(**arguments)

    model = make(env=Interrupted())  # SB3's monitor refuses a step from here on
    with pytest.raises(KeyboardInterrupt):
        model.learn(60)
    before = state(model)
    assert_trained(model.learn(40, reset_num_timesteps=False), before)
    assert_counts_agree(model)


# --- forks and threads ---


@contextmanager
def forked(work: Callable[[], Any]) -> Iterator[Callable[[], Any]]:
    """Run ``work`` in a forked child; yields a function that waits for its result."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def run() -> None:
        try:
            sender.send(work())
        except BaseException as error:
            sender.send(error)
            raise

    child = context.Process(target=run, daemon=True)
    child.start()

    def result() -> Any:
        assert receiver.poll(TIMEOUT), "the child hangs"
        outcome = receiver.recv()
        child.join(TIMEOUT)
        assert child.exitcode == 0, outcome
        return outcome

    try:
        yield result
    finally:
        child.kill()


def as_arrays(tensors: dict[str, th.Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def goes_on(model: TinySAC) -> dict[str, np.ndarray]:
    return as_arrays(state(model.learn(40, reset_num_timesteps=False)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("n_steps", [0, 5, 60])
def test_a_forked_child_trains_on_as_its_parent_does(n_threads: int, n_steps: int) -> None:
    model = make(env=Scripted(), n_threads=n_threads)
    if n_steps:
        model.learn(n_steps)
    with forked(lambda: goes_on(model)) as result:
        in_child = result()
        in_parent = goes_on(model)
        with forked(lambda: goes_on(model)) as second_result:
            second_in_child = second_result()
    np.testing.assert_equal(in_child, in_parent)
    np.testing.assert_equal(second_in_child, goes_on(model))


def n_threads_of_this_process() -> int:
    gc.collect()  # a model and its callbacks refer to each other
    return len(os.listdir("/proc/self/task"))


COUNTS_THREADS = pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads in /proc")


@COUNTS_THREADS
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_starts_threads_of_its_own() -> None:
    model = make(n_threads=3).learn(40)
    with forked(lambda: (goes_on(model), n_threads_of_this_process())[1]) as result:
        assert result() == 3


@COUNTS_THREADS
def test_a_model_that_is_gone_leaves_no_threads() -> None:
    before = n_threads_of_this_process()
    model = make(env=Scripted(), n_threads=4).learn(40)
    assert n_threads_of_this_process() == before + 3
    del model
    assert n_threads_of_this_process() == before


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_forked_from_within_learn_ends_where_its_parent_does(tmp_path: Path) -> None:
    """And where this process does. With torch's and the kernel's own numbers of threads, as in a user's script."""
    run_python(
        """
import os, signal, sys
import torch as th
from stable_baselines3.common.callbacks import BaseCallback
from sb3_tinyrl import TinySAC

class Fork(BaseCallback):
    def _on_step(self):
        if self.n_calls == 40:
            self.child = os.fork()
            if self.child == 0:
                signal.alarm(60)  # ends a child that hangs
        return True

fork = Fork()
model = TinySAC(
    "MlpPolicy", "Pendulum-v1", policy_kwargs={"net_arch": [32, 32]}, batch_size=32, buffer_size=1000,
    learning_starts=20, seed=0, device="cpu", kernel="native",
)
model.learn(80, callback=fork)
th.save(model.policy.state_dict(), os.path.join(sys.argv[1], "parent" if fork.child else "child"))
if fork.child == 0:
    os._exit(0)
assert os.waitpid(fork.child, 0)[1] == 0, "the child failed or hung"
""",
        tmp_path,
    )
    here = make().learn(80).policy.state_dict()
    for process in ("parent", "child"):
        assert not differences(th.load(tmp_path / process), here), process


def test_models_in_several_python_threads_train_as_they_do_alone() -> None:
    def make_models() -> list[TinySAC]:
        return [make(env=Scripted(), seed=seed, n_threads=2) for seed in range(3)]

    alone, together = make_models(), make_models()
    for model in alone:
        model.learn(300)
    threads = [threading.Thread(target=model.learn, args=(300,), daemon=True) for model in together]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
        assert not thread.is_alive(), "a thread hangs"
    for one, other in zip(together, alone, strict=True):
        assert not differences(state(one), state(other))


def test_several_models_share_a_kernel_and_take_turns() -> None:
    models = [make(env=Scripted(), seed=seed) for seed in (0, 1)]
    for _ in range(3):
        for model in models:
            model.learn(20, reset_num_timesteps=False)
    for seed, model in enumerate(models):
        reference = make(env=Scripted(), seed=seed)
        for _ in range(3):
            reference.learn(20, reset_num_timesteps=False)
        assert not differences(state(model), state(reference))
