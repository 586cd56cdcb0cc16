"""What a compiler has read, as it writes it down for make."""

from __future__ import annotations

import re

_NAME = re.compile(r"(?:\\ |\\#|\S)+")


def prerequisites(rule: str) -> list[str]:
    r"""Return the names after the colon of a rule that GCC or Clang wrote (``-MD``, ``-MMD``).

    :param rule: such as ``kernel.so: a.cpp my\ folder/b.h``
    """
    names = _NAME.findall(rule.partition(": ")[2].replace("\\\n", " "))
    return [name.replace("\\ ", " ").replace("\\#", "#").replace("$$", "$") for name in names]
