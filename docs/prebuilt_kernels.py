"""Count the kernels that a wheel of prebuilt ones would hold, and weigh them: python docs/prebuilt_kernels.py.

The shapes are those of RL Baselines3 Zoo's ``sac.yml``, in the environments that can be made here, and of
Stable-Baselines3's defaults in the same environments. Each kernel needs a library for each instruction set, as
``-march=native`` can't be used for a machine that is not known. One in eight is compiled, to be weighed.
"""

import statistics
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymnasium
import torch.nn
import yaml
from stable_baselines3.common.preprocessing import get_flattened_obs_dim

from sb3_tinyrl._native.abi.specs import KernelSpec
from sb3_tinyrl._native.jit.compiler import Compiler, find_compiler
from sb3_tinyrl._native.jit.headers import find_headers

INSTRUCTION_SETS = {"SSE2": "x86-64", "AVX2": "x86-64-v3", "AVX-512": "x86-64-v4"}
#: Entries whose environment has a successor, or an equal in MuJoCo; the others are named as they are.
SUCCESSORS = {"default": "Pusher-v5", "2DBulletEnv-v0": "2d-v5", "BulletEnv-v0": "-v5", "-v4": "-v5"}
#: Its observations come from an autoencoder.
LEFT_OUT = "CarRacing-v3"
DEFAULT_WIDTHS = [256, 256]
EACH = 8


def settings() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield environments with the zoo's settings for each, then with Stable-Baselines3's own."""
    zoo = find_spec("rl_zoo3")
    assert zoo is not None
    assert zoo.origin is not None
    entries = yaml.safe_load(Path(zoo.origin).with_name("hyperparams").joinpath("sac.yml").read_text())
    del entries[LEFT_OUT]
    yield from entries.items()
    yield from ((name, {}) for name in entries)


def spec(environment: str, setting: Mapping[str, Any]) -> KernelSpec | None:
    """Return the kernel of a setting, or nothing where the environment is not to be had."""
    for name, successor in SUCCESSORS.items():
        environment = environment.replace(name, successor)
    try:
        env = gymnasium.make(environment)
    except gymnasium.error.Error:
        return None
    policy = setting.get("policy_kwargs", {})
    # The zoo writes Python code into its file; it is what the zoo evaluates, too.
    policy = eval(policy, {"nn": torch.nn}) if isinstance(policy, str) else policy
    widths = policy.get("net_arch", DEFAULT_WIDTHS)
    actor, critic = (widths["pi"], widths["qf"]) if isinstance(widths, dict) else (widths, widths)
    assert isinstance(env.action_space, gymnasium.spaces.Box)
    assert isinstance(env.observation_space, gymnasium.spaces.Box)
    return KernelSpec(
        get_flattened_obs_dim(env.observation_space),
        env.action_space.shape[0],
        tuple(actor),
        tuple(critic),
        batch_size=setting.get("batch_size", 256),
        use_sde=setting.get("use_sde", False),
        observation_type=str(env.observation_space.dtype).replace("float64", "float32"),
    )


def weight(kernel: KernelSpec, compiler: Compiler, folder: Path) -> tuple[int, int]:
    """Compile a kernel; return the bytes of its library, stripped, and of these when compressed as in a wheel."""
    headers, library = find_headers(), folder / "kernel.so"
    (folder / "kernel_spec.h").write_text(kernel.header())
    command = compiler.library_command(
        headers.overlay / kernel.source,
        library,
        includes=[folder, headers.include_root],
        system_includes=[headers.rltools],
    )
    subprocess.run([*command, "-s"], check=True)
    contents = library.read_bytes()
    return len(contents), len(zlib.compress(contents, 9))


def main() -> None:
    """Print how many kernels there are, and what libraries of one instruction set weigh."""
    found = [(name, spec(name, setting)) for name, setting in settings()]
    missing = sorted({name for name, kernel in found if kernel is None})
    kernels = list(dict.fromkeys(kernel for _, kernel in found if kernel is not None))
    print(f"{len(kernels)} kernels for {len(found)} settings; not counted: {', '.join([LEFT_OUT, *missing])}")
    found_compiler = find_compiler()
    for name, march in INSTRUCTION_SETS.items():
        compiler = Compiler((*found_compiler.command, f"-march={march}"), found_compiler.version, found_compiler.kind)
        with tempfile.TemporaryDirectory() as folder:
            weights = [weight(kernel, compiler, Path(folder)) for kernel in kernels[::EACH]]
        plain, compressed = (statistics.mean(column) / 1024 for column in zip(*weights, strict=True))
        total = compressed * len(kernels) / 1024
        print(
            f"{name}: {plain:.0f} KiB a library, {compressed:.0f} KiB in a wheel "
            f"({len(weights)} compiled); all of them {total:.1f} MiB"
        )


if __name__ == "__main__":
    sys.exit(main())
