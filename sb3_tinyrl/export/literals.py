"""Numbers and names as C++ spells them."""

from __future__ import annotations

import re
import textwrap

import numpy as np

from sb3_tinyrl.export.description import Float32Array, Float64Array, require

_WIDTH = 120

_RESERVED = """
alignas alignof and and_eq asm atomic_cancel atomic_commit atomic_noexcept auto bitand bitor bool break case catch
char char16_t char32_t char8_t class co_await co_return co_yield compl concept const const_cast consteval constexpr
constinit continue decltype default delete do double dynamic_cast else enum explicit export extern false float for
friend goto if import inline int long module mutable namespace new noexcept not not_eq nullptr operator or or_eq
private protected public reflexpr register reinterpret_cast requires return short signed sizeof static
static_assert static_cast std struct switch synchronized template this thread_local throw true try typedef typeid
typename union unsigned using virtual void volatile wchar_t while xor xor_eq
"""


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

    :raises ExportError: for keywords, reserved names and anything else
    """
    require(
        re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) is not None and "__" not in name and name not in _RESERVED.split(),
        f"namespace={name!r} is not a name that C++ lets a program define",
        "pass letters, digits and single underscores, beginning with a letter, and no C++ keyword",
    )
