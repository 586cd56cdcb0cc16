"""The judge in an interpreter of its own: one that dies is a verdict like any other, and names what was done to it."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

from judge import Example, to_json

FOLDER = Path(__file__).parent
SECONDS = 180
"""After which an example counts as hanging; it may have to wait for a compiler."""


class IsolatedJudge:
    """Hands examples to another interpreter, and starts a new one when that has died or may be damaged.

    :param environment: variables of the other interpreter besides those of this one
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        paths = [str(FOLDER), str(FOLDER.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        # Memory that is freed or not yet written reads as rubbish, and not as what was there before.
        fresh = {"MALLOC_PERTURB_": "165"}
        self._environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **fresh, **(environment or {})}
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str] = queue.Queue()
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # as long as this object lives

    def __call__(self, example: Example) -> str | None:
        """Judge an example.

        :return: what is wrong with it; ``None`` when nothing is
        """
        process = self._process if self._process is not None and self._process.poll() is None else self._start()
        assert process.stdin is not None
        start = self._errors.seek(0, os.SEEK_END)
        process.stdin.write(to_json(example) + "\n")
        process.stdin.flush()
        try:
            answer = self._answers.get(timeout=SECONDS)
        except queue.Empty:
            self.close()
            return f"no answer within {SECONDS} s"
        if not answer:
            code = process.wait()
            self._process = None
            self._errors.seek(start)
            how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
            return f"the interpreter died of {how}:\n{self._errors.read()[:6000]}"
        wrong: str | None = json.loads(answer)
        if wrong is not None:
            self.close()  # memory may be damaged, and the next example must not pay for it
        return wrong

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-X", "faulthandler", str(FOLDER / "judge.py")]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=self._environment,
        )
        self._process, self._answers = process, queue.Queue()
        threading.Thread(target=self._read, args=(process, self._answers), daemon=True).start()
        return process

    @staticmethod
    def _read(process: subprocess.Popen[str], answers: queue.Queue[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            answers.put(line)
        answers.put("")

    def close(self) -> None:
        """End the other interpreter."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
