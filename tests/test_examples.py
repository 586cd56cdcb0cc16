"""The examples run as users run them: as scripts, in processes of their own."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from stable_baselines3 import SAC

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, *arguments: object) -> str:
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return process.stdout


def number(label: str, output: str) -> float:
    match = re.search(rf"{label} +(-?[\d.]+)", output)
    assert match, output
    return float(match[1])


def test_quickstart_leaves_model_run_and_picture(tmp_path: Path):
    folder = tmp_path / "my runs"
    output = run("quickstart.py", "--timesteps", 300, "--output", folder)

    assert number("mean return before", output) < -500
    assert number("mean return after", output) < 0
    assert number("steps per second", output) > 0
    for path in (folder / "model.zip", folder / "tensorboard" / "SAC_1", folder / "learning_curve.png"):
        assert path.exists()
        assert str(path) in output
    assert f"tensorboard --logdir '{folder / 'tensorboard'}'" in output
    assert SAC.load(folder / "model.zip").num_timesteps == 300
    assert (folder / "learning_curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_quickstart_needs_no_complete_episode(tmp_path: Path):
    run("quickstart.py", "--timesteps", 50, "--output", tmp_path)
    assert (tmp_path / "learning_curve.png").exists()


@pytest.mark.slow
def test_a_resumed_run_is_the_run_that_was_never_stopped(tmp_path: Path):
    output = run("resume.py", "--timesteps", 200, "--output", tmp_path)
    assert "After 416 steps all weights of both runs are the same, bit for bit." in output


@pytest.mark.slow
def test_overlap_is_measured_and_learns():
    output = run("overlap.py", "--milliseconds", 2, "--seeds", 1, "--timesteps", 4000)
    assert number("2.0 ms asleep:", output) > 2
    returns = re.findall(r"overlap=(?:True|False) *: median return (-?\d+)", output)
    assert len(returns) == 2
    assert all(float(reached) > -700 for reached in returns)


@pytest.mark.slow
def test_quickstart_solves_pendulum(tmp_path: Path):
    output = run("quickstart.py", "--output", tmp_path)
    assert number("mean return after", output) > -250


@pytest.mark.slow
def test_custom_environment_is_trained_on(tmp_path: Path):
    output = run("custom_environment/train.py", "--timesteps", 300, "--output", tmp_path / "my run")
    assert number("mean return", output) < 0
    assert str(tmp_path / "my run" / "model.zip") in output
    assert SAC.load(tmp_path / "my run" / "model.zip").num_timesteps == 300


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "timesteps", "enough"), [("cartpole", 30_000, 300), ("point_mass", 5_000, -80)])
def test_other_environments_are_learned(folder: str, timesteps: int, enough: float, tmp_path: Path):
    """A pole that hangs all the time gives some 50 of 555, random forces on the point mass some -280."""
    arguments = ("--folder", EXAMPLES / folder, "--timesteps", timesteps, "--output", tmp_path)
    assert number("mean return", run("custom_environment/train.py", *arguments)) > enough


@pytest.mark.slow
def test_learning_curve_is_resumed(tmp_path: Path):
    arguments = ("--tasks", "pendulum", "--timesteps", 120, "--output", tmp_path)
    path = tmp_path / "learning_curve.json"

    run("learning_curve.py", *arguments, "--seeds", 0)
    first = json.loads(path.read_text())
    run("learning_curve.py", *arguments, "--seeds", 0, 1)
    both = json.loads(path.read_text())

    assert [*first["pendulum"]] == ["TinySAC", "SAC (SB3)"]
    for algorithm, curves in both["pendulum"].items():
        assert [*curves] == ["0", "1"]
        assert curves["0"] == first["pendulum"][algorithm]["0"]
        for curve in curves.values():
            assert curve["steps"] == [*range(0, 121, 15)]
            assert curve["seconds"] == sorted(curve["seconds"])
            assert len(curve["returns"]) == 9
    assert (tmp_path / "learning_curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_learning_curves_of_different_budgets_are_kept_apart(tmp_path: Path):
    shorter = {"pendulum": {"TinySAC": {"0": {"steps": [0, 100]}}}}
    (tmp_path / "learning_curve.json").write_text(json.dumps(shorter))
    command = [sys.executable, str(EXAMPLES / "learning_curve.py"), "--seeds", "0", "--output", str(tmp_path)]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 2
    assert "choose another --output" in process.stderr
