"""What a program imports, in a Python of its own."""

import json
import subprocess
import sys

from models import TIMEOUT

#: Packages that take a second or a hundred megabytes each.
HEAVY = {"torch", "stable_baselines3", "matplotlib", "pandas", "onnx", "PIL", "jax"}


def modules_of(program: str) -> set[str]:
    """All modules that a program has imported in the end."""
    program += "\nimport json, sys\nprint(json.dumps([*sys.modules]))"
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=TIMEOUT)
    assert process.returncode == 0, process.stderr
    return {*json.loads(process.stdout.splitlines()[-1])}


def imported_by(program: str) -> set[str]:
    """Top-level packages, and modules of ours, that a program has imported in the end."""
    return {module for module in modules_of(program) if "." not in module or module.startswith("sb3_tinyrl.")}
