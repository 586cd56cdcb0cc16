"""What the points measure."""

import pytest
from stable_baselines3 import SAC

from sb3_tinyrl.bench.scaling.axes import AXES


@pytest.mark.parametrize("name", AXES)
def test_only_the_axis_differs_from_the_defaults(name: str):
    defaults = SAC("MlpPolicy", "Pendulum-v1", device="cpu", buffer_size=1)
    changed = {
        "width": {"net_arch"},
        "batch": {"batch_size"},
        "observation": {"env"},
        "gradient-steps": {"gradient_steps"},
        "n-envs": {"n_envs"},
        "replay": {"buffer_size"},
    }[name]
    for value in AXES[name].values:
        settings = AXES[name].settings(value, threads=1, rounds=2)
        expected = {
            "env": "Pendulum-v1",
            "net_arch": (256, 256),
            "batch_size": defaults.batch_size,
            "train_freq": defaults.train_freq.frequency,
            "gradient_steps": defaults.gradient_steps,
            "n_envs": 1,
            "buffer_size": 1_000_000,
        }
        for key in expected.keys() - changed:
            assert getattr(settings, key) == expected[key]
        assert (settings.threads, settings.rounds, settings.fill_buffer) == (1, 2, True)


@pytest.mark.parametrize("n_gradient_steps", AXES["gradient-steps"].values)
def test_trainings_are_measured_as_they_happen(n_gradient_steps: int):
    settings = AXES["gradient-steps"].settings(n_gradient_steps, threads=1, rounds=1)
    assert settings.updates_per_call == n_gradient_steps
    assert settings.steps * n_gradient_steps == 64


@pytest.mark.parametrize("n_envs", AXES["n-envs"].values)
def test_environments_step_together_as_often_as_one(n_envs: int):
    settings = AXES["n-envs"].settings(n_envs, threads=1, rounds=1)
    assert settings.steps / n_envs == AXES["n-envs"].settings(1, threads=1, rounds=1).steps == 64


def test_axes_reach_as_far_as_documented():
    assert {name: (axis.values[0], axis.values[-1]) for name, axis in AXES.items()} == {
        "width": (32, 1024),
        "batch": (64, 2048),
        "observation": (3, 376),
        "gradient-steps": (1, 64),
        "n-envs": (1, 16),
        "replay": (10_000, 10_000_000),
    }
