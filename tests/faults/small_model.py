"""Programs around one small model, each run in a Python of its own, as limits and users belong to a process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TIMEOUT = 300

STRANGER = 54321
"""A user without name, home and processes."""

as_root = pytest.mark.skipif(
    os.name == "nt" or os.geteuid() != 0, reason="only root can become another user, or mount a file system"
)

_START = """\
import os, resource, signal, sys, time, warnings
from pathlib import Path
import gymnasium, numpy as np, torch as th
from sb3_tinyrl import TinySAC
th.set_num_threads(1)

def make(n_threads=None, **arguments):
    return TinySAC(**{"policy": "MlpPolicy", "env": "Pendulum-v1", "n_threads": n_threads, "learning_starts": 20,
                      "batch_size": 16, "buffer_size": 1000, "policy_kwargs": {"net_arch": [16, 16]}, "seed": 0,
                      "device": "cpu", "kernel": "native", **arguments})

def become_another_user():
    import filelock, ninja, platformdirs, rich.console
    make(kernel="torch").learn(30)  # imports the rest, which that user may have no right to read
    os.setgroups([])
    os.setgid(54321)
    os.setuid(54321)

def bytes_used():
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()

def limit_memory(n_bytes):
    resource.setrlimit(resource.RLIMIT_AS, (n_bytes, resource.RLIM_INFINITY))

def learn_in_children(model, margins, errors, *arguments, **keywords):
    # Prints for each margin (in MiB of address space) how the child's learn has ended, and the child.
    used = bytes_used()
    for margin in margins:
        if (child := os.fork()) == 0:
            signal.alarm(60)  # ends one that hangs
            limit_memory(used + int(margin * 2**20))
            try:
                model.learn(*arguments, **keywords)
                outcome = "learned"
            except errors as error:
                outcome = f"{type(error).__name__}: {error}".splitlines()[0]
            limit_memory(resource.RLIM_INFINITY)  # so that it can be told
            print(margin, outcome, flush=True)
            os._exit(0)
        print(margin, "status", os.waitpid(child, 0)[1], flush=True)
"""


def run(program: str, cache: Path | None, *, status: int = 0, **environment: str | None) -> str:
    """Run a program after the start above; return what it wrote.

    :param cache: the folder for compiled kernels; ``None`` for the user's own
    :param status: with which it must end
    :param environment: variables to set, or to remove for ``None``
    """
    finished = subprocess.run(
        [sys.executable, "-c", _START + program],
        env=variables(cache, **environment),
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
    )
    assert finished.returncode == status, finished.stdout
    return finished.stdout


def start(program: str, cache: Path, **environment: str | None) -> subprocess.Popen[str]:
    """Start a program after the start above, to be interrupted or killed."""
    return subprocess.Popen(
        [sys.executable, "-u", "-c", _START + program],
        env=variables(cache, **environment),
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def variables(cache: Path | None, **environment: str | None) -> dict[str, str]:
    """The environment variables of such a program, which finds the packages where this one does."""
    paths = [str(Path(__file__).parents[2]), *filter(None, sys.path)]
    changed = {
        "SB3_TINYRL_CACHE_DIR": None if cache is None else str(cache),
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": "1",
        **environment,
    }
    kept = {name: value for name, value in os.environ.items() if name not in changed}
    return kept | {name: value for name, value in changed.items() if value is not None}
