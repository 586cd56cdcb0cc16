"""What is checked before a library is called."""

import os
import subprocess

import pytest

from sb3_tinyrl._native.abi.env_library import load_environment
from sb3_tinyrl._native.abi.kernel import Kernel
from sb3_tinyrl._native.abi.specs import KernelSpec
from sb3_tinyrl._native.errors import KernelError, UntrustedCacheError
from sb3_tinyrl._native.jit.compiler import find_compiler

SPEC = KernelSpec(3, 1, (8,), (8,), batch_size=4)


def compile_library(folder, source):
    (folder / "stale.cpp").write_text(source)
    library = folder / "stale.so"
    compiler = find_compiler().command
    subprocess.run([*compiler, "-shared", "-fPIC", folder / "stale.cpp", "-o", library], check=True, timeout=120)
    library.chmod(0o644)  # whatever the umask
    return library


def test_a_library_from_stale_sources_is_refused(tmp_path):
    library = compile_library(tmp_path, 'extern "C" void kernel_create() {}')
    with pytest.raises(KernelError, match=r"has no function kernel_n_threads, .*remove the stale copy"):
        Kernel(SPEC, library)
    with pytest.raises(KernelError, match=r"has no function environment_metadata, .*remove the stale copy"):
        load_environment(library)


def test_a_file_that_is_no_library_is_refused(tmp_path):
    path = tmp_path / "kernel.so"
    path.write_bytes(b"not a library")
    with pytest.raises(KernelError, match="can't be loaded"):
        Kernel(SPEC, path)
    with pytest.raises(KernelError, match="can't be loaded"):
        load_environment(path)


def test_a_library_that_can_not_be_loaded_is_removed(tmp_path):
    library = compile_library(tmp_path, "extern int missing; int *use() { return &missing; }")
    description = library.with_suffix(".json")
    description.touch()
    with pytest.raises(KernelError, match=r"can't be loaded: .*missing"):
        Kernel(SPEC, library)  # it was loaded before, as its description tells, so this process is to blame
    os.utime(description, (0, 0))
    with pytest.raises(KernelError, match=r"can't be loaded: .*missing.*removed, so that the next try compiles it"):
        Kernel(SPEC, library)
    assert not library.exists()
    assert not description.exists()


def test_a_library_that_others_can_write_is_not_loaded(tmp_path):
    library = compile_library(tmp_path, "")
    library.chmod(0o777)
    with pytest.raises(UntrustedCacheError, match=f"chmod go-w {library}"):
        Kernel(SPEC, library)
