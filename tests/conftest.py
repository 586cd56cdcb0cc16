import signal
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest
import torch as th
from profiles import EXPLORES
from written_environments import EXAMPLE, write_walk

# The networks are small, and several threads would only wait for each other on a busy machine.
th.set_num_threads(1)

# A shell has what it starts in the background ignore interrupts; tests of interrupts would never end there.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.load_profile("explore" if EXPLORES else "fixed")


@pytest.fixture(scope="session")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an environment that draws random numbers everywhere."""
    return write_walk(tmp_path_factory.mktemp("environments") / "a walk")


@pytest.fixture
def changed_example(tmp_path: Path) -> Callable[..., Path]:
    """Copies the example's header with some text replaced."""

    def change(*replacements: tuple[str, str]) -> Path:
        text = (EXAMPLE / "environment.h").read_text()
        for old, new in replacements:
            assert old in text, f"the example has no {old!r} any more"
            text = text.replace(old, new)
        folder = tmp_path / "my environment"
        folder.mkdir(exist_ok=True)
        (folder / "environment.h").write_text(text)
        return folder

    return change
