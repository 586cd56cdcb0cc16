"""Damages saved models at random and reads them: ``python fuzz_models.py MODEL.zip N SEED``.

Ends with status 0 when each of them was read, or refused with a ValueError, in a minute and 4 GiB of address space,
and no class was looked up for a pickle but those that PyTorch's own ``weights_only`` allows.
"""

from __future__ import annotations

import io
import json
import random
import resource
import sys
import time
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
_POLICY_KWARGS = (
    {"net_arch": [30_000, 30_000]},
    {"net_arch": [1] * 10_000},
    {"net_arch": {"pi": [10**30], "qf": []}},
    {"n_critics": 10**7},
    {"activation_fn": "os.system"},
    {"features_extractor_class": "os:system", "optimizer_class": "os.system"},
)
_MOST_MEMORY = 4 << 30  # of a process that has imported PyTorch
_LONGEST = 60.0


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
                    data[key] = rng.choice(_VALUES)
                if rng.random() < 0.2:
                    data["policy_kwargs"] = rng.choice(_POLICY_KWARGS)
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
    slowest = 0.0
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    for _ in range(n):
        start = time.perf_counter()
        try:
            TinySAC.load(io.BytesIO(damaged(content, rng)), env=env, weights_only=True)
            outcomes["read"] += 1
        except ValueError:
            outcomes["refused"] += 1
        slowest = max(slowest, time.perf_counter() - start)
    print(f"{n} damaged models: {dict(outcomes)}, slowest {slowest:.1f} s")
    return 1 if outcomes["unpickled"] or slowest > _LONGEST else 0


if __name__ == "__main__":
    sys.exit(main())
