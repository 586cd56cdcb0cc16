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


def test_refuses_what_is_not_native(monkeypatch, capsys):
    assert run(monkeypatch, "--env", "Pendulum-v1") == 1
    assert "error: Pendulum-v1 is no native environment" in capsys.readouterr().err
