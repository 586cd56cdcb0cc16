"""Models that are saved, loaded, copied and continued, by TinySAC and by SB3's SAC, in all combinations."""

import io
import zipfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest
import torch as th
from models import Scripted, assert_trained, differences, kernel_of, make, run_python, scripted, state, step_counts
from stable_baselines3 import SAC
from stable_baselines3.common.vec_env import VecNormalize

from sb3_tinyrl import TinySAC

OBSERVATIONS = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
EVERY_PAIR = pytest.mark.parametrize(
    ("saves", "loads"), [(TinySAC, TinySAC), (TinySAC, SAC), (SAC, TinySAC)], ids=lambda cls: cls.__name__
)


def trained(cls: type[SAC] = TinySAC, **arguments: Any) -> Any:
    return make(cls, **arguments).learn(60)


def assert_equal_to_rounding(one: np.ndarray, other: np.ndarray) -> None:
    """Of a kernel and of torch."""
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)


def predictions(model: SAC) -> np.ndarray:
    return model.predict(OBSERVATIONS, deterministic=True)[0]


def continue_natively(model: TinySAC, n_steps: int = 30) -> TinySAC:
    model.kernel = "native"
    model.learning_starts = 0
    return model.learn(n_steps, reset_num_timesteps=False)


@EVERY_PAIR
@pytest.mark.parametrize("ent_coef", ["auto", "auto_0.1", 0.2])
def test_either_class_continues_what_either_has_saved(
    saves: type[SAC], loads: type[SAC], ent_coef: str | float, tmp_path: Path
) -> None:
    model = trained(saves, ent_coef=ent_coef)
    model.save(tmp_path / "model")
    model.save_replay_buffer(tmp_path / "buffer")
    loaded = loads.load(tmp_path / "model", env=gym.make("Pendulum-v1"))
    loaded.load_replay_buffer(tmp_path / "buffer")
    assert type(loaded) is loads
    assert not differences(state(model), state(loaded))
    assert_equal_to_rounding(predictions(model), predictions(loaded))
    assert (loaded.num_timesteps, loaded._n_updates) == (60, 40)
    assert set(step_counts(loaded).values()) == {40}

    before = state(loaded)
    loaded.learn(15, reset_num_timesteps=False)
    assert_trained(loaded, before)
    assert (loaded.num_timesteps, loaded._n_updates, loaded.replay_buffer.size()) == (75, 55, 75)
    assert set(step_counts(loaded).values()) == {55}


def test_what_goes_there_and_back_is_the_same_model(tmp_path: Path) -> None:
    model = trained()
    model.save(tmp_path / "ours")
    SAC.load(tmp_path / "ours").save(tmp_path / "theirs")
    back = TinySAC.load(tmp_path / "theirs", env=gym.make("Pendulum-v1"))
    assert not differences(state(model), state(back))
    assert (back.kernel, back.n_threads, back._kernel_key) == (model.kernel, model.n_threads, model._kernel_key)
    assert (back._n_sampled_batches, back._n_sampled_actions) == (40, 40)


def test_a_model_continued_from_a_file_draws_what_the_original_draws_next(tmp_path: Path) -> None:
    """Neither the batches again that it has seen, nor others than without the file."""
    model = make(learning_starts=20, gradient_steps=0).learn(40)
    model.train(10, 32)
    model.save(tmp_path / "model")
    loaded = TinySAC.load(tmp_path / "model", env=gym.make("Pendulum-v1"))
    loaded.replay_buffer = model.replay_buffer
    loaded.set_logger(model.logger)
    for each in (model, loaded):
        each.train(10, 32)
    assert not differences(state(model), state(loaded))


def names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as file:
        return sorted(file.namelist())


@pytest.mark.parametrize("ent_coef", ["auto", 0.2])
def test_the_zip_file_holds_sb3s_files(ent_coef: str | float, tmp_path: Path) -> None:
    for cls in (TinySAC, SAC):
        trained(cls, ent_coef=ent_coef).save(tmp_path / cls.__name__)
    assert names(tmp_path / "TinySAC.zip") == names(tmp_path / "SAC.zip")


def test_the_zip_file_loads_where_there_is_no_sb3_tinyrl(tmp_path: Path) -> None:
    model = trained()
    model.save(tmp_path / "model")
    np.save(tmp_path / "observations.npy", OBSERVATIONS)
    run_python(
        """
import sys, warnings
from pathlib import Path
sys.modules.update(dict.fromkeys(["sb3_tinyrl", "rl_tools", "rltools"]))  # importing them now fails
warnings.simplefilter("error", UserWarning)  # SB3 warns of what it could not load
import gymnasium as gym, numpy as np, torch
torch.set_num_threads(1)
from stable_baselines3 import SAC
folder = Path(sys.argv[1])
model = SAC.load(folder / "model", env=gym.make("Pendulum-v1"))
np.save(folder / "predictions.npy", model.predict(np.load(folder / "observations.npy"), deterministic=True)[0])
model.learning_starts = 0
model.learn(5, reset_num_timesteps=False)
assert model.actor.optimizer.state_dict()["state"][0]["step"] == 45
""",
        tmp_path,
    )
    assert_equal_to_rounding(np.load(tmp_path / "predictions.npy"), predictions(model))


def test_a_model_goes_through_a_stream_and_gets_an_environment_later() -> None:
    model, stream = trained(), io.BytesIO()
    model.save(stream)
    stream.seek(0)
    loaded = TinySAC.load(stream)
    assert loaded.get_env() is None
    assert np.array_equal(predictions(model), predictions(loaded))
    with pytest.raises(AssertionError, match="must set the environment"):
        loaded.learn(10)
    loaded.set_env(gym.make("Pendulum-v1"))
    before = state(loaded)
    assert_trained(continue_natively(loaded), before)


def test_load_takes_what_sb3s_load_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained(env=scripted()).save(tmp_path / "model")
    loaded = TinySAC.load(
        tmp_path / "model.zip",
        env=scripted(n_envs=2),
        device="cpu",
        custom_objects={"learning_rate": 0.01, "lr_schedule": lambda _: 0.01},
        print_system_info=True,
        force_reset=True,
        kernel="native",
        n_threads=1,
        gamma=0.5,
        buffer_size=50,
        seed=3,
    )
    assert "CURRENT SYSTEM INFO" in (output := capsys.readouterr().out)
    assert "SAVED MODEL SYSTEM INFO" in output
    assert (loaded.n_envs, loaded.n_threads, loaded.gamma, loaded.seed) == (2, 1, 0.5, 3)
    assert loaded.replay_buffer.buffer_size == 25
    continue_natively(loaded)
    assert kernel_of(loaded).n_threads == 1
    assert loaded.actor.optimizer.param_groups[0]["lr"] == 0.01


def test_a_bad_choice_at_load_is_refused_by_learn(tmp_path: Path) -> None:
    trained().save(tmp_path / "model")
    loaded = TinySAC.load(tmp_path / "model", env=gym.make("Pendulum-v1"), kernel="cuda")
    with pytest.raises(ValueError, match="kernel='cuda'"):
        loaded.learn(10)


def test_a_file_whose_random_state_was_left_out_loads(tmp_path: Path) -> None:
    model = trained()
    model.save(tmp_path / "model", exclude=["_kernel_key", "_n_sampled_batches", "kernel", "n_threads", "backend"])
    before = state(loaded := TinySAC.load(tmp_path / "model", env=gym.make("Pendulum-v1")))
    assert (loaded.kernel, loaded.n_threads, loaded.backend) == ("auto", None, None)
    assert_trained(continue_natively(loaded), before)


def test_parameters_go_from_one_model_to_another() -> None:
    source, target, reference = trained(), trained(seed=1), trained(seed=1)
    parameters = source.get_parameters()
    assert parameters.keys() == trained(SAC).get_parameters().keys()
    target.set_parameters(deepcopy(parameters))
    assert np.array_equal(predictions(source), predictions(target))
    before = state(target)
    assert set(step_counts(target).values()) == {40}
    assert_trained(target.learn(10, reset_num_timesteps=False), before)
    assert not differences(source.get_parameters()["policy"], parameters["policy"])  # the source has not moved
    assert differences(state(target), state(reference.learn(10, reset_num_timesteps=False)))


def test_parameters_come_from_a_file(tmp_path: Path) -> None:
    source, target = trained(), trained(seed=1)
    source.save(tmp_path / "model")
    target.set_parameters(tmp_path / "model")
    assert np.array_equal(predictions(source), predictions(target))
    assert_trained(target.learn(10, reset_num_timesteps=False), state(source))


def copy_by_pickle(model: TinySAC) -> TinySAC:
    return cloudpickle.loads(cloudpickle.dumps(model))


@pytest.mark.parametrize("copy", [deepcopy, copy_by_pickle])
@pytest.mark.parametrize("n_steps", [0, 10, 60])
def test_a_copy_goes_its_own_way_to_the_same_place(copy: Callable[[TinySAC], TinySAC], n_steps: int) -> None:
    model = make(env=Scripted())
    if n_steps:
        model.learn(n_steps)
    copied = copy(model)
    original = state(model)
    copied.learn(40, reset_num_timesteps=False)
    assert not differences(original, state(model))
    model.learn(40, reset_num_timesteps=False)
    assert differences(original, {name: state(model)[name] for name in original})
    assert not differences(state(model), state(copied))


def test_a_copy_made_by_a_callback_is_a_snapshot() -> None:
    copies = []
    model = make(env=Scripted()).learn(60, callback=lambda local, _: copies.append(deepcopy(local["self"])) or True)
    assert len(copies) == 60
    assert not differences(state(copies[5]), state(copies[10]))
    assert differences(state(copies[40]), state(copies[41]))
    assert differences(state(copies[-1]), state(model))
    before = state(copies[40])
    assert_trained(continue_natively(copies[40]), before)


@pytest.mark.parametrize("cls", [SAC, TinySAC])
def test_a_second_run_goes_on_or_starts_over(cls: type[SAC]) -> None:
    model = trained(cls)
    last_observation = model._last_obs
    model.learn(10, reset_num_timesteps=False)
    assert (model.num_timesteps, model._n_updates, model.replay_buffer.size()) == (70, 50, 70)
    assert np.array_equal(model.replay_buffer.observations[60], last_observation)
    model.learn(30)
    assert (model.num_timesteps, model._n_updates, model.replay_buffer.size()) == (30, 60, 100)


def test_set_env() -> None:
    model = trained(env=Scripted())
    before = state(model)
    model.set_env(Scripted())
    assert_trained(model.learn(20, reset_num_timesteps=False), before)
    assert model.replay_buffer.rewards[59:61, 0] == pytest.approx([60, 1], abs=3)  # the count of its own steps
    with pytest.raises(AssertionError, match="number of environments"):
        model.set_env(scripted(n_envs=2))
    with pytest.raises(ValueError, match="spaces do not match"):
        model.set_env(gym.make("Hopper-v5"))


def test_an_environment_that_normalises_is_noticed_when_it_is_set() -> None:
    plain, normalised = (trained(env=scripted()) for _ in range(2))
    before = state(normalised)
    normalised.set_env(VecNormalize(scripted(), clip_obs=0.5))
    for model in (plain, normalised):
        model.train(3, 32)
    assert differences(state(plain), state(normalised))
    assert_trained(normalised.learn(10, reset_num_timesteps=False), before)


def test_a_replay_buffer_goes_through_a_file(tmp_path: Path) -> None:
    model = trained()
    model.save_replay_buffer(tmp_path / "buffer.pkl")
    other = make(SAC)
    other.load_replay_buffer(tmp_path / "buffer.pkl")
    assert np.array_equal(other.replay_buffer.observations, model.replay_buffer.observations)
    fresh = make(learning_starts=0)
    fresh.load_replay_buffer(tmp_path / "buffer.pkl")
    before = state(fresh)
    assert_trained(fresh.learn(5, reset_num_timesteps=False), before)
    assert fresh.replay_buffer.size() == 65


def test_the_kernel_is_in_no_file(tmp_path: Path) -> None:
    model = trained()
    model.save(tmp_path / "model")
    with zipfile.ZipFile(tmp_path / "model.zip") as file:
        saved = b"".join(file.read(name) for name in file.namelist())
    for content in (saved, cloudpickle.dumps(model)):
        assert b"_native" not in content
        assert b"ctypes" not in content
    assert b"sb3_tinyrl" not in saved


def test_a_float64_model_continues_in_float64() -> None:
    model = make(policy_kwargs={"net_arch": [32, 32]})
    model.policy.to(th.float64)
    model.log_ent_coef.data = model.log_ent_coef.data.double()
    before = state(model)
    model.learn(60)
    assert_trained(model, before)
    assert {tensor.dtype for name, tensor in state(model).items() if not name.endswith("step")} == {th.float64}
