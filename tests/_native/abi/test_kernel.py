"""What is checked before a library is called."""

import subprocess

import pytest

from sb3_tinyrl._native.abi.env_batch import load_environment
from sb3_tinyrl._native.abi.kernel import Kernel
from sb3_tinyrl._native.abi.specs import KernelSpec
from sb3_tinyrl._native.errors import KernelError
from sb3_tinyrl._native.jit.compiler import find_compiler

SPEC = KernelSpec(3, 1, (8,), (8,), batch_size=4)


def compile_library(folder, source):
    (folder / "stale.cpp").write_text(source)
    library = folder / "stale.so"
    compiler = find_compiler().command
    subprocess.run([*compiler, "-shared", "-fPIC", folder / "stale.cpp", "-o", library], check=True, timeout=120)
    return library


def test_a_library_from_stale_sources_is_refused(tmp_path):
    library = compile_library(tmp_path, 'extern "C" void kernel_create() {}')
    with pytest.raises(KernelError, match=r"has no function kernel_destroy, .*remove the stale copy"):
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
