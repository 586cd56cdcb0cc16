"""Numbers and names as C++ spells them."""

from __future__ import annotations

import textwrap

import numpy as np

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
    numbers = ", ".join(float_literal(float(value)) for value in values.ravel())
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
