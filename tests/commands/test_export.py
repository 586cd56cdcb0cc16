"""``sb3-tinyrl export`` from its arguments to its files, which are those of the functions."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from models import make
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.vec_env import VecNormalize

from sb3_tinyrl import TinySAC
from sb3_tinyrl.export import export_cpp, export_cpp_int8, export_onnx, export_policy

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(run_command: Command) -> Command:
    return partial(run_command, "export")


@pytest.mark.parametrize("cls", [TinySAC, SAC])
def test_the_files_are_those_of_the_functions(cls: type[SAC], tmp_path: Path, command: Command) -> None:
    make(cls).save(tmp_path / "model")
    paths = {name: tmp_path / "new folder" / f"{name}.file" for name in ("cpp", "onnx", "rltools")}
    options = [part for name, path in paths.items() for part in (f"--{name}", path)]
    status, output, error = command(tmp_path / "model.zip", *options, "--namespace", "pendulum")
    assert (status, error) == (0, "")
    assert [line.partition(": ")[0] for line in output.splitlines()] == [*map(str, paths.values())]
    assert all("differs from predict by at most " in line for line in output.splitlines())

    model = SAC.load(tmp_path / "model")  # whose predictions are torch's: a kernel's are rounded otherwise
    exports = {"cpp": partial(export_cpp, namespace="pendulum"), "onnx": export_onnx, "rltools": export_policy}
    for name, export in exports.items():
        export(model, tmp_path / "expected")
        assert paths[name].read_bytes() == (tmp_path / "expected").read_bytes()


def test_one_format_writes_one_file(tmp_path: Path, command: Command) -> None:
    make().save(tmp_path / "model")
    assert command(tmp_path / "model.zip", "--cpp", tmp_path / "policy.h")[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.zip", "policy.h"]


def test_statistics_of_vec_normalize_go_into_the_file(tmp_path: Path, command: Command) -> None:
    model = make(kernel="torch")
    env = VecNormalize(model.get_env())
    env.reset()
    for _ in range(10):
        env.step([env.action_space.sample()])
    env.save(str(tmp_path / "statistics.pkl"))
    model.save(tmp_path / "model")
    statistics = ("--vec-normalize", tmp_path / "statistics.pkl", "--env", "Pendulum-v1")
    with_statistics, without = tmp_path / "with.h", tmp_path / "without.h"
    assert command(tmp_path / "model.zip", "--cpp", with_statistics, *statistics)[0] == 0
    assert command(tmp_path / "model.zip", "--cpp", without)[0] == 0
    model.set_env(env)
    export_cpp(model, tmp_path / "policy.h")
    assert with_statistics.read_bytes() == (tmp_path / "policy.h").read_bytes() != without.read_bytes()


def test_a_policy_is_quantised_by_the_space_or_by_observations_from_a_file(tmp_path: Path, command: Command) -> None:
    make().save(tmp_path / "model")
    model, policy = SAC.load(tmp_path / "model"), tmp_path / "policy.h"
    observations = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    np.save(tmp_path / "observations.npy", observations)
    for calibration, options, source in (
        (None, [], "800 observations of the observation space"),
        (observations, ["--calibration", tmp_path / "observations.npy"], "160 observations of the observations given"),
    ):
        status, output, error = command(tmp_path / "model.zip", "--cpp", policy, "--quantize", "int8", *options)
        assert (status, error) == (0, "")
        errors = export_cpp_int8(model, tmp_path / "expected", calibration=calibration)
        assert policy.read_bytes() == (tmp_path / "expected").read_bytes()
        for part in (source, f"{errors.calibration.largest:.2%} at most", f"{errors.held_out.mean:.2%} on average"):
            assert part in output


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (["model.zip"], 2, "pass --cpp PATH, --onnx PATH, --rltools PATH, or several"),
        (["model.zip", "--cpp", "p.h", "--vec-normalize", "s.pkl"], 2, "--vec-normalize and --env go together"),
        (["model.zip", "--cpp", "p.h", "--env", "Pendulum-v1"], 2, "--vec-normalize and --env go together"),
        (["model.zip", "--onnx", "p.h", "--quantize", "int8"], 2, "pass --cpp PATH, too"),
        (["model.zip", "--cpp", "p.h", "--quantize", "int4"], 2, "invalid choice"),
        (["model.zip", "--cpp", "p.h", "--calibration", "o.npy"], 2, "pass --quantize int8, too"),
        (["model.zip", "--cpp", "p.h", "--quantize", "int8", "--calibration", "no.npy"], 1, "no.npy"),
        (["model.zip", "--cpp", "p.h", "--quantize", "int8", "--calibration", "o.npy"], 1, "shape (200, 2)"),
        (["no-model.zip", "--cpp", "p.h"], 1, "no-model.zip"),
        (["text.zip", "--cpp", "p.h"], 1, "text.zip can't be loaded, expected a model that SAC or TinySAC has saved: "),
        (["ppo.zip", "--cpp", "p.h"], 1, "ppo.zip can't be loaded, expected a model that SAC or TinySAC has saved: "),
        (["folder", "--cpp", "p.h"], 1, "'folder'"),
        (["model.zip", "--cpp", "folder"], 1, "folder is a folder; expected the name of a file"),
        (["model.zip", "--cpp", "text.zip/p.h"], 1, "text.zip is no folder"),
        (["model.zip", "--cpp", "p.h", "--namespace", "class"], 1, "class"),
        (["model.zip", "--cpp", "p.h", "--vec-normalize", "s.pkl", "--env", "Nowhere-v1"], 1, "Nowhere"),
        (["model.zip", "--cpp", "p.h", "--vec-normalize", "s.pkl", "--env", "Pendulum-v1"], 1, "s.pkl"),
        (
            ["model.zip", "--cpp", "p.h", "--vec-normalize", "text.zip", "--env", "Pendulum-v1"],
            1,
            "text.zip can't be loaded, expected what VecNormalize.save wrote: ",
        ),
    ],
)
def test_what_can_not_be_done_is_an_error(
    arguments: list[str], status: int, reason: str, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make().save(tmp_path / "model")
    PPO("MlpPolicy", "Pendulum-v1", device="cpu").save(tmp_path / "ppo")
    (tmp_path / "text.zip").write_text("no zip")
    (tmp_path / "folder").mkdir()
    np.save(tmp_path / "o.npy", np.zeros((200, 2)))
    found, output, error = command(*arguments)
    assert (found, output) == (status, "")
    assert "error: " in error
    assert reason in error
    assert "Traceback" not in error
    assert not (tmp_path / "p.h").exists()
