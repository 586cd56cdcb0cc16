import ctypes
import itertools
import logging
import multiprocessing
import os
import platform
import shlex
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from sb3_tinyrl._native.abi.specs import EnvironmentSpec, KernelSpec
from sb3_tinyrl._native.errors import CacheError, CompilerNotFoundError, KernelBuildError
from sb3_tinyrl._native.jit import build as build_module
from sb3_tinyrl._native.jit.build import build, find
from sb3_tinyrl._native.jit.library_spec import LibrarySpec

SPEC = KernelSpec(3, 1, (8,), (8,))
START_METHOD = "forkserver" if hasattr(os, "fork") else "spawn"
pytestmark = pytest.mark.usefixtures("overlay", "cache")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, in a folder whose name means something to shells and to ninja."""
    folder = tmp_path / "a cache: $HOME"
    monkeypatch.setenv("SB3_TINYRL_CACHE_DIR", str(folder))
    return folder


@dataclass
class FakeCompiler:
    """A shell script in `$CXX` that acts up, then does what the real compiler does."""

    path: Path
    log: Path

    def process_ids(self) -> list[int]:
        """One for each compilation so far; the script's, and that of the compiler it turns into."""
        return [int(line) for line in self.log.read_text().split()] if self.log.exists() else []


@pytest.fixture
def fake_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], FakeCompiler]:
    real = shutil.which("c++") or shutil.which("clang++")
    assert real, "these tests need a compiler on PATH"

    def install(commands: str = "") -> FakeCompiler:
        fake = FakeCompiler(tmp_path / "my tools" / "my c++", tmp_path / "compilations")
        fake.path.parent.mkdir(exist_ok=True)
        fake.path.write_text(
            f"#!/bin/sh\n"
            f'case "$*" in *--version) exec {real} "$@"; esac\n'
            f"echo $$ >> {shlex.quote(str(fake.log))}\n"
            f"{commands}\n"
            f'exec {real} "$@"\n'
        )
        fake.path.chmod(0o755)
        monkeypatch.setenv("CXX", str(fake.path))
        return fake

    return install


Install = Callable[..., FakeCompiler]


def answer(library: Path) -> int:
    return int(ctypes.CDLL(str(library)).answer())


def workspaces(cache: Path) -> list[Path]:
    return list(cache.glob("*.build"))


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def build_in_process(environment: dict[str, str], barrier: threading.Barrier | None) -> None:
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if barrier:
        barrier.wait()
    try:
        library = build(SPEC)
    except KeyboardInterrupt:
        sys.exit(99)
    sys.exit(answer(library) != 42003)


@pytest.fixture
def start_builder() -> Iterator[Callable[..., BaseProcess]]:
    """Starts processes that build SPEC; none of them outlives the test."""
    context = multiprocessing.get_context(START_METHOD)
    context.set_forkserver_preload(["pytest", build_module.__name__])  # the processes do not import anew
    started = []

    def start(barrier: threading.Barrier | None = None) -> BaseProcess:
        process = context.Process(target=build_in_process, args=(dict(os.environ), barrier))
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        if process.is_alive():
            process.kill()
        process.join()


def test_the_library_is_made_for_the_spec(cache: Path) -> None:
    libraries = [build(KernelSpec(dim, 1, (), ())) for dim in (3, 17)]
    assert [answer(library) for library in libraries] == [42003, 42017]
    assert all(library.parent == cache for library in libraries)
    assert not workspaces(cache)


def test_loading_a_library_leaves_denormals_alone() -> None:
    answer(build(SPEC))
    assert sys.float_info.min / 2 > 0


def test_the_second_build_only_looks(fake_compiler: Install, caplog: pytest.LogCaptureFixture) -> None:
    compiler = fake_compiler()
    caplog.set_level(logging.INFO, "sb3_tinyrl")
    first = build(SPEC)
    assert "compiling KernelSpec(" in caplog.text
    caplog.clear()
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        assert build(SPEC) == first
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.05
    assert len(compiler.process_ids()) == 1
    assert not caplog.text


def test_eight_processes_compile_once(
    fake_compiler: Install, start_builder: Callable[..., BaseProcess], cache: Path
) -> None:
    compiler = fake_compiler("sleep 0.5")
    barrier = multiprocessing.get_context(START_METHOD).Barrier(8)
    builders = [start_builder(barrier) for _ in range(8)]
    for builder in builders:
        builder.join(30)
    assert [builder.exitcode for builder in builders] == [0] * 8
    assert len(compiler.process_ids()) == 1
    assert not workspaces(cache)


def test_threads_compile_once(fake_compiler: Install) -> None:
    compiler = fake_compiler("sleep 0.2")
    with ThreadPoolExecutor(4) as pool:
        libraries = set(pool.map(build, [SPEC] * 4))
    assert len(libraries) == len(compiler.process_ids()) == 1


HANG_THE_FIRST_TIME = 'if mkdir "$0 hangs"; then exec sleep 60; fi'


def wait_until_it_hangs(compiler: FakeCompiler) -> None:
    wait_until(compiler.path.with_name(f"{compiler.path.name} hangs").exists)


def test_a_killed_builder_holds_nothing_up(
    fake_compiler: Install, start_builder: Callable[..., BaseProcess], cache: Path
) -> None:
    compiler = fake_compiler(HANG_THE_FIRST_TIME)
    builder = start_builder()
    wait_until_it_hangs(compiler)
    builder.kill()
    builder.join()
    assert workspaces(cache)
    wait_until(lambda: not is_running(compiler.process_ids()[0]))
    start = time.monotonic()
    library = build(SPEC)
    assert time.monotonic() - start < 10
    assert answer(library) == 42003
    assert not workspaces(cache)


def test_an_interrupt_ends_the_compiler(
    fake_compiler: Install, start_builder: Callable[..., BaseProcess], cache: Path
) -> None:
    compiler = fake_compiler(HANG_THE_FIRST_TIME)
    builder = start_builder()
    wait_until_it_hangs(compiler)
    assert builder.pid
    os.kill(builder.pid, signal.SIGINT)
    builder.join(10)
    assert builder.exitcode == 99
    wait_until(lambda: not is_running(compiler.process_ids()[0]))
    assert not workspaces(cache)


def test_ctrl_c_may_reach_ninja_first(fake_compiler: Install) -> None:
    fake_compiler("kill -INT $PPID; kill -INT $$")
    with pytest.raises(KernelBuildError, match="interrupted"):
        build(SPEC)


def test_another_thread_can_cancel_the_build_and_the_wait_for_it(fake_compiler: Install, cache: Path) -> None:
    compiler = fake_compiler(HANG_THE_FIRST_TIME)
    cancelled = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        builds = [pool.submit(build, SPEC, cancelled=cancelled) for _ in range(2)]
        wait_until_it_hangs(compiler)
        cancelled.set()
        for one in builds:
            with pytest.raises(KernelBuildError, match="cancelled"):
                one.result(10)
    wait_until(lambda: not is_running(compiler.process_ids()[0]))
    assert not workspaces(cache)


def test_a_truncated_library_is_built_again(fake_compiler: Install) -> None:
    compiler = fake_compiler()
    library = build(SPEC)
    os.truncate(library, library.stat().st_size // 2)
    assert answer(build(SPEC)) == 42003
    assert len(compiler.process_ids()) == 2


def test_an_edited_header_leads_to_another_library(fake_compiler: Install, overlay: Path) -> None:
    compiler = fake_compiler()
    header = overlay / "answer.h"
    original = header.read_text()
    first = build(SPEC)
    header.write_text(original.replace("42", "43"))
    assert answer(build(SPEC)) == 43003
    header.write_text(original)
    assert build(SPEC) == first
    assert len(compiler.process_ids()) == 2


def test_a_header_edited_during_the_build_is_noticed(fake_compiler: Install, overlay: Path) -> None:
    fake_compiler(f'echo "// later" >> "{overlay}/answer.h"')
    with pytest.raises(KernelBuildError, match=r"changed while .*start again"):
        build(SPEC)
    fake_compiler()
    assert answer(build(SPEC)) == 42003


def test_everything_that_matters_is_in_the_key(
    fake_compiler: Install, overlay: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    libraries = [build(SPEC)]
    libraries.append(build(KernelSpec(3, 1, (8,), (9,))))
    (overlay / "another.h").touch()
    libraries.append(build(SPEC))

    installed = build_module.find_headers().rltools
    package = tmp_path / "site" / "rltools"
    shutil.copytree(installed, package / "external" / "rl_tools" / "include")
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.delitem(sys.modules, "rltools", raising=False)
    assert build(SPEC) == libraries[-1]  # as its contents are the same
    (package / "external" / "rl_tools" / "include" / "new.h").touch()
    libraries.append(build(SPEC))

    compiler = fake_compiler()
    libraries.append(build(SPEC))
    monkeypatch.setenv("CXX", f'"{compiler.path}" -DONE')
    libraries.append(build(SPEC))
    script = compiler.path.read_text()
    compiler.path.write_text(script.replace("exec", "echo 13; exec", 1))
    libraries.append(build(SPEC))

    flags = build_module.compile_flags()
    monkeypatch.setattr(build_module, "compile_flags", lambda: [*flags, "-DTWO"])
    libraries.append(build(SPEC))
    monkeypatch.setattr(build_module, "cpu_features", lambda: "another machine")
    libraries.append(build(SPEC))
    assert all(one != other for one, other in itertools.combinations(libraries, 2))


@pytest.mark.parametrize("variable", ["CPATH", "CPLUS_INCLUDE_PATH"])
def test_variables_that_lead_to_other_headers_are_in_the_key(
    overlay: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    source = overlay / "interface" / "sb3" / "sac.cpp"
    source.write_text(f"#include <array>\n{source.read_text()}")
    monkeypatch.delenv(variable, raising=False)
    library = build(SPEC)
    headers = tmp_path / "other headers"
    headers.mkdir()
    (headers / "array").write_text("#error these are other headers\n")
    monkeypatch.setenv(variable, str(headers))
    with pytest.raises(KernelBuildError, match="these are other headers"):
        build(SPEC)
    monkeypatch.delenv(variable)
    assert build(SPEC) == library


def test_a_compile_error_comes_before_the_noise(overlay: Path, cache: Path) -> None:
    noise = "".join(f'#warning "a long remark, number {number}"\n' for number in range(500))
    source = overlay / "interface" / "sb3" / "sac.cpp"
    source.write_text(f"{noise}int x = undeclared;\n")
    with pytest.raises(KernelBuildError) as error:
        build(SPEC)
    lines = str(error.value).splitlines()
    assert "undeclared" in lines[0]
    assert "sac.cpp:501" in lines[0]
    assert lines[1].startswith("Command: ")
    assert str(source) in lines[1]
    assert "KernelSpec(" in lines[2]
    assert 'kernel="torch"' in str(error.value)
    assert "a long remark, number 0" in lines[5]
    assert len(str(error.value)) < 8000
    assert not workspaces(cache)


def test_a_linker_error_is_found_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "c++ -lno-such-library")
    with pytest.raises(KernelBuildError, match=r"^the C\+\+ compiler failed: .*no-such-library"):
        build(SPEC)


def test_a_compiler_that_dies_silently(fake_compiler: Install) -> None:
    fake_compiler("kill -9 $$")
    with pytest.raises(KernelBuildError, match=r"^the C\+\+ compiler failed: it was killed by signal 9 \(SIGKILL\)"):
        build(SPEC)


def test_a_compiler_that_does_nothing(fake_compiler: Install) -> None:
    fake_compiler("exit 0")
    with pytest.raises(KernelBuildError, match="failed: it ended with status 0 without a word, but wrote no library"):
        build(SPEC)


@pytest.mark.parametrize(
    ("commands", "flaw"),
    [
        ("echo garbage > kernel.so", "no ELF file"),
        (": > kernel.so", "no ELF file"),
        ('{real} "$@" && head -c 9000 kernel.so > half && mv half kernel.so', "ends after 9000 bytes"),
        (
            '{real} "$@" && for part in "seek=40 count=8" "seek=58 count=4"; do '
            "dd if=/dev/zero of=kernel.so bs=1 $part conv=notrunc 2>/dev/null; done; "
            "head -c 9000 kernel.so > half && mv half kernel.so",
            "ends after 9000 bytes",
        ),
        ('{real} "$@" && printf "\\267" | dd of=kernel.so bs=1 seek=18 conv=notrunc 2>/dev/null', "kind of processor"),
        ("echo 'int x;' > x.c; {real} -c x.c -o kernel.so", "no shared library"),
        ("mkfifo kernel.so", "no file"),
        ('{real} "$@" && mv kernel.so elsewhere && ln -s elsewhere kernel.so', "no file"),
    ],
    ids=[
        "text",
        "empty",
        "half",
        "half without a table of sections",
        "another processor",
        "object file",
        "pipe",
        "link",
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="ELF")
def test_garbage_is_not_kept(fake_compiler: Install, cache: Path, commands: str, flaw: str) -> None:
    if platform.machine() != "x86_64" and "printf" in commands:
        pytest.skip("the number is that of another processor than x86-64")
    fake_compiler(f"{commands.format(real=shutil.which('c++'))}; exit 0")
    with pytest.raises(KernelBuildError, match=rf"said that all went well.*{flaw}.*set CXX"):
        build(SPEC)
    assert not [path for path in cache.iterdir() if path.suffix != ".lock"]
    fake_compiler()
    assert answer(build(SPEC)) == 42003


def test_a_compiler_that_hangs_has_a_time_limit(fake_compiler: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = fake_compiler(HANG_THE_FIRST_TIME)
    monkeypatch.setenv("SB3_TINYRL_COMPILE_TIMEOUT", "0.7")
    with pytest.raises(KernelBuildError, match=r"did not end within 0\.7 s.*set SB3_TINYRL_COMPILE_TIMEOUT to more"):
        build(SPEC)
    wait_until(lambda: not is_running(compiler.process_ids()[0]))
    monkeypatch.setenv("SB3_TINYRL_COMPILE_TIMEOUT", "600")
    assert answer(build(SPEC)) == 42003


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan"])
def test_a_time_limit_that_is_none_names_the_variable(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SB3_TINYRL_COMPILE_TIMEOUT", text)
    with pytest.raises(KernelBuildError, match=rf"^\$SB3_TINYRL_COMPILE_TIMEOUT is '{text}', expected .*above 0"):
        build(SPEC)


@pytest.mark.parametrize("character", ["\n", "\t", "\\", "\x7f", os.fsdecode(b"\xff")])
@pytest.mark.parametrize("place", ["cache", "environment"])
def test_a_folder_with_a_troublesome_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, character: str
) -> None:
    folder = tmp_path / f"my{character}folder"
    spec: LibrarySpec = SPEC
    if place == "cache":
        monkeypatch.setenv("SB3_TINYRL_CACHE_DIR", str(folder))
    else:
        folder.mkdir()
        (folder / "environment.h").touch()
        spec = EnvironmentSpec(folder)
    assert find(spec) is None
    with pytest.raises(KernelBuildError, match=r"in its name, .*rename or move it") as error:
        build(spec)
    assert repr(str(folder)) in str(error.value)


def environment(folder: Path) -> EnvironmentSpec:
    folder.mkdir()
    (folder / "environment.h").touch()
    return EnvironmentSpec(folder)


def test_a_compiler_that_does_not_tell_what_it_has_read(fake_compiler: Install, tmp_path: Path) -> None:
    fake_compiler(f"{shutil.which('c++')} -shared -x c++ /dev/null -o kernel.so; exit 0")
    with pytest.raises(KernelBuildError, match=r"does not tell which files it has read, expected .*set CXX"):
        build(environment(tmp_path / "environment"))


def test_a_header_may_have_any_name(tmp_path: Path) -> None:
    spec = environment(tmp_path / "environment")
    assert spec.folder
    assert find(spec) is None
    (spec.folder / os.fsdecode(b"\xff.h")).touch()
    assert find(spec) is None


def test_without_a_compiler_another_compilers_library_serves(
    fake_compiler: Install, cache: Path, overlay: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_compiler()
    library = build(SPEC)
    monkeypatch.setenv("CXX", "/no/such/compiler")
    assert build(SPEC) == find(SPEC) == library
    with pytest.raises(CompilerNotFoundError):
        build(KernelSpec(4, 1, (8,), (8,)))
    (overlay / "answer.h").write_text("#define ANSWER 43\n")
    assert find(SPEC) is None
    with pytest.raises(CompilerNotFoundError):
        build(SPEC)


def test_a_library_for_another_cpu_does_not_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    build(SPEC)
    assert find(SPEC)
    monkeypatch.setattr(build_module, "cpu_features", lambda: "another machine")
    assert find(SPEC) is None


def test_looking_asks_no_compiler(tmp_path: Path, fake_compiler: Install) -> None:
    compiler = fake_compiler()
    library = build(SPEC)
    compiler.path.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\n")
    assert find(SPEC) == library
    assert not (tmp_path / "asked").exists()


def test_the_oldest_make_room_for_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SB3_TINYRL_CACHE_SIZE", "1K")
    first = build(SPEC)
    os.utime(first, (0, 0))
    second = build(KernelSpec(4, 1, (8,), (8,)))
    assert second.exists()
    assert not first.exists()


def test_a_full_disk_is_a_matter_of_the_cache(fake_compiler: Install, cache: Path) -> None:
    fake_compiler("head -c 9 /dev/zero > /dev/full || exit 1")
    with pytest.raises(CacheError, match=r"no space .*set SB3_TINYRL_CACHE_DIR") as error:
        build(SPEC)
    assert str(cache) in str(error.value)


def test_a_quota_that_is_used_up_is_a_matter_of_the_cache(fake_compiler: Install) -> None:
    fake_compiler("echo 'fatal error: error writing to kernel.s: Disk quota exceeded'; exit 1")
    with pytest.raises(CacheError, match=r"no space .*set SB3_TINYRL_CACHE_DIR"):
        build(SPEC)


def test_a_compiler_that_writes_without_end_is_ended(fake_compiler: Install, cache: Path) -> None:
    compiler = fake_compiler("exec yes")
    with pytest.raises(KernelBuildError, match="was ended, as it wrote more than 64 MiB"):
        build(SPEC)
    wait_until(lambda: not is_running(compiler.process_ids()[0]))
    assert not workspaces(cache)


def test_sources_that_can_not_be_read(overlay: Path) -> None:
    (overlay / "dangling.h").symlink_to("nothing")
    for look in (find, build):
        with pytest.raises(KernelBuildError, match=r"can't read what the kernel is made of: .*dangling\.h.*expected"):
            look(SPEC)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_workspace_that_can_not_be_read_is_a_matter_of_the_cache(fake_compiler: Install) -> None:
    fake_compiler(f'{shutil.which("c++")} "$@"; chmod 0 kernel.so; exit 0')
    with pytest.raises(CacheError, match=r"Permission denied.*set SB3_TINYRL_CACHE_DIR"):
        build(SPEC)


def test_a_folder_that_is_gone_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    monkeypatch.syspath_prepend(".")
    (tmp_path / "gone").rmdir()
    for look in (find, build):
        with pytest.raises(KernelBuildError, match=r"can't be looked for: .*see that the folders of sys\.path"):
            look(SPEC)


def test_an_unusable_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SB3_TINYRL_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.raises(CacheError, match="set SB3_TINYRL_CACHE_DIR"):
        build(SPEC)


def test_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "ziglang", None)
    with pytest.raises(CompilerNotFoundError, match="Three ways out"):
        build(SPEC)


def test_paths_may_be_relative(
    fake_compiler: Install, overlay: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = fake_compiler()
    monkeypatch.chdir(overlay.parent)
    monkeypatch.syspath_prepend(".")
    monkeypatch.setenv("SB3_TINYRL_CACHE_DIR", os.path.relpath(cache))
    monkeypatch.setenv("CXX", os.path.relpath(compiler.path))
    assert answer(build(SPEC)) == 42003


def test_ninja_need_not_be_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = build_module.find_compiler().command[0]
    monkeypatch.setenv("CXX", compiler)
    monkeypatch.setenv("PATH", f"{Path(compiler).parent}")
    assert answer(build(SPEC)) == 42003


@pytest.mark.parametrize("call", [build, find])
def test_no_memory_is_an_error_that_training_falls_back_from(call, monkeypatch: pytest.MonkeyPatch) -> None:
    def find_no_memory() -> None:
        raise MemoryError

    monkeypatch.setattr(build_module, "find_headers", find_no_memory)
    with pytest.raises(KernelBuildError, match=r"no memory to look for the kernel.*ulimit -v"):
        call(SPEC)
