"""Make the pictures of docs/examples.md anew, by the commands that stand above them there.

``python docs/gallery.py`` runs all of them, which takes some minutes; ``python docs/gallery.py cartpole`` one.
"""

import argparse
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "examples.md"
PICTURES = ROOT / "docs" / "_static" / "gallery"
N_COLORS = 64  # a plot has few, and its file is a third as large with no more than these


def commands(page: str) -> dict[str, list[str]]:
    """Return the command before each picture of the gallery, by the picture's name.

    :param page: the text in Markdown
    """
    found = re.findall(r"```sh\n([^\n]+)\n```\n\n!\[[^\]]*\]\(_static/gallery/(\w+)\.png\)", page)
    return {name: shlex.split(command) for command, name in found}


def make(name: str, command: list[str]) -> None:
    """Run a command in a folder of its own, and keep the picture that it leaves there.

    :raises ValueError: where it leaves none or several
    """
    with tempfile.TemporaryDirectory() as folder:
        python, script, *arguments = command
        if python != "python":
            raise ValueError(f"the command of {name} starts with {python!r}, expected 'python'")
        subprocess.run([sys.executable, script, *arguments, "--output", folder], cwd=ROOT, check=True)
        pictures = [*Path(folder).rglob("*.png")]
        if len(pictures) != 1:
            raise ValueError(f"the command of {name} has left {len(pictures)} pictures, expected 1")
        small = Path(folder) / "small.png"
        Image.open(pictures[0]).convert("RGB").quantize(N_COLORS, dither=Image.Dither.NONE).save(small, optimize=True)
        shutil.copyfile(small, PICTURES / f"{name}.png")


if __name__ == "__main__":
    known = commands(PAGE.read_text(encoding="utf-8"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"pictures, by default all: {', '.join(known)}")
    for chosen in parser.parse_args().names or known:
        if chosen not in known:
            parser.error(f"{chosen!r} is no picture of {PAGE.name}, expected one of {', '.join(known)}")
        make(chosen, known[chosen])
        print(f"Wrote {PICTURES / chosen}.png")
