"""The libraries that tests of backends run with."""

import pytest

from sb3_tinyrl._native.abi import blas

#: Runs a test with each library, as its argument ``library``.
EACH_LIBRARY = pytest.mark.parametrize(
    "library",
    [
        pytest.param(
            name,
            marks=pytest.mark.skipif(name not in blas.installed(), reason=f"{blas.label(name)} is not installed here"),
        )
        for name in blas.LIBRARIES
    ],
)
