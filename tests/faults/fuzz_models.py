"""Damages saved models at random and reads them: ``python fuzz_models.py MODEL.zip N SEED``.

Ends with status 0 when each of them was read, or refused with a ValueError, and no class was looked up for a pickle but
those that PyTorch's own ``weights_only`` allows.
"""

from __future__ import annotations

import io
import json
import random
import sys
import warnings
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import gymnasium as gym

from sb3_tinyrl import TinySAC

_VALUES: tuple[Any, ...] = (
    None,
    -1,
    0,
    10**30,
    1.5,
    "x",
    "os:system",
    [],
    [[]],
    {},
    {":serialized:": "gASVBQ=="},
    True,
)


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Change some bytes, or what the zip file holds."""
    if rng.random() < 0.4:
        return _with_other_bytes(content, rng)
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w") as new:
        victim = rng.choice(old.namelist())
        for name in old.namelist():
            member = old.read(name)
            if name == victim and rng.random() < 0.2:
                continue
            if name == "data" and (victim == name or rng.random() < 0.5):
                data = json.loads(member)
                for key in rng.sample(sorted(data), 2):
                    # Sizes make memory, not errors.
                    if key not in ("buffer_size", "batch_size", "policy_kwargs", "n_envs"):
                        data[key] = rng.choice(_VALUES)
                member = json.dumps(data).encode()
            elif name == victim:
                member = _with_other_bytes(member, rng)
            new.writestr(name, member)
    return stream.getvalue()


def _with_other_bytes(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 3, 30])):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed[: rng.randrange(len(changed))] if rng.random() < 0.2 else changed)


def main() -> int:
    """Damage and read; return the exit status."""
    content, n, seed = Path(sys.argv[1]).read_bytes(), int(sys.argv[2]), int(sys.argv[3])
    rng = random.Random(seed)
    outcomes: Counter[str] = Counter()
    env = gym.make("Pendulum-v1")
    warnings.simplefilter("ignore")
    sys.addaudithook(lambda event, _: outcomes.update(["unpickled"] * (event == "pickle.find_class")))
    for _ in range(n):
        try:
            TinySAC.load(io.BytesIO(damaged(content, rng)), env=env, weights_only=True)
            outcomes["read"] += 1
        except ValueError:
            outcomes["refused"] += 1
    print(f"{n} damaged models: {dict(outcomes)}")
    return 1 if outcomes["unpickled"] else 0


if __name__ == "__main__":
    sys.exit(main())
