"""The exporters as methods of TinySAC, on models in all states of life."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import onnxruntime
import pytest
from models import At, make
from stable_baselines3 import SAC
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

import sb3_tinyrl.export
from sb3_tinyrl import TinySAC

METHODS = ["export_policy", "export_cpp", "export_cpp_int8", "export_onnx"]


@pytest.mark.parametrize("method", METHODS)
def test_methods_write_what_the_functions_write(method, tmp_path: Path) -> None:
    model = make(kernel="torch")
    assert getattr(model, method)(tmp_path / "method") == getattr(sb3_tinyrl.export, method)(
        model, tmp_path / "function"
    )
    assert (tmp_path / "method").read_bytes() == (tmp_path / "function").read_bytes()


@pytest.mark.parametrize("cls", [TinySAC, SAC])
@pytest.mark.parametrize("method", METHODS)
def test_models_loaded_without_an_environment_are_exported(cls, method, tmp_path: Path) -> None:
    model = make(kernel="torch")
    model.save(tmp_path / "model")
    getattr(model, method)(tmp_path / "original")
    getattr(sb3_tinyrl.export, method)(cls.load(tmp_path / "model"), tmp_path / "loaded")
    assert (tmp_path / "original").read_bytes() == (tmp_path / "loaded").read_bytes()


def test_statistics_come_with_the_environment_that_a_model_is_loaded_with(tmp_path: Path) -> None:
    def env() -> DummyVecEnv:
        return DummyVecEnv([lambda: gym.make("Pendulum-v1")])

    model = make(SAC, VecNormalize(env())).learn(30)
    model.save(tmp_path / "model")
    model.get_vec_normalize_env().save(tmp_path / "statistics")
    loaded = TinySAC.load(tmp_path / "model", env=VecNormalize.load(tmp_path / "statistics", env()))
    loaded.export_onnx(tmp_path / "policy.onnx")
    observations = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    session = onnxruntime.InferenceSession(tmp_path / "policy.onnx")
    (actions,) = session.run(None, {"observation": observations})
    normalized = model.get_vec_normalize_env().normalize_obs(observations)
    assert np.allclose(actions, model.predict(normalized, deterministic=True)[0], rtol=0, atol=4e-5)


def test_exporting_does_not_disturb_training(tmp_path: Path) -> None:
    def export(model: TinySAC) -> None:
        for method in METHODS:
            getattr(model, method)(tmp_path / method)

    model, disturbed = make().learn(60), make().learn(60, callback=At(40, export))
    for one, other in zip(model.policy.parameters(), disturbed.policy.parameters(), strict=True):
        assert np.array_equal(one.detach(), other.detach())
