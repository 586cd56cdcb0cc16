"""Starting a peer's process and asking it for measurements."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from sb3_tinyrl.bench.settings import Settings

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_OTHER_REVISION = Path(__file__).with_name("other_revision.py")
_SECONDS_TO_END = 10
_N_LOG_LINES = 15


class PeerError(Exception):
    """A peer can't be measured."""


class PeerProcess:
    """A peer in a process of its own, which ends with the context.

    :param peer: its name
    :param settings: what is measured
    :param folder: for its log and temporary files; made here
    :param kernels: where compiled kernels are kept; by default in ``folder``, so that compiling is cold
    :param checkout: of the TinySAC that it uses; by default this one
    :param first_core: of those that it may use, counted among those that this process may use
    """

    def __init__(
        self,
        peer: str,
        settings: Settings,
        folder: Path,
        kernels: Path | None = None,
        checkout: Path | None = None,
        first_core: int = 0,
    ) -> None:
        folder.mkdir()
        self._log_path = folder / "log.txt"
        worker = ["-m", "sb3_tinyrl.bench.worker"] if checkout is None else [str(_OTHER_REVISION)]
        paths = [path for path in (str(checkout or ""), os.environ.get("PYTHONPATH")) if path]
        with open(self._log_path, "w") as log:
            self._process = subprocess.Popen(
                [sys.executable, *worker, peer, settings.to_json(), str(first_core)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={
                    **os.environ,
                    **dict.fromkeys(_THREAD_VARIABLES, str(settings.threads)),
                    "PYTHONPATH": os.pathsep.join(paths),
                    "JAX_PLATFORMS": "cpu",
                    "SB3_TINYRL_CACHE_DIR": str(kernels or folder / "kernels"),
                    "TMPDIR": str(folder),
                },
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout

    def __enter__(self) -> PeerProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self._requests.close()
            self._process.wait(_SECONDS_TO_END)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._answers.close()

    def ask(self, measurement: str) -> Any:
        """Return the result of a method of the peer.

        :raises PeerError: when it fails, or the process ends
        """
        try:
            print(measurement, file=self._requests, flush=True)
            answer = json.loads(self._answers.readline())
        except (OSError, ValueError):  # a broken pipe, or nothing to read
            status = self._process.wait()
            log = "\n".join(self._log_path.read_text(errors="replace").splitlines()[-_N_LOG_LINES:])
            raise PeerError(f"its process ended with status {status}. It said last:\n{log}") from None
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer["value"]
