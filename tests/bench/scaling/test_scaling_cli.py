"""``python -m sb3_tinyrl scaling`` from its arguments to its files."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from sb3_tinyrl.__main__ import main
from sb3_tinyrl.bench.scaling.axes import AXES, Axis

TINY = {"net_arch": (8, 8), "batch_size": 8, "buffer_size": 1000, "update_seconds": 0.01}
TOO_MUCH = 10**14  # transitions, more than there are addresses


def scaling(*arguments: object) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["sb3_tinyrl", "scaling", *map(str, arguments)])
        return main()


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    """A replay buffer that no machine has room for, then one that fits."""
    output = tmp_path_factory.mktemp("my scaling") / "results"
    axis = Axis("transitions", (TOO_MUCH, 500), lambda size: {**TINY, "buffer_size": size}, is_end_to_end=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(AXES, "replay", axis)
        assert scaling("--axes", "replay", "--threads", 1, "--rounds", 2, "--output", output) == 0
    return output


@pytest.fixture
def content(output: Path) -> Any:
    return json.loads((output / "scaling.json").read_text())


@pytest.mark.slow
def test_points_have_what_both_peers_measured(content: Any):
    (point,) = content["points"]["replay"]
    assert point["value"] == point["settings"]["buffer_size"] == 500
    for peer in ("tiny", "sb3"):
        rounds = point["peers"][peer]["rounds"]
        assert [*rounds] == ["updates_per_second", "steps_per_second"]
        for values in rounds.values():
            assert len(values) == 2
            assert min(values) > 0
        assert point["update_microseconds"][peer] == pytest.approx(1e6 / median(rounds["updates_per_second"]))
        assert point["step_microseconds"][peer] == pytest.approx(1e6 / median(rounds["steps_per_second"]))
        assert 0 < point["fraction_of_peak"][peer] < 1
        assert point["peers"][peer]["peak_memory"] > 10e6
    for advantage, measurement in (("update_advantage", "updates_per_second"), ("step_advantage", "steps_per_second")):
        ours, theirs = (point["peers"][peer]["rounds"][measurement] for peer in ("tiny", "sb3"))
        assert point[advantage] == pytest.approx(median([a / b for a, b in zip(ours, theirs, strict=True)]))


@pytest.mark.slow
def test_point_that_fails_is_named_and_the_others_go_on(content: Any, output: Path):
    ((title, reason),) = content["failures"].items()
    assert title == f"replay {TOO_MUCH:,}"
    assert "MemoryError" in reason
    assert f"- replay {TOO_MUCH:,} is missing: " in (output / "scaling.md").read_text()


@pytest.mark.slow
def test_the_command_and_the_machine_are_named(content: Any, output: Path):
    assert content["command"] == "python -m sb3_tinyrl scaling --axes replay --threads 1 --rounds 2"
    assert content["machine"]["cpu"]
    assert content["command"] in (output / "scaling.md").read_text()
    assert (output / "scaling.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_is_written_where_nothing_could_be_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(AXES, "replay", Axis("transitions", (TOO_MUCH,), lambda size: {**TINY, "buffer_size": size}))
    assert scaling("--axes", "replay", "--threads", 1, "--output", tmp_path / "results") == 1
    error = capsys.readouterr().err
    assert "error: no point could be measured: replay" in error
    assert "MemoryError" in error
    assert not [*(tmp_path / "results").iterdir()]


def test_output_that_is_no_folder_is_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "file").touch()
    for output in (tmp_path / "file", tmp_path / "file" / "results"):
        assert scaling("--output", output) == 1
        assert capsys.readouterr().err == f"error: --output {output}: {output} is no folder\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--axes", "width,depth"], "there is no 'depth'; choose from width,batch,"),
        (["--axes", ","], "none given; choose from width,batch,"),
        (["--threads", "1000"], "ask for no more"),
        (["--rounds", "0"], "expected at least 1"),
    ],
)
def test_bad_arguments_are_explained(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    try:
        status = scaling(*arguments)
    except SystemExit as error:  # from argparse
        status = error.code
    assert status in (1, 2)
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_interrupt_ends_all_and_writes_nothing(tmp_path: Path):
    temporary, output = tmp_path / "temporary", tmp_path / "results"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "sb3_tinyrl", "scaling", "--axes", "width", "--output", output],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
        start_new_session=True,  # as in a terminal: one group, which Ctrl-C reaches as a whole
    )
    try:
        while not [*temporary.glob("*/width_32/sb3/log.txt")]:
            assert process.poll() is None
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        _, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert error.splitlines()[-1] == "interrupted; nothing was written"
    assert not [*output.iterdir()]
    assert not [*temporary.iterdir()]
