"""What docs/guide/platforms.md tells of each platform: the columns of its table are the values of ``shows`` here."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from toolchains import COLUMNS, INSTRUCTION_SETS, MACOS, NATIVE, ROOT, TOOLCHAINS, WINDOWS, Toolchain

from sb3_tinyrl._native.abi.specs import EnvironmentSpec, KernelSpec

pytestmark = pytest.mark.slow

KERNEL = "interface/sb3/sac.cpp"
ENVIRONMENT = "interface/environment/environment.cpp"
SPECS = {
    "float32": KernelSpec(5, 3, (17, 33), (31, 18), batch_size=21),
    "float64": KernelSpec(5, 3, (17, 33), (31, 18), batch_size=21, scalar_type="float64"),
    "BLAS": KernelSpec(5, 3, (17, 70), (31, 18), batch_size=150, use_blas=True),
    "gSDE": KernelSpec(7, 2, (35,), (19,), batch_size=40, use_sde=True),
}
ENVIRONMENTS = [*sorted((ROOT / "rl_tools" / "rl" / "zoo").iterdir()), ROOT / "examples" / "custom_environment"]


@pytest.fixture
def shows(record_property: Callable[[str, object], None]) -> Callable[[Toolchain, str], None]:
    """Says which cell of the table a test fills: the row of its toolchain, and a column; skips without a compiler."""

    def record(toolchain: Toolchain, column: str) -> None:
        assert column in COLUMNS
        record_property("platform", toolchain.platform)
        record_property("column", column)
        record_property("compiler", "missing")
        record_property("compiler", toolchain.compiler().version.splitlines()[0])

    return record


def write_spec(spec: KernelSpec | EnvironmentSpec, folder: Path) -> Path:
    (folder / "kernel_spec.h").write_text(spec.header())
    return folder


each = pytest.mark.parametrize("toolchain", TOOLCHAINS, ids=str)


@each
def test_compiles(toolchain, shows, tmp_path):
    """Kernels without and with a BLAS and gSDE, and all environments, with warnings as errors."""
    shows(toolchain, "compiles")
    for name in SPECS:
        toolchain.library(KERNEL, tmp_path / "kernel", includes=[write_spec(SPECS[name], tmp_path)])
    for folder in () if toolchain in INSTRUCTION_SETS else ENVIRONMENTS:
        includes = [write_spec(EnvironmentSpec(folder), tmp_path)]
        toolchain.library(ENVIRONMENT, tmp_path / "environment", includes=includes, quote_includes=[folder])


@each
def test_runs(toolchain, shows, tmp_path):
    """The kernel's own tests in C++, those of its functions, its thread pool and an environment."""
    shows(toolchain, "runs")
    toolchain.require_runner()
    car_track = ROOT / "rl_tools" / "rl" / "zoo" / "car_track"
    includes = [write_spec(EnvironmentSpec(car_track), tmp_path)]
    for source, flags in (
        ("math_test.cpp", []),
        ("thread_pool_test.cpp", []),
        ("environment_test.cpp", ["-iquote", str(car_track)]),
    ):
        program = toolchain.program(source, tmp_path / "program.exe", *flags, includes=includes)
        assert toolchain.run(program) == "ok\n", source
    for name in ("float32", "BLAS", "gSDE"):
        program = toolchain.program(
            "sac_test.cpp", tmp_path / "program.exe", includes=[write_spec(SPECS[name], tmp_path)]
        )
        assert toolchain.run(program) == "ok\n", name


@cache
def computed_here(folder: Path) -> np.ndarray:
    """All that the float64 kernel computes when compiled by g++ for this processor."""
    toolchain = NATIVE[0]
    program = toolchain.program("sac_test.cpp", folder / "here", includes=[write_spec(SPECS["float64"], folder)])
    return np.array(toolchain.run(program, "print").split(), float)


@each
def test_float64_equals_that_of_this_machine(toolchain, shows, tmp_path, tmp_path_factory):
    """Weights, moments, losses and actions after some gradient steps, which tests/test_parity.py holds to SB3's."""
    shows(toolchain, "float64 equal to 1e-12")
    toolchain.require_runner()
    program = toolchain.program(
        "sac_test.cpp", tmp_path / "there.exe", includes=[write_spec(SPECS["float64"], tmp_path)]
    )
    assert toolchain.run(program) == "ok\n"
    there = np.array(toolchain.run(program, "print").split(), float)
    np.testing.assert_allclose(there, computed_here(tmp_path_factory.getbasetemp()), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("toolchain", NATIVE, ids=str)
def test_parity_and_determinism(toolchain, shows, tmp_path):
    """The kernel that Python builds and loads with this compiler, beside Stable-Baselines3 and itself."""
    shows(toolchain, "parity, determinism")
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0"),
        *("tests/test_parity.py", "tests/test_determinism.py"),
        *("-k", "smallest or the_same_seed or number_of_threads_does_not_matter or in_another_program"),
        "tests/rl_tools/test_rollout_bits.py",
    ]
    environment = {**os.environ, "CXX": shlex.join(toolchain.command), "SB3_TINYRL_CACHE_DIR": str(tmp_path / "cache")}
    finished = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
    assert finished.returncode == 0, finished.stdout[-6000:]
    [passed] = re.findall(r"(\d+) passed", finished.stdout)
    assert int(passed) >= 10, finished.stdout[-2000:]


# --- what libraries need of the system ---

#: Of Windows itself; the Universal C Runtime has been part of it since Windows 10.
WINDOWS_LIBRARIES = re.compile(r"(?:KERNEL32|ntdll|msvcrt|api-ms-win-crt-[a-z0-9-]+)\.dll", re.IGNORECASE)
MACOS_SYMBOLS = Path(__file__).with_name("macos_symbols.txt")


def output_of(program: str, *arguments: object) -> str:
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=True).stdout


@cache
def libraries(toolchain: Toolchain, session: Path) -> list[Path]:
    """One with gSDE, and the environment with the most mathematics; in a folder below that of the session."""
    folder = session / f"libraries-{toolchain}"
    folder.mkdir()
    kernel = toolchain.library(KERNEL, folder / "kernel.so", includes=[write_spec(SPECS["gSDE"], folder)])
    l2f = ROOT / "rl_tools" / "rl" / "zoo" / "l2f"
    includes = [write_spec(EnvironmentSpec(l2f), folder)]
    return [
        kernel,
        toolchain.library(ENVIRONMENT, folder / "environment.so", includes=includes, quote_includes=[l2f]),
    ]


@pytest.mark.parametrize("toolchain", WINDOWS, ids=str)
def test_on_windows_libraries_need_nothing_that_is_not_there(toolchain, shows, tmp_path_factory):
    """Python looks for libraries beside a DLL's own folder only in the system's, not in PATH."""
    shows(toolchain, "needs only the system")
    for library in libraries(toolchain, tmp_path_factory.getbasetemp()):
        needed = re.findall(r"DLL Name: (\S+)", output_of("x86_64-w64-mingw32-objdump", "-p", library))
        assert "KERNEL32.dll" in needed
        assert [name for name in needed if not WINDOWS_LIBRARIES.fullmatch(name)] == []


@pytest.mark.parametrize("toolchain", WINDOWS, ids=str)
def test_windows_loads_libraries(toolchain, shows, tmp_path, tmp_path_factory):
    """As ctypes does: by path, and each function by its plain name."""
    shows(toolchain, "loads")
    toolchain.require_runner()
    (tmp_path / "load.cpp").write_text(LOADER)
    loader = toolchain.program(str(tmp_path / "load.cpp"), tmp_path / "load.exe")
    compiled = libraries(toolchain, tmp_path_factory.getbasetemp())
    for library, function in zip(compiled, ("kernel_train", "environment_step"), strict=True):
        assert toolchain.run(loader, str(library), function) == "ok\n"


LOADER = """\
#include <cstdio>
#include <windows.h>
int main(int, char** arguments) {
    const HMODULE library = LoadLibraryA(arguments[1]);
    const bool found = library && GetProcAddress(library, arguments[2]);
    std::printf("%s\\n", found ? "ok" : library ? "no such function" : "not loaded");
    return found ? 0 : 1;
}
"""


def test_windows_lets_a_library_that_is_loaded_be_renamed_alone(tmp_path):
    """What the cache relies on, and the rules by which tests/_native/jit/test_cache.py refuses."""
    toolchain = WINDOWS[0]
    toolchain.require_runner()
    (tmp_path / "rename.cpp").write_text(RENAMER)
    renamer = toolchain.program(str(tmp_path / "rename.cpp"), tmp_path / "rename.exe")
    (tmp_path / "library.cpp").write_text("__declspec(dllexport) int one() { return 1; }")
    library = toolchain.program(str(tmp_path / "library.cpp"), tmp_path / "old.dll", "-shared")
    new = shutil.copy(library, tmp_path / "new.dll")
    printed = toolchain.run(renamer, str(library), new, str(tmp_path / "held"))
    assert printed.split() == ["loaded", "not-replaced", "not-removed", "renamed", "replaced"]


RENAMER = """\
#include <cstdio>
#include <windows.h>
int main(int, char** arguments) {
    const char *old = arguments[1], *other = arguments[2], *held = arguments[3];
    std::puts(LoadLibraryA(old) ? "loaded" : "not-loaded");
    std::puts(MoveFileExA(other, old, MOVEFILE_REPLACE_EXISTING) ? "replaced" : "not-replaced");
    std::puts(DeleteFileA(old) ? "removed" : "not-removed");
    std::puts(MoveFileExA(old, held, MOVEFILE_REPLACE_EXISTING) ? "renamed" : "not-renamed");
    std::puts(MoveFileExA(other, old, MOVEFILE_REPLACE_EXISTING) ? "replaced" : "not-replaced");
}
"""


@pytest.mark.parametrize("toolchain", MACOS, ids=str)
def test_on_macos_libraries_need_only_libsystem(toolchain, shows, tmp_path_factory):
    """Nothing is left undefined but functions of C, POSIX and the unwinder, all of libSystem."""
    shows(toolchain, "needs only the system")
    allowed = re.compile("|".join(MACOS_SYMBOLS.read_text().split()))
    for library in libraries(toolchain, tmp_path_factory.getbasetemp()):
        undefined = output_of("llvm-nm", "--undefined-only", "--just-symbol-name", library).split()
        assert len(undefined) > 20
        assert [name for name in undefined if not allowed.fullmatch(name)] == []
        loaded = re.findall(
            r"^\t(\S+) \(", output_of("llvm-objdump", "--macho", "--dylibs-used", library), re.MULTILINE
        )
        assert loaded == [str(library), "/usr/lib/libSystem.B.dylib"]
