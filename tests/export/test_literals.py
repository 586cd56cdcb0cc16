"""Numbers and names as C++ spells them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from policies import PolicyKind

from sb3_tinyrl.export import ExportError, export_cpp
from sb3_tinyrl.export.literals import float_array, float_literal, int_array, require_identifier


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_literals_read_back_as_the_same_number(value):
    literal = float_literal(value)
    assert literal.endswith("f")
    assert "." in literal or "e" in literal  # C++ has no suffix f for integers
    assert np.float32(literal[:-1]).tobytes() == np.float32(value).tobytes()


def test_arrays_are_wrapped() -> None:
    text = float_array(np.full((30, 5), -1.5e-5, np.float32), " " * 4)
    assert text.count("-1.5e-05f") == 150
    assert max(map(len, text.splitlines())) <= 120
    text = int_array(np.full((30, 5), -(2**31)), " " * 4)
    assert text.count("-2147483648") == 150
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("name", ["policy", "Policy2", "a", "my_policy_", "x86"])
def test_identifiers(name):
    require_identifier(name)


NO_NAMES = [
    "",
    "2fast",
    "my-policy",
    "my policy",
    "a::b",
    "class",
    "std",
    "_p",
    "_Policy",
    "a__b",
    "größe",
    "a\n",
    "and",
]
NAMES_OF_OTHERS = [
    "linux",
    "unix",
    "i386",
    "NAN",
    "M_PI",
    "main",
    "assert",
    "co_await",
    "exp",
    "expf",
    "y0",
    "abs",
    "int32_t",
]


@pytest.mark.parametrize("name", NO_NAMES + NAMES_OF_OTHERS)
def test_names_that_cpp_does_not_know_are_refused_before_anything_is_written(name, tmp_path):
    with pytest.raises(ExportError, match=r"namespace=.*pass letters, digits"):
        export_cpp(PolicyKind().model(), tmp_path / "policy.h", namespace=name)
    assert not [*tmp_path.iterdir()]
