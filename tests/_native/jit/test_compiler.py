import os
import platform
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sb3_tinyrl._native.errors import CompilerNotFoundError
from sb3_tinyrl._native.jit import compiler as compiler_module
from sb3_tinyrl._native.jit.compiler import Compiler, compile_flags, cpu_features, find_compiler, instruction_set
from sb3_tinyrl._native.jit.processes import CancelledError

REAL = shutil.which("c++") or shutil.which("clang++")


@pytest.fixture(autouse=True)
def no_cxx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)


def script(path: Path, commands: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{commands}\n")
    path.chmod(0o755)
    return path


def test_finds_the_platforms_compiler() -> None:
    compiler = find_compiler()
    assert Path(compiler.command[0]).is_absolute()
    assert compiler.version
    assert compiler.kind in ("gcc", "clang")


def test_skips_a_placeholder_that_does_not_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path / "c++", "echo 'note: no developer tools were found' >&2; exit 1")
    working = script(tmp_path / "g++", f'exec {REAL} "$@"')
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_compiler().command == (str(working),)


@pytest.mark.parametrize("quoted", [False, True])
def test_cxx_may_be_a_path_with_spaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quoted: bool) -> None:
    path = str(script(tmp_path / "my tools" / "c++", f'exec {REAL} "$@"'))
    monkeypatch.setenv("CXX", f'"{path}"' if quoted else path)
    assert find_compiler().command == (path,)


def test_cxx_may_hold_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "c++ -DNAME='two words'")
    assert find_compiler().command[1:] == ("-DNAME=two words",)


@pytest.mark.parametrize("chosen", ["/no/such/compiler", "no-such-compiler -O2", "false", "'unbalanced", "/", " "])
def test_cxx_that_does_not_work(monkeypatch: pytest.MonkeyPatch, chosen: str) -> None:
    monkeypatch.setenv("CXX", chosen)
    with pytest.raises(CompilerNotFoundError, match=r"^\$CXX is .* does not work: .+ Expected .*; set CXX") as error:
        find_compiler()
    assert repr(chosen) in str(error.value)


def test_a_compiler_that_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler_module, "_SECONDS_TO_ANSWER", 0.5)
    monkeypatch.setenv("CXX", str(script(tmp_path / "c++", "sleep 60")))
    with pytest.raises(CompilerNotFoundError, match=r"does not work: .*timed out after 0\.5 seconds"):
        find_compiler()


def test_the_wait_for_an_answer_can_be_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", str(script(tmp_path / "c++", "sleep 60")))
    cancelled = threading.Event()
    threading.Timer(0.5, cancelled.set).start()
    with pytest.raises(CancelledError):
        find_compiler(cancelled)


def test_no_compiler_at_all_names_the_three_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path / "g++", "echo 'note: no developer tools were found' >&2; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "ziglang", None)
    with pytest.raises(CompilerNotFoundError) as error:
        find_compiler()
    for hint in (
        "g++ --version ended with status 1 (note: no developer tools were found)",
        "apt install g++",
        "dnf install gcc-c++",
        "xcode-select --install",
        "winget install",
        'pip install "sb3-tinyrl[compiler]"',
        'kernel="torch"',
    ):
        assert hint in str(error.value)


def test_falls_back_to_the_package_ziglang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Stands in for the real package, whose first run takes a minute: hands its arguments on to the compiler.
    package = tmp_path / "site" / "ziglang"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(
        f"import os, sys\nassert sys.argv[1] == 'c++'\nos.execv({REAL!r}, [{REAL!r}, *sys.argv[2:]])\n"
    )
    metadata = package.parent / "ziglang-0.99.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: ziglang\nVersion: 0.99\n")
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delitem(sys.modules, "ziglang", raising=False)
    compiler = find_compiler()
    assert compiler.command == (sys.executable, "-m", "ziglang", "c++")
    assert compiler.kind == "zig"
    assert compiler.version == "ziglang 0.99"
    source = tmp_path / "a.cpp"
    source.touch()
    command = compiler.library_command(source, tmp_path / "a.so", includes=[], system_includes=[])
    subprocess.run(command, check=True, env={**os.environ, "PATH": os.defpath})
    assert (tmp_path / "a.so").exists()


def test_the_version_does_not_depend_on_the_language(monkeypatch: pytest.MonkeyPatch) -> None:
    before = find_compiler()
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert find_compiler() == before


def test_the_flags_leave_floating_point_exact() -> None:
    assert not {"-ffast-math", "-Ofast", "-funsafe-math-optimizations"} & set(compile_flags())


def test_warnings_count_for_our_headers_only(tmp_path: Path) -> None:
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.h").write_text(f"inline void {name}(int unused) {{}}\n")
    source = tmp_path / "a.cpp"
    source.write_text("#include <ours.h>\n#include <theirs.h>\n")
    command = find_compiler().library_command(
        source, tmp_path / "a.so", includes=[tmp_path / "ours"], system_includes=[tmp_path / "theirs"]
    )
    said = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    assert "warning: unused parameter" in said
    assert "ours.h" in said
    assert "theirs.h:1" not in said


@pytest.mark.parametrize("flag", ["-march=x86-64", "-mcpu=cortex-a72", "--target=aarch64-linux-gnu"])
def test_a_processor_that_the_user_chooses_is_kept(flag: str) -> None:
    compiler = Compiler(("c++", flag), "", "gcc")
    command = compiler.library_command(Path("a.cpp"), Path("a.so"), includes=[], system_includes=[])
    assert [part for part in command if part.startswith(("-march", "-mcpu", "--target"))] == [flag]


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="flags of x86")
@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("-march=x86-64", "SSE2"),
        ("-march=sandybridge", "AVX"),
        ("-march=haswell", "AVX2"),
        ("-march=skylake-avx512", "AVX-512"),
        ("-mno-avx", "SSE2"),
    ],
)
def test_the_instruction_set_is_the_one_compiled_for(
    monkeypatch: pytest.MonkeyPatch, flags: str, expected: str
) -> None:
    monkeypatch.setenv("CXX", f"c++ {flags}")
    assert instruction_set() == expected


def test_the_instruction_set_of_this_machine() -> None:
    known = {"AVX-512": "avx512f", "AVX2": "avx2", "AVX": "avx", "SSE2": "sse2", "SVE": "sve", "NEON": "asimd"}
    name = instruction_set()
    assert name in known
    if os.path.exists("/proc/cpuinfo"):
        assert known[name] in cpu_features().split()


def test_a_compiler_that_tells_no_instruction_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = script(tmp_path / "c++", 'test "$1" = --version')
    monkeypatch.setenv("CXX", str(chosen))
    with pytest.raises(CompilerNotFoundError, match=r"does not tell for which processor .* set CXX"):
        instruction_set()


def test_a_compiler_that_does_not_tell_the_instruction_set_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler_module, "_SECONDS_TO_ANSWER", 0.5)
    monkeypatch.setenv("CXX", str(script(tmp_path / "c++", 'test "$1" = --version || sleep 60')))
    with pytest.raises(CompilerNotFoundError, match=r"does not tell for which processor .*timed out after 0\.5 s"):
        instruction_set()


def test_a_compiler_that_does_not_try_a_flag_in_time_does_not_know_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler_module, "_SECONDS_TO_ANSWER", 0.5)
    monkeypatch.setattr(platform, "machine", lambda: "ARM64")
    monkeypatch.setenv("CXX", str(script(tmp_path / "c++", 'test "$1" = --version || sleep 60')))
    assert find_compiler().processor_flags() == []


def test_a_compiler_that_writes_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", str(script(tmp_path / "c++", "exec yes")))
    with pytest.raises(CompilerNotFoundError, match=r"does not work: it wrote more than 64 MiB"):
        find_compiler()


@pytest.mark.parametrize(
    ("known", "expected"),
    [("-mcpu=native -march=native", ["-mcpu=native"]), ("-march=native", ["-march=native"]), ("-O3", [])],
)
def test_on_arm_the_flag_is_one_that_the_compiler_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: str, expected: list[str]
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "ARM64")
    chosen = script(tmp_path / "c++", f'case " --version {known} " in *" $1 "*) exit 0; esac; exit 1')
    monkeypatch.setenv("CXX", str(chosen))
    assert find_compiler().processor_flags() == expected


@pytest.mark.parametrize("name", ["cl", "cl.exe", "clang-cl", "C++ tools/CL.EXE"])
def test_microsofts_compiler_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    chosen = script(tmp_path / name, "echo Microsoft")
    monkeypatch.setenv("CXX", str(chosen))
    with pytest.raises(CompilerNotFoundError, match=r"vector types .*Expected clang\+\+ or zig: .*\[compiler\]"):
        find_compiler()


def test_microsofts_compiler_is_not_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = script(tmp_path / "cl", "echo Microsoft")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "ziglang", None)
    with pytest.raises(CompilerNotFoundError, match=rf"There is {chosen}, which can't compile the kernel"):
        find_compiler()


def test_on_windows_a_library_needs_none_of_the_compilers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert "-static" in compile_flags()
    assert "-fPIC" not in compile_flags()


def test_on_windows_cxx_may_be_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "name", "nt")
    assert compiler_module._split(r'"C:\Program Files\LLVM\clang++.exe" -DA') == [
        r"C:\Program Files\LLVM\clang++.exe",
        "-DA",
    ]


@pytest.mark.skipif(not os.path.exists("/proc/cpuinfo"), reason="Linux")
def test_cpu_features_list_instruction_sets() -> None:
    assert len(cpu_features().split()) > 5
    assert cpu_features() == cpu_features()
