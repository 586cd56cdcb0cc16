"""Saved models that are read without unpickling anything."""

import base64
import contextlib
import io
import json
import os
import pickle
import time
import zipfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from fast_loop import slow_but
from models import assert_trained, differences, make, run_python, state
from stable_baselines3 import SAC
from stable_baselines3.common.noise import NormalActionNoise
from torch import nn

from sb3_tinyrl import TinySAC


def env() -> gym.Env:
    return gym.make("Pendulum-v1")


SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "fixed entropy coefficient": {"ent_coef": 0.2},
    "gSDE": {"use_sde": True, "sde_sample_freq": 4},
    "episodes": {"train_freq": (2, "episode"), "gradient_steps": -1},
    "many steps": {"train_freq": 70, "n_steps": 3},
    "net_arch": {"policy_kwargs": {"net_arch": {"pi": [8], "qf": [9, 9]}}},
    "many small layers": {"policy_kwargs": {"net_arch": [2] * 20, "n_critics": 20}},
}


@pytest.mark.parametrize("cls", [SAC, TinySAC])
@pytest.mark.parametrize("name", slow_but(["defaults", "gSDE"], SETTINGS))
def test_the_same_model_comes_back(name, cls, tmp_path):
    model = make(cls, **({"kernel": "torch"} if cls is TinySAC else {}), **SETTINGS[name]).learn(60)
    model.save(tmp_path / "model")
    usual = TinySAC.load(tmp_path / "model", env=env())
    loaded = TinySAC.load(tmp_path / "model", env=env(), weights_only=True)
    assert not differences(state(usual), state(loaded))
    plain = (int, float, str, bool, tuple, dict, type, type(None))
    ours, theirs = ({k: v for k, v in vars(m).items() if isinstance(v, plain)} for m in (loaded, usual))
    made_anew = {
        "start_time",
        "ep_info_buffer",
        "ep_success_buffer",
        "_last_obs",
        "_last_original_obs",
        "_last_episode_starts",
    }
    assert {k: v for k, v in ours.items() if k not in made_anew} == {
        k: v for k, v in theirs.items() if k not in made_anew
    }
    assert type(loaded.replay_buffer) is type(usual.replay_buffer)
    assert loaded.lr_schedule(0.5) == usual.lr_schedule(0.5)
    before = state(loaded)
    loaded.kernel = "torch"
    loaded.learning_starts = 0
    assert_trained(loaded.learn(150, reset_num_timesteps=False), before)


def test_a_model_that_only_predicts_needs_the_spaces(tmp_path):
    model = make(kernel="torch")
    model.save(tmp_path / "model")
    with pytest.raises(
        ValueError, match=r"pass env=\.\.\. \(or custom_objects with both spaces\), as the model was made"
    ):
        TinySAC.load(tmp_path / "model", weights_only=True)
    spaces = {"observation_space": model.observation_space, "action_space": model.action_space}
    loaded = TinySAC.load(tmp_path / "model", weights_only=True, custom_objects=spaces)
    observation = np.array([0.5, 0.1, -0.3], np.float32)
    assert loaded.predict(observation, deterministic=True)[0] == model.predict(observation, deterministic=True)[0]


def test_an_environment_of_other_sizes_is_an_error(tmp_path):
    make(kernel="torch").save(tmp_path / "model")
    with pytest.raises(ValueError, match=r"(?s)do not fit together, or not the environment: .*size mismatch"):
        TinySAC.load(tmp_path / "model", env=gym.make("MountainCarContinuous-v0"), weights_only=True)


def test_what_is_no_plain_setting_has_to_be_passed(tmp_path):
    policy_kwargs = {"net_arch": [8], "activation_fn": nn.Tanh}
    noise = NormalActionNoise(np.zeros(1), np.ones(1))
    model = make(kernel="torch", policy_kwargs=policy_kwargs, action_noise=noise, learning_rate=lambda x: 1e-3 * x)
    model.extra = 5
    model.save(tmp_path / "model")
    with pytest.raises(ValueError, match=r"pass custom_objects=\{.*\}, as the model was made") as error:
        TinySAC.load(tmp_path / "model", env=env(), weights_only=True)
    for name in ("policy_kwargs", "action_noise", "learning_rate", "extra"):
        assert f"'{name}': ..." in str(error.value)
    loaded = TinySAC.load(
        tmp_path / "model.zip",
        env=env(),
        weights_only=True,
        custom_objects={"learning_rate": 1e-3, "extra": 6},
        policy_kwargs=policy_kwargs,
        action_noise=None,
    )
    assert not differences(state(model), state(loaded))
    assert isinstance(loaded.actor.latent_pi[1], nn.Tanh)
    assert (loaded.extra, loaded.action_noise, loaded.learning_rate) == (6, None, 1e-3)


class Runs:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def edited(source: Path, target: Path, **attributes: Any) -> Path:
    """A copy of a saved model with other attributes."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "data":
                content = json.dumps({**json.loads(content), **attributes}).encode()
            new.writestr(name, content)
    return target


@pytest.mark.parametrize(
    "name", ["policy_class", "observation_space", "train_freq", "lr_schedule", "ep_info_buffer", "new"]
)
def test_no_pickle_is_run(name, tmp_path):
    make(kernel="torch").save(tmp_path / "model")
    marker = tmp_path / "marker"
    harmful = {":type:": "?", ":serialized:": base64.b64encode(pickle.dumps(Runs(marker))).decode()}
    path = edited(tmp_path / "model.zip", tmp_path / "edited.zip", **{name: harmful})
    refused = name not in ("observation_space", "lr_schedule", "ep_info_buffer")  # given, or made anew
    with pytest.raises(ValueError, match=f"'{name}': ...") if refused else contextlib.nullcontext():
        TinySAC.load(path, env=env(), weights_only=True)
    assert not marker.exists()
    with contextlib.suppress(Exception):  # SB3's own load runs it, and then makes what it can of the result
        TinySAC.load(path, env=env())
    assert marker.exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("env", "os:Pendulum-v1"),  # Gymnasium would import the module
        ("policy_class", "MlpPolicy"),
        ("_logger", "x"),
        ("replay_buffer_class", "x"),
        ("__class__", "x"),
        ("_setup_model", 5),
        ("gamma", {":serialized:": None}),
    ],
)
def test_no_attribute_but_settings_is_taken(name, value, tmp_path):
    make(kernel="torch").save(tmp_path / "model")
    path = edited(tmp_path / "model.zip", tmp_path / "edited.zip", **{name: value})
    with pytest.raises(ValueError, match=f"the file has {name} only as a pickle or not as a setting"):
        TinySAC.load(path, env=env(), weights_only=True)


def test_the_file_does_not_choose_where_logs_go(tmp_path):
    make(kernel="torch", tensorboard_log=str(tmp_path / "logs")).save(tmp_path / "model")
    assert TinySAC.load(tmp_path / "model", env=env(), weights_only=True).tensorboard_log is None
    chosen = TinySAC.load(tmp_path / "model", env=env(), weights_only=True, tensorboard_log="mine")
    assert chosen.tensorboard_log == "mine"


@pytest.mark.parametrize("content", [b"", b"no zip file", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_model(content, tmp_path):
    (tmp_path / "model.zip").write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.zip is no model that SB3 or TinySAC has saved"):
        TinySAC.load(tmp_path / "model.zip", env=env(), weights_only=True)


@pytest.mark.parametrize("data", ["[]", "[" * 100_000, "{", "5"])
def test_data_that_is_no_dictionary(data, tmp_path):
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.writestr("data", data)
    with pytest.raises(ValueError, match=r"is no model that SB3 or TinySAC has saved"):
        TinySAC.load(tmp_path / "model.zip", env=env(), weights_only=True)


@pytest.mark.slow
def test_pickle_is_not_used_at_all(tmp_path):
    """As seen by the interpreter's own audit events."""
    make(kernel="torch").save(tmp_path / "model")
    run_python(
        """
import sys
import gymnasium as gym
from sb3_tinyrl import TinySAC
found = []
sys.addaudithook(lambda event, arguments: event == "pickle.find_class" and found.append(arguments))
env = gym.make("Pendulum-v1")
TinySAC.load(sys.argv[1], env=env, weights_only=True)
assert not found, found
TinySAC.load(sys.argv[1], env=env)
assert found
""",
        tmp_path / "model",
    )


# --- files that would take more than their size ---


def with_files(source: Path, target: Path, compression: int = zipfile.ZIP_STORED, **contents: bytes) -> Path:
    """A copy of a saved model with other files."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, contents.get(name.partition(".")[0], old.read(name)))
    return target


def saved(value: Any) -> bytes:
    stream = io.BytesIO()
    th.save(value, stream)
    return stream.getvalue()


def compressed(content: bytes) -> bytes:
    """A zip file of PyTorch's with a compressed member more."""
    stream = io.BytesIO(content)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/9", bytes(50_000_000))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"data": b" " * 50_000_000}, "its data would take 50000000 bytes"),
        ({"policy": bytes(50_000_000)}, r"its policy\.pth would take 50000000 bytes"),
        ({"policy": compressed(saved({}))}, r"its archive/data/9 would take 50000000 bytes"),
    ],
)
def test_what_expands_is_refused(contents, message, tmp_path):
    make(kernel="torch").save(tmp_path / "model")
    path = with_files(tmp_path / "model.zip", tmp_path / "bomb.zip", zipfile.ZIP_DEFLATED, **contents)
    assert path.stat().st_size < 1_000_000
    with pytest.raises(ValueError, match=message):
        TinySAC.load(path, env=env(), weights_only=True)


def test_a_file_that_another_program_has_compressed_is_read(tmp_path):
    model = make(kernel="torch").learn(60)
    model.save(tmp_path / "model")
    path = with_files(tmp_path / "model.zip", tmp_path / "small.zip", zipfile.ZIP_DEFLATED)
    assert not differences(state(model), state(TinySAC.load(path, env=env(), weights_only=True)))


@pytest.mark.parametrize(
    "policy_kwargs",
    [
        {"net_arch": [30_000, 30_000]},
        {"net_arch": [1] * 100_000},
        {"n_critics": 10_000_000},
    ],
)
def test_networks_are_no_larger_than_the_parameters(policy_kwargs, tmp_path):
    make(kernel="torch").save(tmp_path / "model")
    path = edited(tmp_path / "model.zip", tmp_path / "edited.zip", policy_kwargs=policy_kwargs)
    with pytest.raises(ValueError, match="its policy_kwargs make larger networks than it has parameters of"):
        TinySAC.load(path, env=env(), weights_only=True)


def laughs() -> list[Any]:
    """Lists of lists that are the same, which have 2**60 elements."""
    value: list[Any] = [1]
    for _ in range(60):
        value = [value, value]
    return value


OPTIMIZER = {"state": {0: {"exp_avg": th.zeros(1).expand(10**12)}}, "param_groups": []}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("policy", {"x": th.zeros(1).expand(10**12)}, "a tensor that has more elements than numbers"),
        ("policy", {"x": th.eye(3).to_sparse()}, "a tensor that has more elements than numbers"),
        ("policy", {"x": laughs()}, "something other than tensors and numbers"),
        ("policy", [1], "is no state_dict"),
        ("actor", OPTIMIZER, "a tensor that has more elements than numbers"),
        ("actor", {"state": {0: {"exp_avg": laughs()}}}, "something other than tensors and numbers"),
        ("actor", {"state": {0: 5}}, "is no state_dict"),
        ("pytorch_variables", {"log_ent_coef": th.zeros(5)}, "other than one number"),
        ("pytorch_variables", {"policy.__class__": th.zeros(1)}, r"holds 'policy\.__class__', expected "),
    ],
)
def test_parameters_that_are_not_what_they_say(name, value, message, tmp_path):
    make(kernel="torch").save(tmp_path / "model")
    path = with_files(tmp_path / "model.zip", tmp_path / "forged.zip", **{name: saved(value)})
    with pytest.raises(ValueError, match=rf"is no model that .* its {name}.*{message}"):
        TinySAC.load(path, env=env(), weights_only=True)


def test_a_long_pickle_of_train_freq_is_not_searched(tmp_path):
    make(kernel="torch").save(tmp_path / "model")
    numbers = b"".join(b"J" + i.to_bytes(4, "little") for i in range(200_000))
    long = {":type:": "?", ":serialized:": base64.b64encode(b"\x80\x04" + numbers + b".").decode()}
    path = edited(tmp_path / "model.zip", tmp_path / "edited.zip", train_freq=long)
    start = time.perf_counter()
    with pytest.raises(ValueError, match=r"'train_freq': \.\.\."):
        TinySAC.load(path, env=env(), weights_only=True)
    assert time.perf_counter() - start < 5
