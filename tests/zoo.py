"""Runs RL Baselines3 Zoo's scripts, each in a process of its own, without importing the zoo anew for each.

The zoo exchanges classes of Gymnasium when it is imported, so the processes of the other tests must not import it.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
from pathlib import Path

from models import TIMEOUT

_EXAMPLES = Path(__file__).parents[1] / "examples"
TRAIN, ENJOY, PUSH_TO_HUB = (str(_EXAMPLES / f"zoo_{name}.py") for name in ("train", "enjoy", "push_to_hub"))

_context = multiprocessing.get_context("forkserver" if hasattr(os, "fork") else "spawn")
_context.set_forkserver_preload(["rl_zoo3.train", "rl_zoo3.enjoy"])


def run(script: str, *arguments: object, folder: Path) -> str:
    """Run a script with ``folder`` as its working directory.

    :param script: a path, or a module as for ``python -m``
    :return: what it printed, warnings and errors included
    """
    log = folder / "output.txt"
    process = _context.Process(target=_run, args=(script, [*map(str, arguments)], log))
    process.start()
    process.join(TIMEOUT)
    process.kill()  # where it hangs
    process.join()
    output = log.read_text(errors="replace")
    assert process.exitcode == 0, output
    return output


def _run(script: str, arguments: list[str], log: Path) -> None:
    os.chdir(log.parent)
    with open(log, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = sys.orig_argv = [script, *arguments]
    if script.endswith(".py"):
        runpy.run_path(script, run_name="__main__")
    else:
        runpy.run_module(script, run_name="__main__", alter_sys=True)


def assert_native(output: str) -> None:
    """The run that printed ``output`` did not fall back to Stable-Baselines3's update."""
    assert "TinySAC trains through" not in output, output
