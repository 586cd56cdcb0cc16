"""The process in which one peer lives: a measurement's name on each line of its input, a result on each of its output.

Run as ``python -m sb3_tinyrl.bench.worker <peer> <settings as JSON> <first core>``.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from contextlib import suppress
from typing import TextIO

from sb3_tinyrl.bench.peers import PEERS
from sb3_tinyrl.bench.peers.base import Peer
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
        _serve(PEERS[name](settings), results)


def _serve(peer: Peer, results: TextIO) -> None:
    for line in sys.stdin:
        try:
            result = {"value": getattr(peer, line.strip())()}
        except Exception as error:
            traceback.print_exc()
            result = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(result), file=results, flush=True)


if __name__ == "__main__":
    main()
