"""Train policies, export them in float and in integers, and write the table of both: python docs/int8_policies.py.

Sizes are those of the parameters and of the code on a Cortex-M0, which has no floating-point unit, without the
compiler's library. Zig compiles; it comes with the extra ``compiler``.
"""

import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sb3_tinyrl import TinySAC
from sb3_tinyrl.export import export_cpp, export_cpp_int8

TABLE = Path(__file__).parent / "_static" / "int8_policies.md"
NETWORKS = ([32, 32], [64, 64], [256, 256])
TIMESTEPS = 8000
COLUMNS = ("network", "`export_cpp`", "`export_cpp_int8`", "largest error", "mean error")
COMPILER = (
    *(sys.executable, "-m", "ziglang", "c++", "-target", "thumb-linux-musleabi", "-mcpu=cortex_m0", "-std=c++17"),
    *("-Os", "-fno-exceptions", "-fno-rtti", "-fno-unwind-tables"),
)


def flash_size(header: Path, element: str) -> int:
    """Compile a program's call of ``evaluate`` in the namespace ``policy``; return its bytes of code and constants.

    :param element: the type of observations and actions
    """
    code = header.with_suffix(".o")
    source = (
        f'#include "{header.name}"\n'
        f"void act(const {element}* observation, {element}* action) {{ policy::evaluate(observation, action); }}\n"
    )
    command = [*COMPILER, f"-I{header.parent}", "-x", "c++", "-c", "-", "-o", str(code)]
    subprocess.run(command, input=source, text=True, check=True)
    return allocated(code.read_bytes())


def allocated(code: bytes) -> int:
    """Add up the sections of a 32-bit ELF file that are loaded, but the tables by which exceptions are unwound."""
    start, size, n_sections = *struct.unpack_from("<I", code, 32), *struct.unpack_from("<HH", code, 46)
    total = 0
    for i in range(n_sections):
        _, kind, flags, _, _, n_bytes = struct.unpack_from("<6I", code, start + i * size)
        is_loaded, is_unwinding = flags & 2, kind == 0x70000001  # SHF_ALLOC, SHT_ARM_EXIDX
        total += n_bytes if is_loaded and not is_unwinding else 0
    return total


def row(net_arch: Sequence[int], timesteps: int) -> list[str]:
    """Train and export; return the cells of a network."""
    model = TinySAC("MlpPolicy", "Pendulum-v1", learning_rate=1e-3, policy_kwargs={"net_arch": [*net_arch]}, seed=0)
    model.learn(timesteps)
    with tempfile.TemporaryDirectory() as folder:
        in_float, in_integers = Path(folder, "float.h"), Path(folder, "int8.h")
        export_cpp(model, in_float)
        error = export_cpp_int8(model, in_integers).held_out
        sizes = [flash_size(in_float, "float"), flash_size(in_integers, "int32_t")]
    return [str([*net_arch]), *(f"{size:,} B" for size in sizes), f"{error.largest:.1%}", f"{error.mean:.2%}"]


def render(rows: Sequence[Sequence[str]]) -> str:
    """Return the table in Markdown."""
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (COLUMNS, ["---"] * len(COLUMNS), *rows))


if __name__ == "__main__":
    TABLE.write_text(render([row(network, TIMESTEPS) for network in NETWORKS]))
    print(f"Wrote {TABLE}\n{TABLE.read_text()}")
