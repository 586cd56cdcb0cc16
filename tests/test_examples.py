"""The examples run as users run them: as scripts, in processes of their own."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from models import TIMEOUT
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


def notebook_cells(name: str) -> list[Any]:
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(EXAMPLES / name, as_version=4)
    nbformat.validate(notebook)
    return notebook.cells


def test_the_notebook_is_kept_without_results():
    """Those of a machine that is not the reader's, and large in every change."""
    for cell in notebook_cells("quickstart.ipynb"):
        if cell.cell_type == "code":
            assert cell.execution_count is None
            assert cell.outputs == []


@pytest.mark.slow
def test_the_notebook_trains_both_and_draws(tmp_path: Path):
    """With few steps, in the cell with the tag ``parameters``."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    notebook = nbformat.v4.new_notebook(cells=notebook_cells("quickstart.ipynb"))
    [parameters] = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    parameters.source, n_replaced = re.subn(r"(?m)^TIMESTEPS = .*$", "TIMESTEPS = 450", parameters.source)
    assert n_replaced == 1
    nbclient.NotebookClient(
        notebook, timeout=TIMEOUT, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()

    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    text = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    assert "trains in a kernel" in text
    assert number("TinySAC", text) > 0
    assert number(r"SAC \(SB3\)", text) > 0
    assert number("mean return", text) < 0
    assert len([output for output in outputs if "image/png" in output.get("data", {})]) == 1
    assert SAC.load(tmp_path / "runs" / "notebook" / "pendulum.zip").num_timesteps == 450


@pytest.mark.slow
def test_a_resumed_run_is_the_run_that_was_never_stopped(tmp_path: Path):
    output = run("resume.py", "--timesteps", 200, "--output", tmp_path)
    assert "After 416 steps all weights of both runs are the same, bit for bit." in output


@pytest.mark.slow
def test_overlap_is_measured_and_learns(tmp_path: Path):
    run("overlap.py", "--milliseconds", 2, "--seeds", 1, "--timesteps", 4000, "--output", tmp_path)
    results = json.loads((tmp_path / "overlap.json").read_text())
    (simulator,) = results["simulators"]
    assert min(simulator["in_order"], simulator["overlapped"], simulator["environment"]) > 2
    assert {label: len(*returns) for label, returns in results["curves"].items()} == {"in order": 4, "overlapped": 4}
    assert all(returns[0][-1] > -700 for returns in results["curves"].values())
    assert (tmp_path / "overlap.png").stat().st_size > 10_000


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
    assert str(tmp_path / "my run" / "learning_curve.png") in output
    assert (tmp_path / "my run" / "learning_curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "timesteps", "enough"), [("cartpole", 30_000, 300), ("point_mass", 5_000, -80)])
def test_other_environments_are_learned(folder: str, timesteps: int, enough: float, tmp_path: Path):
    """A pole that hangs all the time gives some 50 of 555, random forces on the point mass some -280."""
    arguments = ("--folder", EXAMPLES / folder, "--timesteps", timesteps, "--output", tmp_path)
    assert number("mean return", run("custom_environment/train.py", *arguments)) > enough


CURVES = EXAMPLES / "learning_curves"


@pytest.mark.slow
def test_learning_curves_are_made_into_table_and_picture(tmp_path: Path):
    arguments = ("--tasks", "pendulum", "--timesteps", 240, "--output", tmp_path, "--checkpoints", tmp_path / "c")
    run("learning_curves/run.py", *arguments, "--seeds", 0)
    first = {path: path.read_bytes() for path in (tmp_path / "pendulum").iterdir()}
    run("learning_curves/run.py", *arguments, "--seeds", 0, 1)
    assert {path: path.read_bytes() for path in first} == first
    assert {path.name for path in (tmp_path / "pendulum").iterdir()} == {
        f"{name}_{seed}.json" for name in ("TinySAC", "SAC") for seed in (0, 1)
    }
    for path in (tmp_path / "pendulum").iterdir():
        result = json.loads(path.read_text())
        assert result["settings"] == {"env": "Pendulum-v1", "timesteps": 240, "learning_rate": 1e-3}
        assert result["steps"] == [*range(0, 241, 12)]
        assert result["seconds"] == sorted(result["seconds"])
        assert (len(result["returns"]), len(result["final_returns"])) == (21, 50)
    assert not [*(tmp_path / "c").rglob("steps_*")]  # nothing is left of runs that have finished

    output = run("learning_curves/report.py", "--runs", tmp_path)
    assert "| Pendulum-v1, 20,000 | 2 |" in output
    assert (tmp_path / "table.md").read_text() in output
    assert (tmp_path / "learning_curves.png").read_bytes().startswith(b"\x89PNG")

    process = subprocess.run(
        [sys.executable, CURVES / "run.py", *map(str, arguments), "--seeds", "0", "--timesteps", "120"],
        capture_output=True,
        text=True,
    )
    assert process.returncode == 2
    assert "is a run of other settings or length; choose another --output" in process.stderr


@pytest.mark.slow
def test_a_learning_curve_goes_on_where_it_was_killed(tmp_path: Path):
    """And what another command works at is left to it."""
    command = [
        *(sys.executable, str(CURVES / "run.py"), "--tasks", "pendulum", "--seeds", "0", "--timesteps", "2400"),
        *("--output", str(tmp_path), "--checkpoints", str(tmp_path / "c")),
    ]
    folder = tmp_path / "c" / "2400" / "pendulum" / "TinySAC_0"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not (kept := [*folder.glob("steps_*")]) and time.monotonic() < deadline:
            time.sleep(0.01)
        beside = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        time.sleep(0.2)
        process.kill()
    assert kept
    points = json.loads(next(iter(folder.glob("steps_*/points.json"))).read_text())
    beside.communicate(timeout=600)
    assert beside.returncode == 0
    subprocess.run(command, check=True, capture_output=True)

    result = json.loads((tmp_path / "pendulum" / "TinySAC_0.json").read_text())
    assert result["steps"] == [*range(0, 2401, 120)]
    for name in ("steps", "seconds", "returns"):
        assert result[name][: len(points[name])] == points[name]
    assert not folder.exists()
