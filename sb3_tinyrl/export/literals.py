"""Numbers and names as C++ spells them."""

from __future__ import annotations

import textwrap

import numpy as np
import numpy.typing as npt

from sb3_tinyrl.export.description import Float32Array, Float64Array, require
from sb3_tinyrl.reserved_names import reason_against

_WIDTH = 120


def float_literal(value: float) -> str:
    """Return the shortest literal that reads back as the same float32."""
    return f"{np.float32(value)!s}f"


def float_array(values: Float32Array | Float64Array, indentation: str) -> str:
    """Return an initialiser, wrapped into lines; a matrix in the order of its rows.

    :param indentation: in front of each line but the first
    """
    return _array([float_literal(float(value)) for value in values.ravel()], indentation)


def int_array(values: npt.NDArray[np.int64], indentation: str) -> str:
    """Return an initialiser as :func:`float_array` does."""
    return _array([str(value) for value in values.ravel()], indentation)


def float_constant(name: str, values: Float32Array | Float64Array) -> str:
    """Return the definition of an array in the namespace ``detail`` of a header."""
    return f"        inline constexpr float {name}[] = {float_array(values, ' ' * 8)};\n"


def int_constant(element: str, name: str, values: npt.NDArray[np.int64]) -> str:
    """Return what :func:`float_constant` does, for an integer type of C++."""
    return f"        inline constexpr {element} {name}[] = {int_array(values, ' ' * 8)};\n"


def _array(literals: list[str], indentation: str) -> str:
    numbers = ", ".join(literals)
    inner = indentation + "    "
    lines = textwrap.fill(
        numbers, _WIDTH, initial_indent=inner, subsequent_indent=inner, break_long_words=False, break_on_hyphens=False
    )
    return f"{{\n{lines}\n{indentation}}}"


def require_identifier(name: str) -> None:
    """Check that a name may be that of a C++ namespace.

    :raises ExportError: for keywords, macros, names of C's library, and what is no name
    """
    reason = reason_against(name)
    require(
        reason is None,
        f"namespace={name!r} is not a name that a program may define: {reason}",
        "pass letters, digits and single underscores, beginning with a letter, such as my_policy",
    )
