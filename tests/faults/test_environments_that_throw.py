"""An exception in the author's C++ is a Python error, and the model and its buffer stay what they were."""

import numpy as np
import pytest
import torch as th
from fast_loop import slow_after, slow_but
from models import make
from stable_baselines3.common.callbacks import BaseCallback

from sb3_tinyrl import NativeVecEnv, register_environment
from sb3_tinyrl._native.abi.env_batch import Autoreset, Environments
from sb3_tinyrl._native.errors import EpisodeEndedError, NativeEnvironmentError

THROWS = 'throw std::runtime_error("broken");'
PLACES = {
    "step": ("return ENV::TIME_STEP;", f"if (action._data[0] > 0.5) {{ {THROWS} }} return ENV::TIME_STEP;"),
    "reward": ("const T torque = Pendulum", f"if (action._data[0] > 0.5) {{ {THROWS} }} const T torque = Pendulum"),
    "terminated": ("return false;", f"if (state.velocity > 7) {{ {THROWS} }} return false;"),
    "observe": ("set(observation, 0, 0,", f"if (state.velocity > 7) {{ {THROWS} }} set(observation, 0, 0,"),
}
STATE = (
    "const PARAMETERS&, const typename Pendulum<T, TI>::State&, RNG&) {",
    "const PARAMETERS&, const typename Pendulum<T, TI>::State& state, RNG&) {",
)
STDEXCEPT = ("#pragma once", "#pragma once\n#include <stdexcept>")


def step_until_it_throws(environments, autoreset=Autoreset.SAME_STEP):
    actions = np.full((environments.n, 1), 2, np.float32)
    for _ in range(200):
        environments.step(actions, 0, autoreset)


@pytest.mark.parametrize("function", slow_but(["step"], PLACES))
def test_the_error_names_function_and_folder(function, changed_example):
    folder = changed_example(STATE, STDEXCEPT, PLACES[function])
    environments = Environments(folder, 3)
    for index in range(3):
        environments.seed(index, index)
    environments.reset()
    with pytest.raises(
        NativeEnvironmentError, match=rf"^{function}\(\) of environment \d in .* threw an exception: broken\."
    ) as e:
        step_until_it_throws(environments)
    assert str(folder) in str(e.value)
    with pytest.raises(EpisodeEndedError, match="call reset"):
        environments.step(np.zeros((3, 1), np.float32), 0, Autoreset.SAME_STEP)
    environments.reset()
    environments.step(np.full((3, 1), -0.1, np.float32), 0, Autoreset.SAME_STEP)


@pytest.mark.parametrize(
    ("old", "new", "function"),
    [
        ("state.velocity = random::", "throw 5; state.velocity = random::", "sample_initial_state or initial_state"),
        ("set(observation, 0, 0,", "throw 5; set(observation, 0, 0,", "observe"),
    ],
)
def test_what_throws_at_once_throws_when_it_is_made(old, new, function, changed_example):
    with pytest.raises(NativeEnvironmentError, match=rf"^{function}\(\) in .* something that is no std::exception"):
        Environments(changed_example((old, new)), 2)


def test_init_that_throws(changed_example):
    init = """
    template <typename DEVICE, typename T, typename TI>
    void init(DEVICE&, const Pendulum<T, TI>&) { throw std::runtime_error("no file"); }

    // Where evaluation may start"""
    with pytest.raises(NativeEnvironmentError, match=r"^init\(\) in .* threw an exception: no file"):
        Environments(changed_example(STDEXCEPT, ("\n    // Where evaluation may start", init)))


@pytest.mark.parametrize("struct", slow_but(["State"], ["State", "Pendulum"]))
def test_a_constructor_that_throws(struct, changed_example):
    folder = changed_example(
        STDEXCEPT,
        (f"struct {struct} {{", f"struct {struct} {{ {struct}() {{ {THROWS} }}"),
        ("state = {rl_tools::math::PI<T>, 0};", "state.angle = state.velocity = 0;"),
    )
    with pytest.raises(NativeEnvironmentError, match=r"^the constructor .* in .* threw an exception: broken\. `python"):
        Environments(folder)


@pytest.mark.parametrize(
    ("thrown", "told"),
    slow_after(
        1,
        [
            ("Nameless{}", r"an exception without a message\. "),
            ('"too far"', r"too far\. "),
            ('std::string("too far")', r"too far\. "),
            ("std::runtime_error(std::string(100'000, 'x'))", r"x{1000}\.\.\.\. "),
        ],
    ),
)
def test_whatever_is_thrown_is_told(thrown, told, changed_example):
    nameless = "struct Nameless : std::exception { const char* what() const noexcept override { return nullptr; } };"
    folder = changed_example(
        ("#pragma once", f"#pragma once\n#include <stdexcept>\n#include <string>\n{nameless}"),
        ("return ENV::TIME_STEP;", f"throw {thrown};"),
    )
    with pytest.raises(NativeEnvironmentError, match=rf"^step\(\) in .* threw an exception: {told}"):
        Environments(folder)


class EachStep(BaseCallback):
    """Keeps the loop in Python."""

    def _on_step(self) -> bool:
        return True


@pytest.mark.parametrize("callback", [None, EachStep])
def test_training_ends_with_the_error_and_goes_on_later(callback, changed_example):
    """In the loop in C++, and in the one in Python."""
    folder = changed_example(STDEXCEPT, PLACES["step"])
    env_id = f"throws/{callback.__name__ if callback else 'Native'}-v0"
    register_environment(env_id, folder)
    env = NativeVecEnv(env_id, 2)
    model = make(env=env, learning_starts=0, action_noise=None)
    with pytest.raises(NativeEnvironmentError, match=r"step\(\) of environment"):
        model.learn(5_000, callback=callback and callback())
    n_stored = model.replay_buffer.size()
    assert model.num_timesteps in (2 * n_stored, 2 * n_stored + 2)  # SB3 counts a step before it is stored
    assert np.isfinite(model.replay_buffer.observations[:n_stored]).all()
    assert all(th.isfinite(p).all() for p in model.policy.parameters())
    model.predict(np.zeros((2, 3), np.float32))
    with th.no_grad():  # a policy that stays away from the fault
        model.actor.mu.bias.fill_(-30)
        model.actor.log_std.bias.fill_(-30)
    for reset in (False, True):
        model.learn(10, callback=callback and callback(), reset_num_timesteps=reset)
    assert model.replay_buffer.size() == n_stored + 10
