"""What tests of several commands run them with."""

import sys
from collections.abc import Callable

import pytest

from sb3_tinyrl.__main__ import main


@pytest.fixture
def run_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs ``sb3-tinyrl`` with its arguments in this process; returns status, output and errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sb3-tinyrl", *map(str, arguments)])
        try:
            status = main()
        except SystemExit as error:
            status = int(error.code or 0)
        return status, *capsys.readouterr()

    return run
