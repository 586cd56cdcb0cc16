"""On what the benchmark ran."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

from sb3_tinyrl._native.jit.compiler import cpu_features, find_compiler

_PACKAGES = ("sb3-tinyrl", "rltools", "stable-baselines3", "torch", "numpy", "gymnasium", "sbx-rl", "jax")
#: What Linux calls vector instructions, the widest first.
_INSTRUCTION_SETS = {
    "avx512f": "AVX-512",
    "avx2": "AVX2",
    "avx": "AVX",
    "sse2": "SSE2",
    "sve": "SVE",
    "asimd": "NEON",
    "neon": "NEON",
}


def describe_machine() -> dict[str, object]:
    """Return what decides about speed: processor, system, compiler and versions of packages."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "instruction_sets": instruction_sets(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "compiler": find_compiler().version.splitlines()[0],
        "packages": {package: found for package in _PACKAGES if (found := _version(package))},
    }


def cpu_model() -> str:
    """Return what the processor calls itself."""
    try:
        with open("/proc/cpuinfo") as cpuinfo:
            for line in cpuinfo:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def instruction_sets() -> list[str]:
    """Return the names of the processor's vector instructions, the widest first; none where the system is not Linux."""
    flags = set(cpu_features().split())
    return [name for flag, name in _INSTRUCTION_SETS.items() if flag in flags]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
