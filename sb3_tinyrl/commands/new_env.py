"""``sb3-tinyrl new-env``: a folder with an environment in C++ that runs, for its author to make another of."""

from __future__ import annotations

import argparse
import shlex
import sys
from functools import partial
from pathlib import Path
from string import Template
from typing import Any

from sb3_tinyrl.files import atomic_folder
from sb3_tinyrl.reserved_names import reason_against

_TEMPLATES = Path(__file__).with_name("environment_template")
#: What each template is written to. Tests of several environments run together, so each file has a name of its own.
_FILES = {
    "environment.h": "environment.h",
    "train.py": "train.py",
    "test_environment.py": "test_$name.py",
    "README.md": "README.md",
}


def create_environment(name: str, folder: Path) -> list[Path]:
    """Write a new folder with an environment, a script that trains on it, tests, and what to do next.

    :param name: of the environment's C++ namespace in ``my``; ``crane`` is registered as ``my/Crane-v0``
    :param folder: must not exist; those above it are created where they are missing
    :return: the files
    :raises OSError: naming the folder, when it exists or can't be written; nothing is left then
    """
    words = {"name": name, "env_id": f"my/{_capitalised(name)}-v0"}
    written = []
    with atomic_folder(folder) as partial_folder:
        for template, pattern in _FILES.items():
            text = Template((_TEMPLATES / template).read_text(encoding="utf-8")).substitute(words)
            file_name = Template(pattern).substitute(words)
            (partial_folder / file_name).write_text(text, encoding="utf-8", newline="\n")
            written.append(folder / file_name)
    return written


def _capitalised(name: str) -> str:
    return "".join(word[0].upper() + word[1:] for word in name.split("_") if word)


def add_command(commands: Any) -> None:
    """Add ``new-env`` to the commands of ``sb3-tinyrl``.

    :param commands: what ``ArgumentParser.add_subparsers`` returned
    """
    parser = commands.add_parser(
        "new-env",
        help="write a new environment in C++, to start from",
        description="Write a new folder with an environment in C++ that runs and is learned, a script that trains on "
        "it, tests, and a README with the next steps. A folder that exists is never written to.",
    )
    parser.add_argument("name", type=_name, metavar="NAME", help="of the environment, such as crane or double_crane")
    parser.add_argument("folder", type=Path, nargs="?", metavar="FOLDER", help="to create (default: NAME)")
    parser.set_defaults(run=partial(_run, parser.prog.rpartition(" ")[0]))


def _name(text: str) -> str:
    # Within `my::rl_tools`, the name of RLtools' own namespace would mean that one.
    reason = "it is that of RLtools" if text == "rl_tools" else reason_against(text)
    if reason:
        raise argparse.ArgumentTypeError(
            f"{text!r} can't be the name of a C++ namespace: {reason}; "
            "choose letters, digits and single underscores, beginning with a letter, such as double_crane"
        )
    return text


def _run(program: str, arguments: argparse.Namespace) -> int:
    """Write and print; return the exit status."""
    folder = arguments.folder or Path(arguments.name)
    try:
        files = create_environment(arguments.name, folder)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for path in files:
        print(f"wrote {path.as_posix()}")
    place, script = (shlex.quote(path.as_posix()) for path in (folder, folder / "train.py"))
    print(f"\nIt runs as it is:\n  {program} check-env {place}\n  python {script}")
    return 0
