"""``python -m sb3_tinyrl bench`` from its arguments to its files."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sb3_tinyrl.__main__ import main
from sb3_tinyrl._native.jit.compiler import instruction_set

ROOT = Path(__file__).parents[2]
TINY = ["--net-arch", "8,8", "--batch-size", "8", "--threads", "1", "--rounds", "2", "--steps", "20"]


def bench(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sb3_tinyrl", "bench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("my benchmark") / "results"
    process = bench(*TINY, "--peers", "sb3", "--output", output)
    assert process.returncode == 0, process.stderr
    for text in ("TinySAC", "SB3 (PyTorch)", "steps/s, end to end", "microseconds per environment step"):
        assert text in process.stdout
    return output


@pytest.mark.slow
def test_json_has_every_round(output: Path):
    results = json.loads((output / "benchmark.json").read_text())
    assert results["settings"]["net_arch"] == [8, 8]
    assert "--net-arch 8,8" in results["command"]
    assert results["machine"]["cpu"]
    assert results["machine"]["packages"]["torch"]
    assert results["failures"] == {}
    assert len(results["peak_flops"]) == 2
    assert min(results["peak_flops"]) > 1e9
    assert results["round_trip_seconds"] == []  # with one thread
    assert len(results["env_seconds"]) == 2
    assert 0 < min(results["env_seconds"]) < 0.01
    assert results["peers"]["tiny"]["instruction_set"] == instruction_set()
    assert results["peers"]["sb3"]["instruction_set"] is None

    assert [*results["peers"]] == ["tiny", "sb3"]
    for name, peer in results["peers"].items():
        assert peer["version"]
        assert peer["peak_memory"] > 10e6
        assert [*peer["rounds"]] == [
            "steps_per_second", "predict_microseconds", "updates_per_second", "overhead_microseconds"
        ]  # fmt: skip
        for values in peer["rounds"].values():
            assert len(values) == 2
            assert min(values) > 0
        assert len(peer["budgets"]) == 2
        assert len(peer["phases"]) == (2 if name == "tiny" else 0)
        for breakdown in (*peer["budgets"], *peer["phases"]):
            *parts, total = breakdown.values()
            assert sum(parts) == pytest.approx(total)
            assert min(parts) > 0
        assert results["median"][name]["steps_per_second"] > 0
        for fraction in ("fraction_of_peak", "fraction_of_limit"):
            assert 0 < results["median"][name][fraction] < 1
    assert 0 < results["peers"]["tiny"]["compile_seconds"]["warm"] < results["peers"]["tiny"]["compile_seconds"]["cold"]
    assert results["advantage"]["tiny"]["steps_per_second"] == 1
    assert results["advantage"]["sb3"]["steps_per_second"] > 1
    assert results["advantage"]["sb3"]["overhead_microseconds"] > 1


@pytest.mark.slow
def test_picture_and_markdown(output: Path):
    assert (output / "benchmark.png").read_bytes().startswith(b"\x89PNG")
    markdown = (output / "benchmark.md").read_text()
    assert "| steps/s, end to end |" in markdown
    assert "python -m sb3_tinyrl bench --env Pendulum-v1" in markdown


@pytest.mark.slow
def test_environment_of_the_user(tmp_path: Path):
    (tmp_path / "my_env.py").write_text(
        "import gymnasium\n"
        "from gymnasium.envs.classic_control.pendulum import PendulumEnv\n"
        "gymnasium.register('Mine-v0', PendulumEnv, max_episode_steps=10)\n"
    )
    frequency = ("--train-freq", 2, "--gradient-steps", 3)
    process = bench(*TINY, *frequency, "--env", "my_env:Mine-v0", "--peers", "", "--output", "results", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert "my_env:Mine-v0" in json.loads((tmp_path / "results" / "benchmark.json").read_text())["command"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--env", "Pendulun-v1"], "Pendulun"),
        (["--env", "no_such_module:Env-v0"], "no_such_module"),
        (["--env", "CartPole-v1"], "its action space is Discrete(2), but SAC's MlpPolicy takes a Box"),
        (
            ["--peers", "sb3,sb4"],
            "there is no 'sb4'; choose from tiny-mkl,tiny-openblas,tiny-accelerate,sb3,sbx,rltools",
        ),
        (["--against", "no-such-revision"], "error: --against no-such-revision: "),
        (["--isa", "mmx"], "invalid choice: 'mmx'"),
        (["--threads", "1000"], "ask for no more"),
        (["--rounds", "0"], "expected at least 1"),
        (["--net-arch", "64,"], "--net-arch"),
    ],
)
def test_bad_arguments_are_explained(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "argv", ["sb3_tinyrl", "bench", *arguments])
    try:
        status = main()
    except SystemExit as error:  # from argparse
        status = error.code
    assert status in (1, 2)
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_quick_says_how_long_and_leaves_compiling_out(tmp_path: Path):
    # Rounds and steps are those of --quick, not of TINY.
    process = bench(*TINY, "--quick", "--peers", "", "--output", "results", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert "The 2 rounds will take about" in process.stdout
    results = json.loads((tmp_path / "results" / "benchmark.json").read_text())
    assert results["settings"]["steps"] == 100
    assert [*results["peers"]["tiny"]["compile_seconds"]] == ["warm"]
    assert results["command"].endswith(" --quick")


needs_git = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")


@needs_git
@pytest.mark.slow
def test_against_a_revision(tmp_path: Path):
    process = bench(*TINY, "--against", "HEAD", "--output", "results", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert "working tree against TinySAC HEAD" in process.stdout
    results = json.loads((tmp_path / "results" / "benchmark.json").read_text())
    assert results["failures"] == {}
    assert [*results["peers"]] == ["tiny", "against"]
    ours, theirs = results["peers"].values()
    assert len(theirs["rounds"]["updates_per_second"]) == 2
    assert theirs["instruction_set"] == ours["instruction_set"]


@needs_git
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="interrupts are sent in another way")
def test_interrupt_removes_the_other_revision(tmp_path: Path):
    command = [sys.executable, "-m", "sb3_tinyrl", "bench", *TINY, "--against", "HEAD"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    # A session of its own, as the terminal's interrupt goes to all its processes.
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not [*tmp_path.glob("*/against/log.txt")]:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert [*tmp_path.glob("*/checkout/sb3_tinyrl/__init__.py")]
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; nothing was written" in errors
    assert [*tmp_path.iterdir()] == []


@pytest.mark.slow
def test_what_the_kernel_cannot_do_is_explained(tmp_path: Path):
    (tmp_path / "bad_env.py").write_text(
        "import gymnasium, numpy\n"
        "class Env(gymnasium.Env):\n"
        "    observation_space = gymnasium.spaces.Box(-1, 1, (3,))\n"
        "    action_space = gymnasium.spaces.Box(numpy.float32([-1, 0]), numpy.float32([1, 0]))\n"
        "gymnasium.register('Bad-v0', Env)\n"
    )
    process = bench(*TINY, "--env", "bad_env:Bad-v0", "--peers", "", cwd=tmp_path)
    assert process.returncode == 1
    assert "error: TinySAC:" in process.stderr
    assert "bounds coincide" in process.stderr
