"""The check that each export begins with."""

from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from models import Scripted, make
from policies import ALL_ACTIVATIONS, PolicyKind, policy_kinds
from stable_baselines3 import SAC

from sb3_tinyrl.export import ExportError, export_cpp
from sb3_tinyrl.export.check import evaluate, largest_difference, predicted_samples
from sb3_tinyrl.export.description import describe


@settings(max_examples=20)
@given(kind=policy_kinds(ALL_ACTIVATIONS))
def test_description_computes_what_predict_does(kind):
    model = kind.model()
    description = describe(model)
    samples = predicted_samples(model, description)
    assert samples.observations.shape == (1000, description.observation_dim)
    assert largest_difference(description, samples, evaluate(description, samples.observations)) <= 1e-5


def test_samples_vary() -> None:
    model = PolicyKind((4,), (2,)).model()
    samples = predicted_samples(model, describe(model))
    assert np.all(samples.observations.std(axis=0) > 0.5)
    assert np.all(samples.actions.std(axis=0) > 0.05 * (model.action_space.high - model.action_space.low))


def test_observations_come_from_the_space_and_leave_its_generator_alone() -> None:
    largest = np.finfo(np.float32).max
    low, high = np.float32([-1, 100, -largest, 0]), np.float32([1, 200, largest, largest])
    model = make(SAC, Scripted(observation_space=spaces.Box(low, high)), buffer_size=1)
    model.observation_space.seed(3)
    samples = predicted_samples(model, describe(model))
    drawn = model.observation_space.sample()
    model.observation_space.seed(3)
    assert np.array_equal(drawn, model.observation_space.sample())
    assert np.all(samples.observations >= low)
    assert np.all(np.abs(samples.observations) < [1.1, 201, 10, 100])
    assert np.array_equal(samples.observations, predicted_samples(model, describe(model)).observations)


def test_another_function_is_not_exported(tmp_path: Path) -> None:
    model = PolicyKind().model()
    model.actor.mu.register_forward_hook(lambda module, inputs, output: output + 0.1)
    with pytest.raises(ExportError, match=r"differs from predict.*To export: remove hooks"):
        export_cpp(model, tmp_path / "policy.h")
    assert not [*tmp_path.iterdir()]


def test_a_difference_from_rounding_is_told(tmp_path: Path) -> None:
    space = spaces.Box(-1e5, 1e5, (17,), np.float32)
    model = make(SAC, Scripted(observation_space=space), buffer_size=1, policy_kwargs={"net_arch": [64, 64]})
    with pytest.warns(UserWarning, match="Normalise observations") as warnings:
        difference = export_cpp(model, tmp_path / "policy.h")
    assert warnings[0].filename == __file__
    assert 1e-5 < difference < 1e-3
