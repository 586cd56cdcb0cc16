"""RL Baselines3 Zoo with TinySAC: each of its settings for SAC, and everything that its scripts offer."""

import base64
import csv
import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from models import TIMEOUT
from stable_baselines3 import SAC
from stable_baselines3.common.save_util import load_from_pkl, load_from_zip_file
from zoo import ENJOY, PUSH_TO_HUB, TRAIN, assert_native, run

from sb3_tinyrl.__main__ import main

_zoo = find_spec("rl_zoo3")
assert _zoo is not None
assert _zoo.origin is not None
HYPERPARAMETERS = yaml.safe_load((Path(_zoo.origin).parent / "hyperparams" / "sac.yml").read_text())

# Every entry of the zoo's sac.yml runs in its environment, or in the nearest one that PyPI has for this Python.
# PyBullet's environments have equals of the same name in MuJoCo.
ENVIRONMENTS = {
    "default": "Pusher-v5",
    "MountainCarContinuous-v0": "MountainCarContinuous-v0",
    "Pendulum-v1": "Pendulum-v1",
    "LunarLanderContinuous-v3": "LunarLanderContinuous-v3",
    "BipedalWalker-v3": "BipedalWalker-v3",
    "BipedalWalkerHardcore-v3": "BipedalWalkerHardcore-v3",
    "HalfCheetahBulletEnv-v0": "HalfCheetah-v5",
    "AntBulletEnv-v0": "Ant-v5",
    "HopperBulletEnv-v0": "Hopper-v5",
    "Walker2DBulletEnv-v0": "Walker2d-v5",
    "ReacherBulletEnv-v0": "Reacher-v5",
    "HumanoidBulletEnv-v0": "Humanoid-v5",
    "InvertedDoublePendulumBulletEnv-v0": "InvertedDoublePendulum-v5",
    "InvertedPendulumSwingupBulletEnv-v0": "InvertedPendulum-v5",
    "HalfCheetah-v4": "HalfCheetah-v4",
    "Ant-v4": "Ant-v4",
    "Hopper-v4": "Hopper-v4",
    "Walker2d-v4": "Walker2d-v4",
    "Humanoid-v4": "Humanoid-v4",
    "Swimmer-v4": "Swimmer-v4",
    # gymnasium-robotics 1.4 makes none of its Fetch robots with MuJoCo 4; this one has goals, too.
    "FetchReach-v1": "PointMaze_UMaze-v3",
    # The settings for a robot of the zoo's authors, trained after each episode, where episodes are short.
    "NeckEnvRelative-v2": "InvertedPendulum-v5",
}
SKIPPED = {
    "MinitaurBulletEnv-v0": "a quadruped of PyBullet without an equal in MuJoCo",
    "MinitaurBulletDuckEnv-v0": "a quadruped of PyBullet without an equal in MuJoCo",
    "CarRacing-v3": "needs a trained autoencoder and its wrapper, which come from a repository, not from PyPI",
    "donkey-generated-track-v0": "needs a simulator, and names a module that Gymnasium 1 does not have",
}
QUICK = {"Pendulum-v1"}


def data(path: Path) -> dict[str, Any]:
    """The attributes of a saved model."""
    attributes, _, _ = load_from_zip_file(path)
    assert attributes is not None
    return attributes


# --- the zoo's settings ---


def test_every_entry_of_the_zoo_has_an_environment_or_a_reason() -> None:
    assert HYPERPARAMETERS.keys() == ENVIRONMENTS.keys() | SKIPPED.keys()
    assert not ENVIRONMENTS.keys() & SKIPPED.keys()


def case(entry: str) -> Any:
    if entry in SKIPPED:
        return pytest.param(entry, marks=pytest.mark.skip(reason=SKIPPED[entry]))
    return entry if entry in QUICK else pytest.param(entry, marks=pytest.mark.slow)


@pytest.mark.parametrize("entry", [case(entry) for entry in HYPERPARAMETERS])
def test_the_zoos_settings_train_and_replay(entry: str, tmp_path: Path) -> None:
    environment = ENVIRONMENTS[entry]
    (tmp_path / "settings.yml").write_text(yaml.dump({environment: HYPERPARAMETERS[entry]}))
    common = ["--algo", "sac", "--env", environment, "-f", "logs", "--gym-packages", "gymnasium_robotics"]
    common += ["--num-threads", 1]
    # 64 is the largest train_freq of all entries; HER can't sample before an episode of 300 steps is complete.
    n_steps, learning_starts = (310, 300) if "replay_buffer_class" in HYPERPARAMETERS[entry] else (128, 100)

    budget = ["-n", n_steps, "-params", f"learning_starts:{learning_starts}", "buffer_size:1000", "n_threads:1"]
    output = run(TRAIN, *common, *budget, "--conf-file", "settings.yml", "--eval-freq", -1, folder=tmp_path)
    assert_native(output)
    saved = data(tmp_path / "logs" / "sac" / f"{environment}_1" / f"{environment}.zip")
    assert saved["num_timesteps"] >= n_steps
    assert saved["_n_updates"] > 0

    output = run(ENJOY, *common, "-n", 20, "--no-render", folder=tmp_path)
    assert f"Loading logs/sac/{environment}_1/{environment}.zip" in output


# --- the zoo's scripts ---

PENDULUM = ("--algo", "sac", "--env", "Pendulum-v1", "-f", "logs", "--num-threads", 1)
SAVED = Path("logs/sac/Pendulum-v1_1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the zoo has trained, evaluated and saved whatever it can save."""
    folder = tmp_path_factory.mktemp("zoo")
    options = ["--eval-freq", 100, "--eval-episodes", 1, "--save-freq", 100, "--save-replay-buffer", "-tb", "tb", "-P"]
    output = run(TRAIN, *PENDULUM, "-n", 250, "--seed", 1, *options, folder=folder)
    assert_native(output)
    assert "250/250" in output, "the progress bar has not reached its end"
    return folder


@pytest.mark.slow
def test_train_leaves_all_that_the_zoo_leaves(trained: Path) -> None:
    saved = trained / SAVED
    assert data(saved / "Pendulum-v1.zip")["num_timesteps"] == 250
    assert data(saved / "Pendulum-v1.zip")["_n_updates"] == 150
    assert [data(saved / f"rl_model_{n}_steps.zip")["num_timesteps"] for n in (100, 200)] == [100, 200]
    assert data(saved / "best_model.zip")["num_timesteps"] in (100, 200)
    assert np.load(saved / "evaluations.npz")["timesteps"].tolist() == [100, 200]
    assert load_from_pkl(saved / "replay_buffer.pkl").size() == 250
    assert yaml.unsafe_load((saved / "Pendulum-v1" / "config.yml").read_text())["learning_rate"] == 1e-3
    assert [*(trained / "tb" / "Pendulum-v1" / "SAC_1").iterdir()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "file"),
    [
        ([], "Pendulum-v1.zip"),
        (["--load-best"], "best_model.zip"),
        (["--load-checkpoint", 100], "rl_model_100_steps.zip"),
        (["--load-last-checkpoint"], "rl_model_200_steps.zip"),
    ],
    ids=["last", "best", "checkpoint", "last checkpoint"],
)
def test_enjoy_loads_what_it_is_asked_for(option: list[Any], file: str, trained: Path) -> None:
    output = run(ENJOY, *PENDULUM, "-n", 20, "--no-render", *option, folder=trained)
    assert f"Loading {SAVED / file}" in output


@pytest.mark.slow
def test_enjoy_replays_as_with_sb3s_sac(trained: Path) -> None:
    arguments = [*PENDULUM, "-n", 400, "--no-render"]
    ours, theirs = (run(script, *arguments, folder=trained) for script in (ENJOY, "rl_zoo3.enjoy"))
    rewards = [line for line in ours.splitlines() if "reward" in line.lower()]
    assert len(rewards) == 3
    assert rewards == [line for line in theirs.splitlines() if "reward" in line.lower()]


@pytest.mark.slow
def test_training_is_resumed_with_the_replay_buffer(trained: Path) -> None:
    output = run(TRAIN, *PENDULUM, "-n", 150, "-i", SAVED / "Pendulum-v1.zip", "--eval-freq", -1, folder=trained)
    assert_native(output)
    assert "Loading pretrained agent" in output
    assert "Loading replay buffer" in output
    # The zoo counts steps anew, so the first 100 are warm-up again.
    assert data(trained / "logs" / "sac" / "Pendulum-v1_2" / "Pendulum-v1.zip")["_n_updates"] == 150 + 50


@pytest.mark.slow
def test_parallel_training_trains_natively_in_its_thread(tmp_path: Path) -> None:
    callback = {"rl_zoo3.callbacks.ParallelTrainCallback": {"gradient_steps": 20}}
    settings = {"policy": "MlpPolicy", "train_freq": 20, "buffer_size": 1000, "callback": [callback]}
    (tmp_path / "settings.yml").write_text(yaml.dump({"Pendulum-v1": settings | {"n_timesteps": 600}}))
    output = run(TRAIN, *PENDULUM, "--conf-file", "settings.yml", "--eval-freq", 250, folder=tmp_path)
    assert_native(output)
    # Saved is the copy that the thread trains: only TinySAC counts the batches that the kernel samples.
    saved = data(tmp_path / SAVED / "Pendulum-v1.zip")
    assert saved["_n_updates"] >= 20
    assert saved["_n_sampled_batches"] == saved["_n_updates"]
    assert np.load(tmp_path / SAVED / "evaluations.npz")["timesteps"].tolist() == [250, 500]


@pytest.mark.slow
def test_the_commands_train_and_show_with_tinysac_by_default(tmp_path: Path) -> None:
    output = run("sb3_tinyrl", "train", "--env", "Pendulum-v1", "-n", 110, "--eval-freq", -1, "-params", "n_threads:1",
                 folder=tmp_path)  # fmt: skip
    assert_native(output)
    assert re.search(r"^TinySAC trains in a kernel \(simd, .*1 thread\)", output, re.MULTILINE)
    saved = data(tmp_path / SAVED / "Pendulum-v1.zip")
    assert (saved["num_timesteps"], saved["_n_updates"], saved["n_threads"]) == (110, 10, 1)

    output = run("sb3_tinyrl", "enjoy", "--env", "Pendulum-v1", "-n", 20, "--no-render", folder=tmp_path)
    assert f"Loading {SAVED / 'Pendulum-v1.zip'}" in output


@pytest.mark.slow
def test_the_commands_take_other_algorithms_and_folders(tmp_path: Path) -> None:
    others = ("--algo", "td3", "--env", "Pendulum-v1", "-f", "elsewhere")
    run("sb3_tinyrl", "train", *others, "-n", 10, "--eval-freq", -1, folder=tmp_path)
    output = run("sb3_tinyrl", "enjoy", *others, "-n", 20, "--no-render", folder=tmp_path)
    assert "Loading elsewhere/td3/Pendulum-v1_1/Pendulum-v1.zip" in output


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "enjoy"])
def test_the_options_in_our_help_are_the_zoos(command: str, tmp_path: Path) -> None:
    ours, theirs = (run("sb3_tinyrl", command, option, folder=tmp_path) for option in ("--help", "--help-zoo"))
    _, _, examples = ours.partition("some options of the zoo:")
    names = re.findall(r"^  (-[\w-]+)", examples, re.MULTILINE)
    assert len(names) >= 5
    assert {*names} <= {*re.findall(r"(?<![\w-])-[\w-]+", theirs)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("train", "--env", "Pendulun-v1"), "Pendulun-v1 not found in gym registry, you maybe meant Pendulum-v1?"),
        (("train", "--env", "CartPole-v1"), "Discrete(2) was provided"),
        (("enjoy", "--env", "Pendulum-v1"), "The logs/sac folder was not found"),
    ],
)
def test_what_the_zoo_can_not_do_is_told_in_a_line(arguments: tuple[str, ...], reason: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sb3_tinyrl", *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, cwd=tmp_path)
    assert finished.returncode == 1
    assert finished.stderr.startswith("error: ")
    assert reason in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.slow
def test_errors_of_an_environment_keep_their_traceback(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(
        "import gymnasium\n"
        "from gymnasium.envs.classic_control import PendulumEnv\n"
        "class Broken(PendulumEnv):\n"
        "    def step(self, action):\n"
        "        raise ValueError('broken')\n"
        "gymnasium.register('Broken-v0', Broken)\n"
    )
    command = [sys.executable, "-m", "sb3_tinyrl", "train", "--env", "Broken-v0", "--gym-packages", "broken"]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, cwd=tmp_path)
    assert finished.returncode == 1
    assert finished.stderr.endswith("ValueError: broken\n")
    assert f'File "{tmp_path / "broken.py"}", line 5' in finished.stderr


@pytest.mark.parametrize("command", ["train", "enjoy"])
def test_an_environment_is_required(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sb3-tinyrl", command, "-n", "100"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "the following arguments are required: --env" in capsys.readouterr().err


def test_without_the_zoo_the_commands_say_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rl_zoo3", None)
    for command in ("train", "enjoy"):
        monkeypatch.setattr(sys, "argv", ["sb3-tinyrl", command, "--env", "Pendulum-v1"])
        assert main() == 1
        assert 'pip install "sb3-tinyrl[zoo]"' in capsys.readouterr().err


@pytest.mark.slow
def test_the_zoo_shows_why_the_kernel_is_not_used(tmp_path: Path) -> None:
    settings = "policy_kwargs:dict(net_arch=[8], optimizer_class=th.optim.RMSprop)"
    output = run(TRAIN, *PENDULUM, "-n", 110, "-params", settings, "--eval-freq", -1, folder=tmp_path)
    with pytest.raises(AssertionError, match="RMSprop"):
        assert_native(output)
    assert data(tmp_path / SAVED / "Pendulum-v1.zip")["_n_updates"] == 10


@pytest.mark.slow
def test_hyperparameters_are_optimized(tmp_path: Path) -> None:
    search = ["--optimize", "--n-trials", 2, "--n-jobs", 2, "--n-startup-trials", 1, "--n-evaluations", 2]
    budget = ["-n", 80, "--eval-episodes", 1, "--seed", 3, "-params", "learning_starts:50", "buffer_size:1000"]
    storage = ["--storage", "study.log", "--study-name", "study", "--optimization-log-path", "trials"]
    output = run(TRAIN, *PENDULUM, *search, *budget, *storage, "--no-optim-plots", folder=tmp_path)
    assert_native(output)
    (report,) = (tmp_path / "logs" / "sac").glob("report_Pendulum-v1_*.csv")
    trials = [*csv.DictReader(report.open())]
    assert [trial["number"] for trial in trials] == ["0", "1"]
    assert {trial["state"] for trial in trials} <= {"COMPLETE", "PRUNED"}
    assert all(float(trial["value"]) < 0 for trial in trials)

    chosen = ["--storage", "study.log", "--study-name", "study", "--trial-id", 1]
    output = run(TRAIN, *PENDULUM, *chosen, "-n", 110, "--eval-freq", -1, folder=tmp_path)
    assert_native(output)
    assert "Loading from Optuna study..." in output


@pytest.mark.slow
def test_videos_are_recorded(trained: Path) -> None:
    run("rl_zoo3.record_video", *PENDULUM[:6], "-n", 20, folder=trained)
    (video,) = trained.glob("logs/sac/*/videos/*.mp4")
    assert video.read_bytes()[4:8] == b"ftyp"


class Hub(BaseHTTPRequestHandler):
    """As much of the Hugging Face Hub as an upload to a new repository needs."""

    uploaded: dict[str, bytes]

    def do_GET(self) -> None:
        if "/tree/" in self.path:
            self._reply([])
        else:
            self._reply({"id": "someone/sac-Pendulum-v1", "sha": "0" * 40, "siblings": [], "tags": []})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/repos/create":
            self._reply({"url": f"http://{self.headers['Host']}/someone/sac-Pendulum-v1"})
        elif "/preupload/" in self.path:
            paths = [file["path"] for file in json.loads(body)["files"]]
            self._reply({"files": [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in paths]})
        elif "/commit/" in self.path:
            values = [json.loads(line)["value"] for line in body.splitlines()]
            self.uploaded |= {value["path"]: base64.b64decode(value["content"]) for value in values if "path" in value}
            url = f"http://{self.headers['Host']}/someone/sac-Pendulum-v1/commit/{'1' * 40}"
            self._reply({"success": True, "commitOid": "1" * 40, "commitUrl": url})
        else:
            self._reply({})

    def _reply(self, answer: object) -> None:
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[tuple[str, dict[str, bytes]]]:
    """The address of a hub, and the files that arrive there."""
    uploaded: dict[str, bytes] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Hub", (Hub,), {"uploaded": uploaded}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", uploaded
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.slow
def test_a_model_is_packaged_for_the_hub(trained: Path, hub: tuple[str, dict[str, bytes]]) -> None:
    address, uploaded = hub
    arguments = [*map(str, PENDULUM), "--organization", "someone", "--exp-id", "1", "--no-render"]
    process = subprocess.run(
        [sys.executable, PUSH_TO_HUB, *arguments],  # not `run`: the address is read when the zoo is imported
        cwd=trained,
        env={**os.environ, "HF_ENDPOINT": address, "HF_TOKEN": "hf_none", "HF_HOME": str(trained / "hub_cache")},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    expected = {"README.md", "args.yml", "config.yml", "env_kwargs.yml", "results.json", "train_eval_metrics.zip"}
    assert expected | {"sac-Pendulum-v1.zip"} <= uploaded.keys()
    assert "# **SAC** Agent playing **Pendulum-v1**" in uploaded["README.md"].decode()
    assert json.loads(uploaded["results.json"])["n_eval_episodes"] == 10
    assert SAC.load(io.BytesIO(uploaded["sac-Pendulum-v1.zip"]), device="cpu").num_timesteps == 250
