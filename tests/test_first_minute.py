"""What a person sees who uses this for the first time on a machine, and for the second.

What `doctor` shows is looked at in tests/commands/test_doctor.py.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from compilers import wrapped
from models import TIMEOUT

if os.name == "nt":
    pytest.skip("needs a terminal of Unix", allow_module_level=True)
from terminal import run, screen

pytestmark = pytest.mark.slow  # each test compiles a kernel

LEARN = """\
import sys
from sb3_tinyrl import TinySAC
model = TinySAC("MlpPolicy", "Pendulum-v1", policy_kwargs=dict(net_arch=[8, 8]), batch_size=8, learning_starts=20,
                device="cpu", {arguments})
model.learn({learn})
"""
COMPILED = re.compile(
    r"Compiling, once on this machine \(took \d+\.\d s\): a kernel \(observation 3, action 1, layers 8-8, batch 8\)"
)
COMMAND = (sys.executable, "-m", "sb3_tinyrl")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("SB3_TINYRL_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def learn(arguments: str = "", learn: str = "30") -> list[str]:
    return [sys.executable, "-c", LEARN.format(arguments=arguments, learn=learn)]


def test_the_first_learn_says_what_it_waits_for_and_the_second_waits_for_nothing() -> None:
    status, written = run(learn())
    assert status == 0
    (line, end) = screen(written)
    assert COMPILED.fullmatch(line)
    assert end == ""
    assert len(re.findall(r"\rCompiling, once on this machine \(\d+ s\)", written)) >= 1, "the seconds are counted"
    assert run(learn()) == (0, "")


def test_verbose_says_what_trains_and_how_fast() -> None:
    status, written = run(learn("verbose=1, n_threads=1"))
    assert status == 0
    lines = screen(written)
    (begin,) = [line for line in lines if line.startswith("TinySAC trains")]
    assert re.fullmatch(
        r"TinySAC trains in a kernel \(simd, [\w-]+, 1 thread\), compiled now, once on this machine", begin
    )
    assert COMPILED.fullmatch(lines[lines.index(begin) + 1])
    assert re.fullmatch(r"TinySAC took 30 steps in [\d.]+ s, [\d,]+ steps/s", lines[-2])

    _, written = run(learn("verbose=1, n_threads=1"))
    assert re.search(r"TinySAC trains in a kernel \(simd, [\w-]+, 1 thread\), from the cache\r\n", written)
    assert "Compiling" not in written


def test_a_progress_bar_stays_whole() -> None:
    status, written = run([*learn(learn="30, progress_bar=True")])
    assert status == 0
    lines = [line for line in screen(written) if line]
    assert lines[0] == "Compiling, once on this machine: a kernel (observation 3, action 1, layers 8-8, batch 8)..."
    assert re.fullmatch(r"\.\.\. took \d+\.\d s", lines[1])
    assert len(lines) == 3
    assert "30/30" in lines[2]


def test_in_a_file_the_line_is_completed() -> None:
    for pattern in (r"Compiling, once on this machine: a kernel \(.*\)\.\.\. took \d+\.\d s\n", ""):
        finished = subprocess.run(learn(), capture_output=True, text=True, timeout=TIMEOUT)
        assert (finished.returncode, finished.stdout) == (0, "")
        assert re.fullmatch(pattern, finished.stderr)


def test_nothing_is_said_while_nothing_waits(cache: Path) -> None:
    """The kernel is compiled during the warm-up of one run, and serves the next."""
    program = learn(learn="1")
    program[-1] += (
        "import pathlib, time\n"
        f"while not [*pathlib.Path({str(cache)!r}).glob('*.so')]:\n    time.sleep(0.1)\n"
        "model.learn(30)\n"
    )
    process = subprocess.run(program, capture_output=True, text=True, timeout=TIMEOUT)
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")
    assert len([*cache.glob("*.so")]) == 1


def test_a_process_that_waits_for_another_says_so(cache: Path, tmp_path: Path) -> None:
    go_on = tmp_path / "go on"
    compiler = wrapped(tmp_path, f"while [ ! -e {shlex.quote(str(go_on))} ]; do sleep 0.1; done")
    environment = {**os.environ, "CXX": compiler}
    processes = [
        subprocess.Popen(learn(), env=environment, stderr=subprocess.PIPE, text=True, bufsize=1) for _ in range(2)
    ]
    begun = [process.stderr.read(len("Compiling, ")) for process in processes]  # type: ignore[union-attr]
    go_on.touch()
    ended = [process.communicate(timeout=TIMEOUT)[1] for process in processes]
    assert sorted(begun) == ["Compiling, ", "Waiting for"]
    assert all(re.search(r" took \d+\.\d s\n$", text) for text in ended)
    assert len([*cache.glob("*.so")]) == 1


def test_a_compiler_that_fails_ends_the_line(tmp_path: Path) -> None:
    status, written = run(learn("verbose=1"), CXX=wrapped(tmp_path, "sleep 3; exit 1"))
    assert status == 0
    lines = screen(written)
    assert any(
        re.match(r"Compiling, once on this machine \(stopped after \d+\.\d s\): a kernel ", line) for line in lines
    )
    assert "TinySAC trains through Stable-Baselines3's PyTorch update: the C++ compiler failed" in "\n".join(lines)
    assert re.fullmatch(r"TinySAC took 30 steps in [\d.]+ s, [\d,]+ steps/s", lines[-2])


def test_verbose_knows_at_once_that_there_is_no_compiler() -> None:
    status, written = run(learn("verbose=1"), CXX="/no/such/compiler")
    assert status == 0
    assert "\r\nTinySAC trains through Stable-Baselines3's PyTorch update: $CXX is '/no/such/compiler'" in written
    assert "trains in a kernel" not in written


def test_train_and_enjoy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = ("--env", "Pendulum-v1", "-n", 150, "--eval-freq", -1, "-params", "policy_kwargs:dict(net_arch=[8, 8])")
    status, written = run([*COMMAND, "train", *small, "batch_size:8", "n_threads:1"])
    assert status == 0
    lines = screen(written)
    (begin,) = [i for i, line in enumerate(lines) if line.startswith("TinySAC trains in a kernel (simd, ")]
    assert lines[begin].endswith(" 1 thread), compiled now, once on this machine")
    assert COMPILED.fullmatch(lines[begin + 1])
    assert re.fullmatch(r"TinySAC took 150 steps in [\d.]+ s, [\d,]+ steps/s", lines[begin + 2])
    assert lines[begin + 3 :] == ["Saving to logs/sac/Pendulum-v1_1", ""]

    status, written = run([*COMMAND, "enjoy", "--env", "Pendulum-v1", "-n", 200, "--no-render"])
    assert status == 0
    lines = screen(written)
    assert lines[:2] == ["Loading latest experiment, id=1", "Loading logs/sac/Pendulum-v1_1/Pendulum-v1.zip"]
    assert re.fullmatch(r"Episode Reward: -\d+\.\d+", lines[2])
    assert lines[3] == "Episode Length 200"


def test_a_new_environment_is_checked_trained_on_and_tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run([*COMMAND, "new-env", "crane"])[0] == 0

    status, written = run([*COMMAND, "check-env", "crane"])
    assert status == 0
    assert "Building with sanitizers, and running" in written
    assert screen(written)[0] == "crane: 5000 steps without an error"

    status, written = run([sys.executable, "crane/train.py"])
    assert status == 0
    environment, kernel, took, bar, reached, model, end = screen(written)
    assert re.match(r"Compiling, once on this machine \(took \d+\.\d s\): the environment in /", environment)
    assert re.fullmatch(r"Compiling, once on this machine: a kernel \(observation 2, action 1, .*\)\.\.\.", kernel)
    assert re.fullmatch(r"\.\.\. took \d+\.\d s", took)
    assert "5,000/5,000" in bar
    match = re.fullmatch(r"mean return (\d+) \+- \d+ over 10 episodes", reached)
    assert match, reached
    assert float(match[1]) > 170, "of 200; without training it is 40"
    assert (model, end) == ("model runs/crane/model.zip", "")

    status, written = run([sys.executable, "-W", "error", "-m", "pytest", "-q", "-n", 0, "-p", "no:cacheprovider"])
    assert status == 0, written
    assert re.match(r"4 passed in ", screen(written)[-2]), written


def test_check_env_tells_what_is_wrong_and_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run([*COMMAND, "new-env", "crane"])[0] == 0
    header = tmp_path / "crane" / "environment.h"
    text = header.read_text()
    old = "set(observation, 0, 1, state.velocity)"
    assert old in text
    header.write_text(text.replace(old, "set(observation, 0, 1 + TI(state.velocity > 0), state.velocity)"))
    status, written = run([*COMMAND, "check-env", "crane"])
    assert status == 1
    line = text[: text.index(old)].count("\n") + 1
    assert re.fullmatch(
        rf"error: {re.escape(str(header))}:{line}: observe\(\) .*index \(0, 2\) is beyond .*", screen(written)[0]
    )
