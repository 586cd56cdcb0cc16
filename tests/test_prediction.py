"""Actions from the kernel are those that SB3's ``predict`` would have returned, errors and random numbers included."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from threading import Event, Thread
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from models import TIMEOUT, Scripted, differences, make, run_python, state
from stable_baselines3 import SAC
from stable_baselines3.common.envs import FakeImageEnv, SimpleMultiObsEnv

from sb3_tinyrl import TinySAC
from sb3_tinyrl.observations import features, joined_entries


def trained(**arguments: Any) -> TinySAC:
    return make(**arguments).learn(40)


def predictions(model: TinySAC, observation: Any, deterministic: bool) -> tuple[np.ndarray, np.ndarray]:
    """Ours and SB3's, drawn with the same random numbers."""
    assert model._session.for_predicting(model) is not None
    results = []
    for cls in (TinySAC, SAC):
        th.manual_seed(1)
        action, state = cls.predict(model, observation, deterministic=deterministic)
        assert state is None
        results.append(action)
    return results[0], results[1]


def assert_equal_predictions(model: TinySAC, observation: Any, deterministic: bool) -> None:
    ours, theirs = predictions(model, observation, deterministic)
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


class DoubleActions(gym.ActionWrapper):
    """Pendulum-v1 with actions in float64 between other bounds."""

    def __init__(self) -> None:
        super().__init__(gym.make("Pendulum-v1"))
        self.action_space = spaces.Box(-1, 3, (1,), np.float64)

    def action(self, action: np.ndarray) -> np.ndarray:
        return action.astype(np.float32)


MODELS = {
    "Gaussian": {},
    "gSDE": {"use_sde": True},
    "several actions": {"env": Scripted(observation_space=spaces.Box(-9, 9, (3,), np.float32), action_shape=(2, 3))},
    "actions in float64": {"env": DoubleActions()},
    "observations in float64": {"env": Scripted(observation_space=spaces.Box(-9, 9, (2, 2), np.float64))},
    "observations in integers": {"env": Scripted(observation_space=spaces.Box(0, 99, (3,), np.int32))},
}


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest) -> TinySAC:
    return trained(**MODELS[request.param])


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("n", [None, 1, 5])
def test_predictions_equal_sb3s(model: TinySAC, n: int | None, deterministic: bool) -> None:
    space = model.observation_space
    observation = space.sample() if n is None else np.stack([space.sample() for _ in range(n)])
    assert_equal_predictions(model, observation, deterministic)


@given(st.data())
def test_any_observation_gives_sb3s_action_or_error(pendulum: TinySAC, data: st.DataObject) -> None:
    shape = data.draw(st.sampled_from([(3,), (1, 3), (7, 3), (0, 3), (2,), (4, 2), (1, 1, 3), ()]))
    dtype = data.draw(st.sampled_from([np.float32, np.float64, np.int64, np.float16, bool]))
    numbers = st.floats(-10, 10) | st.sampled_from([np.nan, np.inf])
    observation = np.resize(
        data.draw(st.lists(numbers if np.dtype(dtype).kind == "f" else st.integers(0, 9))) or 0, shape
    )
    observation = observation.astype(dtype)
    try:
        expected, _ = SAC.predict(pendulum, observation, deterministic=True)
    except Exception as error:
        with pytest.raises(type(error), match=re.escape(str(error))):
            pendulum.predict(observation, deterministic=True)
    else:
        action, _ = pendulum.predict(observation, deterministic=True)
        assert (action.shape, action.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(action, expected, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def pendulum() -> TinySAC:
    return trained()


def test_the_state_is_handed_back(pendulum: TinySAC) -> None:
    given_state = (np.ones(2),)
    assert pendulum.predict(np.zeros(3, np.float32), given_state, np.zeros(1), True)[1] is given_state


def test_what_reset_returns_is_refused_as_by_sb3(pendulum: TinySAC) -> None:
    with pytest.raises(ValueError, match="mixing Gym API with SB3 VecEnv API"):
        pendulum.predict(pendulum.env.envs[0].reset())


def test_dictionaries_and_images_are_predicted_by_sb3() -> None:
    for arguments in (
        {"policy": "MultiInputPolicy", "env": SimpleMultiObsEnv(discrete_actions=False)},
        {"env": FakeImageEnv(8, 8, discrete=False)},
    ):
        model = make(**arguments, kernel="auto")
        model.env.seed(0)
        observation = model.env.reset()
        th.manual_seed(0)
        action, _ = model.predict(observation)
        th.manual_seed(0)
        np.testing.assert_array_equal(action, SAC.predict(model, observation)[0])


ENTRIES = spaces.Dict(
    velocity=spaces.Box(-9, 9, (3,), np.float64),
    angle=spaces.Box(-9, 9, (2, 2), np.float32),
    count=spaces.Box(0, 200, (1,), np.uint8),
)


class Entries(gym.ObservationWrapper):
    """Pendulum whose observations are drawn from a space of several entries."""

    observation_space = ENTRIES

    def observation(self, observation: np.ndarray) -> dict[str, np.ndarray]:
        return self.observation_space.sample()


@pytest.fixture(scope="module")
def of_entries() -> TinySAC:
    return trained(policy="MultiInputPolicy", env=Entries(gym.make("Pendulum-v1")))


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("n", [None, 1, 5])
def test_predictions_of_dictionaries_equal_sb3s(
    of_entries: TinySAC, n: int | None, deterministic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = [ENTRIES.sample() for _ in range(n or 1)]
    observation = {key: np.stack([sample[key] for sample in samples]) for key in reversed(samples[0])}
    if n is None:
        observation = {key: array[0, ...] for key, array in observation.items()}
    extractor = of_entries.actor.features_extractor
    rows, _ = joined_entries(observation, ENTRIES, extractor.extractors)
    np.testing.assert_array_equal(rows, features(of_entries, of_entries.policy.obs_to_tensor(observation)[0]))
    assert_equal_predictions(of_entries, observation, deterministic)
    monkeypatch.setattr(type(of_entries.policy), "predict", None)  # SB3's has no part in it
    shape = (1,) if n is None else (n, 1)
    assert of_entries.predict(observation, deterministic=deterministic)[0].shape == shape


@pytest.mark.parametrize(
    "spoil",
    [
        lambda observation: observation.pop("angle"),
        lambda observation: observation.update(other=np.zeros(3)),
        lambda observation: observation.update(angle=np.zeros((3, 2), np.float32)),
        lambda observation: observation.update(velocity=np.zeros((2, 4))),
    ],
)
def test_dictionaries_that_do_not_fit_give_sb3s_error(of_entries: TinySAC, spoil: Callable[[Any], Any]) -> None:
    observation = {key: np.asarray(array) for key, array in ENTRIES.sample().items()}
    spoil(observation)
    with pytest.raises(Exception) as expected:  # noqa: PT011 - whichever SB3 raises
        SAC.predict(of_entries, observation)
    with pytest.raises(type(expected.value), match=re.escape(str(expected.value))):
        of_entries.predict(observation)


def test_weights_put_elsewhere_are_the_ones_that_count() -> None:
    model = trained()
    model.actor.mu.bias.data = th.full_like(model.actor.mu.bias, 9.0)
    np.testing.assert_allclose(model.predict(np.zeros(3, np.float32), deterministic=True)[0], 2, atol=1e-3)


def test_torch_predicts_where_the_user_wants_torch() -> None:
    model = trained()
    model.kernel = "torch"
    observation = np.ones((50, 3), np.float32)
    action, _ = model.predict(observation, deterministic=True)
    np.testing.assert_array_equal(action, SAC.predict(model, observation, deterministic=True)[0])


def test_a_loaded_model_finds_its_kernel(tmp_path, pendulum: TinySAC) -> None:
    pendulum.save(tmp_path / "model")
    loaded = TinySAC.load(tmp_path / "model")
    before = state(loaded)
    assert_equal_predictions(loaded, np.ones(3, np.float32), deterministic=True)
    assert not differences(before, state(loaded))
    loaded.set_env(pendulum.env)
    loaded.learn(40, reset_num_timesteps=False)  # and goes on with it
    assert_equal_predictions(loaded, np.ones(3, np.float32), deterministic=True)


def test_a_new_model_is_the_same_after_it_has_predicted(pendulum: TinySAC) -> None:
    new = make()
    before = state(new)
    new.predict(np.ones(3, np.float32))
    assert new._session.for_predicting(new) is not None
    assert not differences(before, state(new))


def test_predict_compiles_nothing(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SB3_TINYRL_CACHE_DIR", str(tmp_path))
    model = make()
    action, _ = model.predict(np.ones(3, np.float32), deterministic=True)
    np.testing.assert_array_equal(action, SAC.predict(model, np.ones(3, np.float32), deterministic=True)[0])
    assert not [*tmp_path.rglob("*.so")]
    assert model._session.for_predicting(model) is None


def test_predict_needs_no_compiler(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("CXX", str(tmp_path / "none"))
    model = make()
    assert model.predict(np.ones(3, np.float32))[0].shape == (1,)


def test_predictions_of_another_thread_do_not_disturb_training() -> None:
    alone, disturbed = (trained() for _ in range(2))
    predicted = Event()
    n_calls = 0

    def train() -> None:
        nonlocal n_calls
        while n_calls < 3 or not predicted.is_set():  # on a busy machine the other thread may have to wait
            disturbed.train(100, 32)
            n_calls += 1

    thread = Thread(target=train)
    thread.start()
    while thread.is_alive():
        try:
            action, _ = disturbed.predict(np.ones((3, 3), np.float32), deterministic=True)
        finally:
            predicted.set()
        assert np.isfinite(action).all()
    thread.join(TIMEOUT)
    for _ in range(n_calls):
        alone.train(100, 32)
    assert not differences(state(alone), state(disturbed))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_predicts() -> None:
    run_python(
        """
import os
import numpy as np
from models import make
model = make().learn(40)
observation = np.ones(3, np.float32)
expected, _ = model.predict(observation, deterministic=True)
child = os.fork()
if child == 0:
    np.testing.assert_allclose(model.predict(observation, deterministic=True)[0], expected, atol=1e-5)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    )
