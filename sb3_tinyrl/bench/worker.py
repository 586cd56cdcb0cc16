"""The process in which one peer lives: a measurement's name on each line of its input, a result on each of its output.

Run as ``python -m sb3_tinyrl.bench.worker <peer> <settings as JSON> <first core>``; the environment alone, without a
SAC, lives in one like it, under the name ``environment``.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

from sb3_tinyrl.bench.peers.revision import AGAINST, Revision
from sb3_tinyrl.bench.raw_env import RAW_ENVIRONMENT, RawEnvironment
from sb3_tinyrl.bench.settings import Settings


def main() -> None:
    """Serve until the input ends."""
    name, settings_json, first_core = sys.argv[1:]
    settings = Settings.from_json(settings_json)
    # What libraries print, from C++ too, goes where errors go: the output is for results.
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if sys.platform == "linux":
        # The one limit that every library respects.
        cpus = sorted(os.sched_getaffinity(0))[int(first_core) :]
        os.sched_setaffinity(0, cpus[: settings.threads])
    with suppress(KeyboardInterrupt):  # from the terminal, to all processes of the benchmark at once
        _serve(_measured(name)(settings), results)


def _measured(name: str) -> Callable[[Settings], object]:
    if name == RAW_ENVIRONMENT:
        return RawEnvironment
    if name == AGAINST:
        return Revision
    # The peers in it need this revision's TinySAC, which that of AGAINST is not.
    from sb3_tinyrl.bench.peers.registry import PEERS

    return PEERS[name]


def _serve(measured: object, results: TextIO) -> None:
    for line in sys.stdin:
        try:
            result = {"value": getattr(measured, line.strip())()}
        except Exception as error:
            traceback.print_exc()
            result = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(result), file=results, flush=True)


if __name__ == "__main__":
    main()
