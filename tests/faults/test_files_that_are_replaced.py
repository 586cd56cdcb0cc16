"""An earlier file lives until the new one is complete, and nothing planted beside it is followed."""

import contextlib
import io
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from disks import mounted
from models import TIMEOUT, make
from small_model import as_root, run
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import CheckpointCallback, EvalCallback
from stable_baselines3.common.env_util import make_vec_env

from sb3_tinyrl import TinySAC, saving


@pytest.fixture(scope="module")
def model() -> TinySAC:
    return make(kernel="torch", buffer_size=10_000).learn(30)


WRITERS: dict[str, tuple[str, Callable[[Any, Path], Any]]] = {
    "model": ("file.zip", lambda model, path: model.save(path)),
    "replay buffer": ("file.pkl", lambda model, path: model.save_replay_buffer(path)),
    "C++": ("file.h", lambda model, path: model.export_cpp(path)),
    "RLtools": ("file.h", lambda model, path: model.export_policy(path)),
    "ONNX": ("file.onnx", lambda model, path: model.export_onnx(path)),
}
EVERY_WRITER = pytest.mark.parametrize("kind", WRITERS)


def check(path: Path) -> None:
    """The file is complete."""
    if path.suffix == ".zip":
        SAC.load(path)
    elif path.suffix == ".pkl":
        pickle.loads(path.read_bytes())
    elif path.suffix == ".h":
        assert path.read_text().rstrip().endswith("}")
    else:
        assert path.stat().st_size > 1000


def write_several(write: Callable[[Any, Path], Any], model: TinySAC, path: Path, n: int) -> None:
    for _ in range(n):
        write(model, path)


@EVERY_WRITER
def test_threads_write_to_one_file(kind, model, tmp_path):
    name, write = WRITERS[kind]
    errors: list[BaseException] = []

    def write_or_tell() -> None:
        try:
            write_several(write, model, tmp_path / name, 3)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write_or_tell) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert os.listdir(tmp_path) == [name]
    check(tmp_path / name)


@pytest.mark.parametrize("kind", ["model", "C++"])
def test_processes_write_to_one_file(kind, model, tmp_path):
    name, write = WRITERS[kind]
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=write_several, args=(write, model, tmp_path / name, 3)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(TIMEOUT)
    assert [process.exitcode for process in processes] == [0] * 3
    assert os.listdir(tmp_path) == [name]
    check(tmp_path / name)


@EVERY_WRITER
def test_no_link_is_followed_but_the_users_own(kind, model, tmp_path, monkeypatch):
    """Not even by an attacker who guessed the name of the partial file."""
    import secrets

    name, write = WRITERS[kind]
    victim = tmp_path / "victim"
    victim.write_text("precious")
    monkeypatch.setattr(secrets, "token_hex", lambda _: "guessed")
    (tmp_path / ".guessed.partial").symlink_to(victim)
    with pytest.raises(FileExistsError):
        write(model, tmp_path / name)
    monkeypatch.undo()
    assert victim.read_text() == "precious"
    (tmp_path / name).symlink_to("elsewhere")
    write(model, tmp_path / name)
    assert (tmp_path / name).is_symlink()
    assert (tmp_path / "elsewhere").stat().st_size > 100


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 kB."""
    with mounted(tmp_path / "small disk", "size=300k") as folder:
        yield folder


def fill(path: Path) -> None:
    with open(path, "wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(1000))


@EVERY_WRITER
def test_a_full_disk_leaves_the_earlier_file(kind, model, small_disk):
    name, write = WRITERS[kind]
    path = small_disk / name
    path.write_bytes(b"earlier")
    fill(small_disk / "filler")
    with pytest.raises(OSError, match=f"can't write .*{name}: No space left on device"):
        write(model, path)
    assert path.read_bytes() == b"earlier"
    assert {*os.listdir(small_disk)} == {"filler", name}


@as_root
def test_a_file_that_is_mounted_by_itself_is_written_to(model, tmp_path):
    """As one into a container: its name can't be given to another file."""
    (tmp_path / "outside.zip").touch()
    (tmp_path / "inside.zip").touch()
    mount = ["mount", "--bind", str(tmp_path / "outside.zip"), str(tmp_path / "inside.zip")]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file")
    try:
        model.save(tmp_path / "inside.zip")
        check(tmp_path / "outside.zip")
        assert {*os.listdir(tmp_path)} == {"inside.zip", "outside.zip"}
    finally:
        subprocess.run(["umount", str(tmp_path / "inside.zip")], check=True)


@as_root
@pytest.mark.parametrize("mode", [0o755, 0o1777])
def test_a_file_in_a_folder_of_another_users_is_written_to(mode, public_folder):
    """To which no file can be added, or in which none of another user's can be replaced."""
    folder = public_folder / oct(mode)
    folder.mkdir()
    folder.chmod(mode)
    for name in ("model.zip", "policy.h"):
        (folder / name).write_text("earlier")
        (folder / name).chmod(0o666)
    run(
        f"""
become_another_user()
model = make(kernel="torch")
model.save({str(folder / "model.zip")!r})
model.export_cpp({str(folder / "policy.h")!r})
""",
        None,
    )
    check(folder / "model.zip")
    check(folder / "policy.h")
    assert {*os.listdir(folder)} == {"model.zip", "policy.h"}


SAVES_FOREVER = """
import sys
from sb3_tinyrl import TinySAC

model = TinySAC.load(sys.argv[1])
print(flush=True)
while True:
    model.save(sys.argv[1])
"""


@pytest.mark.slow
def test_a_process_that_is_killed_while_it_saves_leaves_a_complete_file(model, tmp_path):
    path = tmp_path / "model.zip"
    model.save(path)
    for i in range(3):
        process = subprocess.Popen([sys.executable, "-c", SAVES_FOREVER, str(path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.05 + 0.037 * i)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        check(path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # writers that were interrupted
def test_interrupts_at_random_moments_of_saving_leave_the_earlier_file_or_the_new(model, tmp_path):
    """Ctrl-C, a hundred times in one process."""
    path, rng = tmp_path / "model.zip", random.Random(0)
    model.save(path)
    start = time.perf_counter()
    model.save(path)
    duration = time.perf_counter() - start
    interrupts: list[BaseException | None] = []
    for _ in range(100):
        timer = threading.Timer(rng.uniform(0, duration), signal.raise_signal, [signal.SIGINT])
        try:
            timer.start()
            for _ in range(3):
                model.save(path)
            timer.join()
        except (KeyboardInterrupt, RuntimeError) as error:  # PyTorch's own, when its writer is interrupted
            interrupts.append(error if isinstance(error, KeyboardInterrupt) else error.__context__)
        timer.join()
        check(path)
    assert len(interrupts) > 50
    assert {type(interrupt) for interrupt in interrupts} == {KeyboardInterrupt}
    assert len(os.listdir(tmp_path)) <= 2  # one more where Ctrl-C came while the partial file was removed


def test_sb3s_callbacks_profit(tmp_path, monkeypatch):
    """What they write goes through a partial file, and a failure in the middle leaves what was there."""
    model = make(kernel="torch")
    checkpoints = CheckpointCallback(10, str(tmp_path / "checkpoints"), save_replay_buffer=True)
    evaluations = EvalCallback(
        make_vec_env("Pendulum-v1"),
        n_eval_episodes=1,
        eval_freq=20,
        best_model_save_path=str(tmp_path / "best"),
        verbose=0,
    )
    model.learn(40, callback=[checkpoints, evaluations])
    with pytest.warns(UserWarning, match="new does not exist and is created"):
        model.save(tmp_path / "new" / "model")
    files = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert files == sorted(
        [f"rl_model_{n}_steps.zip" for n in (10, 20, 30, 40)]
        + [f"rl_model_replay_buffer_{n}_steps.pkl" for n in (10, 20, 30, 40)]
    )
    check(tmp_path / "best" / "best_model.zip")
    earlier = (tmp_path / "best" / "best_model.zip").read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("half way")

    monkeypatch.setattr(saving.json, "dumps", fail)  # which SB3 calls with the file open
    with pytest.raises(RuntimeError, match="half way"):
        model.save(tmp_path / "best" / "best_model")
    assert (tmp_path / "best" / "best_model.zip").read_bytes() == earlier


def test_names_are_those_that_sb3_chooses(model, tmp_path, recwarn):
    sb3 = SAC("MlpPolicy", "Pendulum-v1", buffer_size=10)
    for each, folder in ((model, tmp_path / "ours"), (sb3, tmp_path / "theirs")):
        (folder / "folder").mkdir(parents=True)
        (folder / "folder.zip").mkdir()
        for name in ("plain", "with.suffix", "with.zip", "v1.0/model", "folder", "new/model"):
            each.save(folder / name)
            each.save_replay_buffer(str(folder / name))
    ours, theirs = (
        sorted(str(path.relative_to(tmp_path / side)) for path in (tmp_path / side).rglob("*"))
        for side in ("ours", "theirs")
    )
    assert ours == theirs


def test_streams_are_written_to_as_sb3_does(model):
    stream, buffer = io.BytesIO(), io.BytesIO()
    model.save(stream)
    model.save_replay_buffer(buffer)
    assert not stream.closed
    stream.seek(0)
    SAC.load(stream)
    with pytest.raises(TypeError, match="invalid type"):
        model.save(5)
