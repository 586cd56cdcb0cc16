"""Single operations of the kernel against scalar definitions, so that a fault says where it is."""

import pytest
from fast_loop import slow_but
from test_sanitizers import SANITIZED, compile_and_run

from sb3_tinyrl._native.jit.compiler import compile_flags

SCALARS = ["float", "double"]
SOURCES = ["dense_test.cpp", "adam_test.cpp"]


@pytest.mark.parametrize("scalar", slow_but(["float"], SCALARS))
@pytest.mark.parametrize("source", slow_but(["adam_test.cpp"], SOURCES))
def test_operations_equal_their_definitions(source, scalar, tmp_path):
    """With the flags of a kernel."""
    flags = [flag for flag in compile_flags() if flag.startswith(("-O", "-f"))]
    compile_and_run(source, tmp_path, *flags, f"-DSCALAR={scalar}")


@pytest.mark.slow
@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize("source", SOURCES)
def test_operations_under_address_and_undefined_behaviour_sanitizers(source, scalar, tmp_path):
    compile_and_run(source, tmp_path, *SANITIZED, f"-DSCALAR={scalar}")
