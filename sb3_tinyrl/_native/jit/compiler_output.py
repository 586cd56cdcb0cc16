"""What a compiler writes down: its errors, of which the first tells most, and which files it has read."""

from __future__ import annotations

import os
import re
from pathlib import Path

_ERROR = re.compile(r"\berror: |undefined reference|cannot find -l|out of memory|virtual memory exhausted")
# What GCC, Clang, and Clang before version 16 say.
_CHECK = re.compile(
    r"rl_tools/rl/environment_wrappers/complete/.*error: static[_ ]assert(?:ion)? failed"
    r"(?: due to requirement '.*?')?:? \"?(.+?)\"?$"
)
_LOCATION = re.compile(r"^(?:In file included from |\s+from |\s+inlined from .*' at )?(.+?:\d+)(?::\d+)?[:,]")
_LONGEST_LINE = 500
_NAME = re.compile(r"(?:\\ |\\#|\S)+")


def first_error(output: str, folder: Path | None) -> str:
    """Return the first error, or what our own checks found missing.

    :param output: of GCC or Clang, in English
    :param folder: where the user's own sources lie; an error in them comes first, and one that they lead to elsewhere
        is told with the line of theirs
    """
    lines = [line for line in output.splitlines() if line.strip()] or ["no error message"]
    errors = [line for line in lines if _ERROR.search(line)]
    if folder is not None:
        if checks := [match[1] for line in errors if (match := _CHECK.search(line))]:
            return f"{folder / 'environment.h'}: {'; '.join(dict.fromkeys(checks))}"
        prefix = str(folder) + os.sep
        if own := [line for line in errors if line.startswith(prefix)]:
            return own[0][:_LONGEST_LINE]
        leading = [match[1] for line in lines if (match := _LOCATION.match(line)) and match[1].startswith(prefix)]
        if errors and leading:
            return f"{leading[0]}: leads to {errors[0]}"[:_LONGEST_LINE]
    return (errors or lines)[0][:_LONGEST_LINE]


def prerequisites(rule: str) -> list[str]:
    r"""Return the names after the colon of a rule that GCC or Clang wrote (``-MD``, ``-MMD``).

    :param rule: such as ``kernel.so: a.cpp my\ folder/b.h``
    """
    names = _NAME.findall(rule.partition(": ")[2].replace("\\\n", " "))
    return [name.replace("\\ ", " ").replace("\\#", "#").replace("$$", "$") for name in names]
