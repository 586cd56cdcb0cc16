"""What is read from files is not run."""

import contextlib
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from models import TIMEOUT
from rltools_checkpoints import write_checkpoints

from sb3_tinyrl import TinySAC
from sb3_tinyrl._native.errors import KernelBuildError
from sb3_tinyrl.tinyrl import load_checkpoint
from sb3_tinyrl.tinyrl.checkpoint_parser import parse_checkpoint
from sb3_tinyrl.tinyrl.checkpoint_scopes import CheckpointSyntaxError

FUZZ = Path(__file__).with_name("fuzz_checkpoints.py")


@pytest.mark.slow
def test_a_thousand_damaged_checkpoints(tmp_path):
    model = TinySAC("MlpPolicy", "Pendulum-v1", kernel="torch", policy_kwargs={"net_arch": [5]}, buffer_size=1)
    model.export_policy(tmp_path / "ours.h")
    write_checkpoints(tmp_path)
    command = [sys.executable, str(FUZZ), str(tmp_path), "1000", "0"]
    fuzzed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT)
    assert fuzzed.returncode == 0, fuzzed.stderr
    assert fuzzed.stdout.startswith("1000 mutations of 15 checkpoints")


NUMBERS = re.compile(r"(?<![\w.])(?:0X[\w.+-]+|\d[\w.]*)")
WORDS = re.compile(r"(?<![\w./<])[A-Za-z_]\w*|[<>{}();,=]")
OTHER_WORDS = (
    *("0", "-0", "1", "10", "010", "1.", "00.5", "1.5f", "1e3f", "0.1", "-0X1.8P-1f", "3e38f", "1e-46f", "123456789"),
    *("3", "5", "7", "true", "float", "double", "int", "long", "RELU", "TANH", "SIGMOID", "IDENTITY", "FAST_TANH"),
    *("constexpr", "TI", "TYPE", "T_TYPE", "CONFIG", "layer_0", "layer_1", "weights", "biases", "std", "policy"),
)


def readable_changes(texts: list[str], n: int, rng: random.Random) -> Iterator[str]:
    """Texts in which a word or two are others, and that are read nevertheless."""
    found = set(texts)
    while len(found) < len(texts) + n:
        text = rng.choice(texts)
        for _ in range(rng.choice([1, 1, 2])):
            word = rng.choice([*rng.choice([NUMBERS, WORDS]).finditer(text)])
            text = text[: word.start()] + rng.choice([*OTHER_WORDS, word[0] + word[0]]) + text[word.end() :]
        if text not in found:
            with contextlib.suppress(CheckpointSyntaxError):
                parse_checkpoint(text)
                found.add(text)
                yield text


@pytest.mark.slow
def test_a_compiler_reads_the_same_in_what_is_changed(tmp_path, monkeypatch):
    """Or refuses it: nothing is read that is another policy to a compiler."""
    monkeypatch.setenv("SB3_TINYRL_CACHE_DIR", str(tmp_path / "cache"))
    model = TinySAC("MlpPolicy", "Pendulum-v1", kernel="torch", policy_kwargs={"net_arch": [5]}, buffer_size=1)
    model.export_policy(tmp_path / "ours.h")
    write_checkpoints(tmp_path)
    texts = [(tmp_path / f"{kind}.h").read_text() for kind in ("ours", "dense", "double", "relu_sac", "ppo")]
    n_compiled = 0
    for text in readable_changes(texts, 15, random.Random(0)):
        read = parse_checkpoint(text)
        try:
            compiled = load_checkpoint(f"{text}\nnamespace beside {{}}\n", trust=True)
        except KernelBuildError:
            continue
        n_compiled += 1
        assert compiled.observation_dim == read.observation_dim
        for observation in np.random.default_rng(0).normal(size=(20, read.observation_dim), scale=3):
            np.testing.assert_allclose(read.evaluate(observation), compiled.evaluate(observation), 1e-5, 1e-5)
    assert n_compiled > 5


@pytest.mark.slow
def test_three_hundred_damaged_models(tmp_path):
    TinySAC("MlpPolicy", "Pendulum-v1", kernel="torch", policy_kwargs={"net_arch": [5]}, buffer_size=1).save(
        tmp_path / "m"
    )
    command = [sys.executable, str(FUZZ.with_name("fuzz_models.py")), str(tmp_path / "m.zip"), "300", "0"]
    fuzzed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT)
    assert fuzzed.returncode == 0, fuzzed.stdout + fuzzed.stderr
    assert fuzzed.stdout.startswith("300 damaged models")
    assert os.listdir(tmp_path) == ["m.zip"]


def test_code_in_a_checkpoint_is_not_run(tmp_path, monkeypatch):
    model = TinySAC("MlpPolicy", "Pendulum-v1", kernel="torch", policy_kwargs={"net_arch": [5]}, buffer_size=1)
    model.export_policy(tmp_path / "ours.h")
    marker = tmp_path / "executed"
    code = f'\n#include <fstream>\nstatic const bool hello = (std::ofstream("{marker}") << 1).good();\n'
    text = (tmp_path / "ours.h").read_text() + code
    with pytest.raises(
        ValueError, match=r"can't read the checkpoint: it has the line '#include <fstream>'.*trust=True"
    ):
        load_checkpoint(text)
    assert not marker.exists()
    load_checkpoint(text, trust=True)
    assert marker.exists()  # which is what trust means


def test_no_file_is_opened_and_no_process_started_by_reading(tmp_path):
    """As seen by the interpreter's own audit events."""
    model = TinySAC("MlpPolicy", "Pendulum-v1", kernel="torch", policy_kwargs={"net_arch": [5]}, buffer_size=1)
    model.export_policy(tmp_path / "ours.h")
    model.save(tmp_path / "model.zip")
    program = """
import sys
import gymnasium as gym
from sb3_tinyrl import TinySAC
from sb3_tinyrl.tinyrl import load_checkpoint

text, env = open(sys.argv[1]).read(), gym.make("Pendulum-v1")

def read():
    load_checkpoint(text).evaluate([0, 0, 0])
    TinySAC.load(sys.argv[2], env=env, weights_only=True).predict([0, 0, 0])

read()  # once for what is imported late
events = []
sys.addaudithook(lambda event, arguments: events.append((event, str(arguments[:1]))))
read()
harmful = ("open", "exec", "compile", "subprocess", "os", "ctypes", "pickle", "socket")
allowed = {("open", str((sys.argv[2],))), ("open", "('/proc/meminfo',)")}  # SB3 compares the buffer with the memory
bad = [event for event in events if event[0].split(".")[0] in harmful and event not in allowed]
sys.exit(str(bad) if bad else 0)
"""
    command = [sys.executable, "-c", program, str(tmp_path / "ours.h"), str(tmp_path / "model.zip")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, env={**os.environ, "CXX": "none"})
    assert done.returncode == 0, done.stderr
