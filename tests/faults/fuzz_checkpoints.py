"""Mutates checkpoints at random and reads them: ``python fuzz_checkpoints.py FOLDER N_MUTATIONS SEED``.

Ends with status 0 when each of them was read or refused with the error that is promised, and nothing else happened:
the folder has the checkpoints, and must not hold a file named ``executed`` afterwards.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

from sb3_tinyrl.tinyrl import load_checkpoint

_LONGEST = 5.0
_REFUSALS = ("can't read the checkpoint", "is no checkpoint", "has no `module`")
_WORDS = """
{ } ( ) [ ] < > ; , :: = # \\ ' /* */ // - . 0 1 9999999999 1e999f -0X1.8P+5f 0x nan inf R"( )" ??/ <% %> %:
namespace using template typename constexpr static struct memory float double layer_0 layer_1 module TYPE
"""
_SCRAPS = [*_WORDS.split(), '"', "\n", "\0", "\ufeff", "\u0663", "\u00e9"]


def mutated(text: str, others: list[str], rng: random.Random) -> str:
    """Change a text in one to four places."""
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice([0, 1, 1, 5, 50, 1000]))
        kind = rng.randrange(8)
        if kind == 0:
            text = text[:start] + text[end:]
        elif kind == 1:
            text = text[:start] + rng.choice(_SCRAPS) + text[start:]
        elif kind == 2:
            text = text[:start] + rng.choice(_SCRAPS) + text[end:]
        elif kind == 3:
            text = text[:end] + text[start:]
        elif kind == 4:
            text = text[:start]
        elif kind == 5:
            other = rng.choice(others)
            there = rng.randrange(len(other))
            text = text[:start] + other[there : there + rng.choice([10, 100, 1000])] + text[end:]
        elif kind == 6:  # a word is another
            words = text.split(" ")
            words[rng.randrange(len(words))] = rng.choice(words)
            text = " ".join(words)
        else:  # code that a compiler would run
            code = '\nstatic const int x = (std::ofstream("executed"), 0);\n'
            text = text[:start] + "#include <fstream>\n" * rng.randint(0, 1) + code + text[start:]
    return text


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("a process was started")


def main() -> int:
    """Mutate and read; return the exit status."""
    folder, n_mutations, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    texts = [path.read_text() for path in sorted(folder.glob("*.h"))]
    assert texts
    subprocess.Popen.__init__ = refuse  # type: ignore[method-assign,assignment]  # no compiler, nor anything else
    rng = random.Random(seed)
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    for i in range(n_mutations):
        text = mutated(rng.choice(texts), texts, rng)
        start = time.perf_counter()
        try:
            checkpoint = load_checkpoint(text)
        except ValueError as error:
            said = str(error)
            if not any(words in said for words in _REFUSALS) or len(said) > 1000:
                raise
            outcomes["refused"] += 1
        else:
            outputs = checkpoint.evaluate(np.zeros(checkpoint.observation_dim))
            assert outputs.ndim == 1
            outcomes["read"] += 1
        slowest = max(slowest, time.perf_counter() - start)
        assert slowest < _LONGEST, f"mutation {i} took {slowest:.1f} s"
    assert not Path("executed").exists()
    print(f"{n_mutations} mutations of {len(texts)} checkpoints: {dict(outcomes)}, slowest {slowest:.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
