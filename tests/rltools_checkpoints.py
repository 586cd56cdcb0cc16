"""Checkpoints that RLtools' own writer has written, and what RLtools' own evaluation makes of an observation."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
from models import TIMEOUT

from sb3_tinyrl._native.jit.compiler import find_compiler
from sb3_tinyrl._native.jit.headers import find_headers

OBSERVATION = 0.7 - 0.45 * np.arange(5)

KINDS = (
    *(
        f"{function}_{kind}"
        for function in ("identity", "relu", "tanh", "fast_tanh", "sigmoid")
        for kind in ("sac", "td3")
    ),
    "batch",
    "dense",
    "double",
    "ppo",
)


def write_checkpoints(folder: Path) -> Path:
    """Write ``<kind>.h``, and ``<kind>.txt`` with the output for ``OBSERVATION``."""
    program = folder / "rltools_checkpoints"
    source = Path(__file__).with_suffix(".cpp")
    command = [*find_compiler().command, "-std=c++17", "-isystem", str(find_headers().rltools), str(source)]
    compiled = subprocess.run([*command, "-o", str(program)], capture_output=True, text=True, timeout=TIMEOUT)
    assert compiled.returncode == 0, compiled.stderr
    subprocess.run([program, folder], check=True, capture_output=True, timeout=TIMEOUT)
    return folder
