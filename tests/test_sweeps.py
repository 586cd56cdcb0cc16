"""Sweeps of many processes: with real ones, which are killed in the middle."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState
from stable_baselines3 import SAC

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

EXAMPLES = Path(__file__).parents[1] / "examples"
TIMEOUT = 240  # seconds until a test gives up on what it has started
MEMORY = {"object_store_memory": 100 * 2**20}
# So wide that a trial lasts some seconds: its machine is lost before it ends.
RAY_ARGUMENTS = ("--net-arch", 256, "--trials", 3, "--timesteps", 6000, "--rungs", 6)
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


@contextmanager
def started(name: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """An example that runs in a process of its own; it is ended with the context."""
    command = [sys.executable, "-u", str(EXAMPLES / name), *map(str, arguments)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with what it has started
        process.communicate()


class Study:
    """One that processes of ``optuna_distributed.py`` are at.

    :param folder: for all of its files
    :param has_database: whether it is kept in a database, and not in a journal
    """

    def __init__(self, folder: Path, has_database: bool) -> None:
        self.output = folder / "sweep"
        self.url = f"sqlite:///{folder / 'study.db'}" if has_database else None

    def started(self, *arguments: object) -> AbstractContextManager[subprocess.Popen[str]]:
        ours = ["--output", self.output, "--net-arch", 16, "--timesteps", 8000, "--rungs", 8]
        ours += ["--storage", self.url] if self.url else []
        return started("optuna_distributed.py", *ours, *arguments)

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        path = str(self.output / "journal.log")
        storage = self.url or JournalStorage(JournalFileBackend(path, lock_obj=JournalFileOpenLock(path)))
        return optuna.load_study(study_name="Pendulum-v1", storage=storage).get_trials(states=states)

    def stop_a_worker(self) -> tuple[int, int]:
        """Return its process and the number of its trial, which has a checkpoint; it holds no lock of the storage."""
        found: list[tuple[int, int]] = []

        def stopped() -> bool:
            if not (self.output / "0" / "buffer.pkl").exists():
                return False
            for trial in self.trials(TrialState.RUNNING):
                if trial.intermediate_values:
                    worker = int(trial.user_attrs["worker"].split()[1])
                    os.kill(worker, signal.SIGSTOP)
                    if self.is_running(trial.number) and not (self.output / "journal.log.lock").exists():
                        found.append((worker, trial.number))
                        return True
                    os.kill(worker, signal.SIGCONT)
            return False

        wait_for(stopped)
        return found[0]

    def is_running(self, number: int) -> bool:
        """Whether a trial is; False as well where a worker that was stopped holds the database's lock."""
        try:
            return number in (trial.number for trial in self.trials(TrialState.RUNNING))
        except optuna.exceptions.StorageInternalError:
            return False

    def require_heir(self, lost: int, text: str) -> None:
        """One other trial has gone on with the lost one, from its checkpoint."""
        assert [trial.number for trial in self.trials(TrialState.FAIL)] == [lost]
        assert not self.trials(TrialState.RUNNING, TrialState.WAITING)
        (heir,) = (trial for trial in self.trials(*FINISHED) if trial.user_attrs.get("continues") == lost)
        assert heir.params == self.trials(TrialState.FAIL)[0].params
        step = re.search(rf"trial {heir.number} goes on with trial {lost} from step (\d+)", text)
        assert step, text
        assert 1000 <= int(step[1]) <= SAC.load(self.output / str(heir.number) / "model.zip").num_timesteps


@pytest.mark.slow
@pytest.mark.parametrize("has_database", [False, True])
def test_optuna_survives_a_killed_worker(has_database: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The other worker completes the study; the next one goes on with the trial that the killed one was at."""
    kernels = tmp_path / "kernels"
    monkeypatch.setenv("SB3_TINYRL_CACHE_DIR", str(kernels))
    study = Study(tmp_path, has_database)
    with study.started("--trials", 5, "--workers", 2) as process:
        worker, lost = study.stop_a_worker()
        os.kill(worker, signal.SIGKILL)
        text, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, text
    assert f"worker {worker} ended with status -9" in text
    # The lost trial may have been the best of them, and have had all others pruned.
    assert ("best return" if study.trials(TrialState.COMPLETE) else "all of 5 trials were pruned") in text
    assert len(study.trials(*FINISHED)) == 5
    assert [trial.number for trial in study.trials(TrialState.RUNNING)] == [lost]

    with study.started("--trials", 6, "--patience", 0) as process:
        text, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, text
    study.require_heir(lost, text)
    assert len(study.trials(*FINISHED)) == 6
    assert len([*kernels.glob("*.so")]) == 1


@pytest.mark.slow
def test_optuna_worker_that_is_interrupted_gives_its_trial_back(tmp_path: Path):
    """At once: no other worker waits until it counts as lost."""
    study = Study(tmp_path, has_database=False)
    with study.started("--trials", 5) as process:
        worker, lost = study.stop_a_worker()
        os.kill(worker, signal.SIGINT)
        os.kill(worker, signal.SIGCONT)
        text, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == -signal.SIGINT, text
    (waiting,) = study.trials(TrialState.WAITING)
    assert waiting.user_attrs == {"continues": lost}

    with study.started("--trials", len(study.trials(*FINISHED)) + 1) as process:
        text, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, text
    study.require_heir(lost, text)


@pytest.mark.slow
def test_optuna_worker_that_was_taken_for_lost_goes_on_with_another_trial(tmp_path: Path):
    study = Study(tmp_path, has_database=False)
    with study.started("--trials", 5) as slow:
        worker, lost = study.stop_a_worker()
        with study.started("--trials", 2, "--patience", 0) as quick:
            text, _ = quick.communicate(timeout=TIMEOUT)
        assert quick.returncode == 0, text
        study.require_heir(lost, text)
        os.kill(worker, signal.SIGCONT)
        text, _ = slow.communicate(timeout=TIMEOUT)
    assert slow.returncode == 0, text
    assert f"trial {lost} was taken for lost" in text
    assert len(study.trials(*FINISHED)) == 5


def results(output: Path) -> list[list[dict[str, Any]]]:
    """What each of Ray's trials has reported, from rung to rung."""
    lines = [path.read_text().rpartition("\n")[0].splitlines() for path in output.glob("*/result.json")]
    return [[json.loads(line) for line in trial] for trial in lines]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["Cluster"]:
    """One of Ray, whose head takes no work; each of its nodes is processes on this machine."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("SB3_TINYRL_CACHE_DIR", str(tmp_path / "kernels"))  # the nodes inherit it
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_health_check_period_ms", "500")
    # Not below tmp_path: the names of sockets may not be long.
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        head = {"num_cpus": 0, "temp_dir": folder, "include_dashboard": False, **MEMORY}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            yield cluster
        finally:
            cluster.shutdown()


@pytest.mark.slow
def test_ray_tune_survives_the_loss_of_a_machine(cluster: "Cluster", tmp_path: Path):
    """Of two nodes with a core each."""
    output = tmp_path / "sweep"
    nodes = [cluster.add_node(num_cpus=1, **MEMORY) for _ in range(2)]
    with started("ray_tune_sweep.py", "--address", cluster.address, "--output", output, *RAY_ARGUMENTS) as process:
        wait_for(lambda: any(len(rungs) > 1 for rungs in results(output)))
        worker = next(rungs for rungs in results(output) if len(rungs) > 1)[-1]["process"]
        parent = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
        (node,) = (node for node in nodes if node.all_processes["raylet"][0].process.pid == parent)
        cluster.remove_node(node, allow_graceful=False)
        text, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, text
    assert re.search(r"trial \w+ goes on from step [1-5]\d{3}\n", text), text
    returns = [[rung["mean_return"] for rung in rungs] for rungs in results(output)]
    assert len(returns) == 3
    assert max(map(len, returns)) == 6
    for curve in returns:  # what ended early was worse at its last rung than what did not
        assert len(curve) == 6 or curve[-1] < max(other[len(curve) - 1] for other in returns if len(other) > len(curve))
    assert len([*(tmp_path / "kernels").glob("*.so")]) == 1
    assert 6000 <= max(SAC.load(path).num_timesteps for path in output.glob("*/checkpoint_*/model.zip")) < 6100


@pytest.mark.slow
def test_an_interrupted_sweep_of_ray_goes_on_with_the_same_command(cluster: "Cluster", tmp_path: Path):
    output = tmp_path / "sweep"
    cluster.add_node(num_cpus=1, **MEMORY)
    command = ("ray_tune_sweep.py", "--address", cluster.address, "--output", output, *RAY_ARGUMENTS)
    with started(*command) as process:
        wait_for(lambda: any(len(rungs) > 1 for rungs in results(output)))
        os.kill(process.pid, signal.SIGINT)
        text, _ = process.communicate(timeout=TIMEOUT)
    assert any(len(rungs) < 6 for rungs in results(output)) or len(results(output)) < 3, text
    with started(*command) as process:
        text, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, text
    assert re.search(r"trial \w+ goes on from step [1-5]\d{3}\n", text), text
    assert len(re.findall(r"^return ", text, re.MULTILINE)) == 3
    assert max(map(len, results(output))) == 6


def blocks(language: str) -> list[str]:
    """The guide's."""
    guide = EXAMPLES.parent / "docs" / "guide" / "cluster.md"
    return re.findall(rf"^```{language}\n(.*?)^```", guide.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_array_of_the_guide_trains_with_the_kernel_that_was_built_ahead(tmp_path: Path):
    (build,) = (block for block in blocks("sh") if "cache build" in block)
    (batch,) = (block for block in blocks("sh") if "#SBATCH" in block)
    (seed,) = (block for block in blocks("python") if "SLURM" in block)
    assert "learn(20_000)" in seed
    (tmp_path / "one_seed.py").write_text(seed.replace("20_000", "120"))
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, arguments in (("python", ""), ("sb3-tinyrl", "-m sb3_tinyrl")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        (programs / name).chmod(0o755)
    path = {"PATH": os.pathsep.join([str(programs), os.environ["PATH"]])}

    def bash(script: str, **variables: str) -> None:
        environment = os.environ | path | variables
        subprocess.run(["bash", "-euc", script], cwd=tmp_path, env=environment, check=True, timeout=TIMEOUT)

    bash(build)
    (kernel,) = (tmp_path / "kernels").glob("*.so")
    built = kernel.stat().st_mtime_ns
    for task in ("0", "7"):
        bash(batch, SLURM_ARRAY_TASK_ID=task)
        assert SAC.load(tmp_path / "runs" / f"seed_{task}").seed == int(task)
    assert [*(tmp_path / "kernels").glob("*.so")] == [kernel]
    assert kernel.stat().st_mtime_ns == built


@pytest.mark.slow
def test_the_simulators_of_the_guide_train(tmp_path: Path):
    (program,) = (block for block in blocks("python") if "SubprocVecEnv" in block)
    assert "learn(2_000)" in program
    path = tmp_path / "simulators.py"
    path.write_text(program.replace("2_000", "200") + "    print(model.num_timesteps, model.kernel_status())\n")
    finished = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=TIMEOUT)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith("200 ")
    assert "kernel" in finished.stdout
