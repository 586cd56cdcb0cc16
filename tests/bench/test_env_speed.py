import json
import sys

import pytest

from sb3_tinyrl.__main__ import main


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["sb3_tinyrl", "env-speed", "--num-envs", "2", "--seconds", "0.01", *arguments])
    return main()


def test_measures_every_way_to_step(monkeypatch, capsys):
    assert run(monkeypatch) == 0
    output = capsys.readouterr().out
    for how in ("2 in one call", "2 in NativeVecEnv", "2 in gymnasium.make_vec", "one in gymnasium.make"):
        assert how in output


def test_programs_read_the_speeds(monkeypatch, capsys):
    assert run(monkeypatch, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["env"] == "rl_tools/Pendulum-v0"
    assert len(report["steps_per_second"]) == 4
    assert min(report["steps_per_second"].values()) > 0
    assert report["machine"]["cpu"]


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("--num-envs=0", "0, expected at least 1"),
        ("--seconds=0", "0, expected a number above 0"),
        ("--seconds=-1", "-1, expected a number above 0"),
        ("--seconds=nan", "nan, expected a number above 0"),
        ("--seconds=inf", "inf, expected a number above 0"),
    ],
)
def test_refuses_what_can_not_be_measured(option, reason, monkeypatch, capsys):
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, option)
    assert f"argument {option.partition('=')[0]}: {reason}" in capsys.readouterr().err


def test_refuses_what_is_not_native(monkeypatch, capsys):
    assert run(monkeypatch, "--env", "Pendulum-v1") == 1
    assert "error: Pendulum-v1 is no native environment" in capsys.readouterr().err
