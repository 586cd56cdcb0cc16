import json
import os
import sys
from pathlib import Path

import pytest

from sb3_tinyrl.__main__ import main
from sb3_tinyrl._native.abi.thread_tuner import available_threads
from sb3_tinyrl.bench.process import PeerProcess
from sb3_tinyrl.bench.settings import Settings


def run(*arguments: object) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["sb3_tinyrl", "seeds-or-threads", *map(str, arguments)])
        return main()


@pytest.mark.slow
def test_as_many_seeds_as_cores_beside_one_that_uses_them_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    n_cores = min(2, available_threads())
    arguments = ("--widths", "8,16", "--threads", n_cores, "--rounds", 2, "--steps", 50)
    assert run(*arguments, "--output", tmp_path / "results") == 0
    output = capsys.readouterr().out
    assert f"{n_cores} seeds at once, a thread each" in output
    assert f"one seed, {n_cores} threads" in output
    results = json.loads((tmp_path / "results" / "seeds_or_threads.json").read_text())
    assert [measured["width"] for measured in results["widths"]] == [8, 16]
    for measured in results["widths"]:
        for speeds in (measured["seeds"], measured["threads"]):
            assert len(speeds) == 2
            assert min(speeds) > 0
    assert results["command"] in (tmp_path / "results" / "seeds_or_threads.md").read_text()
    assert {path.name for path in (tmp_path / "results").iterdir()} == {"seeds_or_threads.json", "seeds_or_threads.md"}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only there can a process be kept to its cores")
@pytest.mark.skipif(available_threads() < 2, reason="needs two cores")
def test_each_seed_has_a_core_of_its_own(tmp_path: Path):
    cores = sorted(os.sched_getaffinity(0))
    settings = Settings(net_arch=(8, 8))
    with (
        PeerProcess("sb3", settings, tmp_path / "one") as one,
        PeerProcess("sb3", settings, tmp_path / "other", first_core=1) as other,
    ):
        for process in (one, other):
            process.ask("peak_memory")  # once it answers, it has been kept to its core
        assert [os.sched_getaffinity(process._process.pid) for process in (one, other)] == [{cores[0]}, {cores[1]}]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--threads", "1000"], "ask for no more"), (["--widths", "64,0"], "expected at least 1")],
)
def test_bad_arguments_are_explained(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    try:
        status = run(*arguments)
    except SystemExit as error:  # from argparse
        status = error.code
    assert status in (1, 2)
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_an_environment_that_there_is_not_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run("--env", "NoSuchEnv-v0", "--widths", 8, "--output", tmp_path) == 1
    assert "NoSuchEnv" in capsys.readouterr().err
