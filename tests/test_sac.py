"""TinySAC's constructor, its choice of kernel, and what users see of ``learn``: callbacks and logs, next to SB3's."""

import csv
import gc
import inspect
import math
import re
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from cases import SUPPORTED, UNSUPPORTED
from gymnasium import spaces
from models import At, Scripted, assert_trained, differences, make, scripted, state
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import (
    BaseCallback,
    CallbackList,
    CheckpointCallback,
    EvalCallback,
    EveryNTimesteps,
    ProgressBarCallback,
    StopTrainingOnMaxEpisodes,
    StopTrainingOnNoModelImprovement,
    StopTrainingOnRewardThreshold,
)
from stable_baselines3.common.logger import configure
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import DummyVecEnv
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sb3_tinyrl import TinySAC
from sb3_tinyrl._native.errors import CompilerNotFoundError, UnsupportedByKernelError
from sb3_tinyrl._native.jit.compiler import find_compiler

BOTH = pytest.mark.parametrize("cls", [SAC, TinySAC])


# --- constructor ---


def parameters(function: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


def test_the_constructor_takes_what_sb3s_takes_and_four_more() -> None:
    keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
    own = {"kernel": "auto", "n_threads": None, "backend": None, "overlap": False}
    expected = [(name, keyword, default) for name, default in own.items()]
    assert parameters(TinySAC.__init__) == parameters(SAC.__init__) + expected


OVERRIDDEN = [name for name in vars(TinySAC) if inspect.isfunction(getattr(SAC, name, None)) and name != "__init__"]


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_overridden_methods_take_what_sb3s_take(name: str) -> None:
    assert parameters(getattr(TinySAC, name)) == parameters(getattr(SAC, name))


def test_is_an_sac_with_sb3s_attributes() -> None:
    ours, theirs = make(), make(SAC)
    assert isinstance(ours, SAC)
    assert vars(theirs).keys() <= vars(ours).keys()
    assert type(ours.policy) is type(theirs.policy)
    assert type(ours.replay_buffer) is ReplayBuffer
    assert not differences(state(ours), state(theirs))


def test_arguments_reach_sb3() -> None:
    values = {
        "learning_rate": 1e-2, "buffer_size": 7, "learning_starts": 3, "batch_size": 5, "tau": 0.5, "gamma": 0.9,
        "train_freq": 2, "gradient_steps": 4, "action_noise": NormalActionNoise(np.zeros(1), np.ones(1)),
        "replay_buffer_class": ReplayBuffer, "replay_buffer_kwargs": {"handle_timeout_termination": False},
        "optimize_memory_usage": False, "n_steps": 1, "ent_coef": 0.3, "target_update_interval": 6,
        "target_entropy": -2.0, "use_sde": True, "sde_sample_freq": 8, "use_sde_at_warmup": True,
        "stats_window_size": 9, "tensorboard_log": "somewhere", "policy_kwargs": {"net_arch": [4]}, "verbose": 0,
        "seed": 11, "device": "cpu",
    }  # fmt: skip
    assert ["policy", "env", *values, "_init_setup_model"] == [*inspect.signature(SAC).parameters]
    ours, theirs = (vars(cls("MlpPolicy", "Pendulum-v1", *values.values())) for cls in (TinySAC, SAC))
    plain = (int, float, str, dict, tuple, type, types.NoneType, NormalActionNoise)
    compared = [name for name, value in theirs.items() if isinstance(value, plain)]
    assert {"gamma", "tau", "seed", "_stats_window_size", "train_freq", "policy_kwargs"} <= {*compared}
    assert {name: ours[name] for name in compared} == {name: theirs[name] for name in compared}


@pytest.mark.parametrize("kernel", ["", "Native", "cuda", None, 1, ["auto"]])
def test_a_kernel_that_does_not_exist_is_refused_with_the_choices(kernel: Any) -> None:
    with pytest.raises(ValueError, match=r"kernel=.*expected one of 'auto', 'native', 'torch'"):
        make(kernel=kernel)
    model = make()
    model.kernel = kernel
    with pytest.raises(ValueError, match=r"kernel=.*expected one of"):
        model.learn(1)


@pytest.mark.parametrize("n_threads", [0, -1, 17, 1.5, math.nan, "2", [2]])
def test_a_number_of_threads_that_makes_no_sense_is_refused_with_the_range(n_threads: Any) -> None:
    with pytest.raises(ValueError, match=r"n_threads=.*expected 1 to 16"):
        make(n_threads=n_threads)


@BOTH
@pytest.mark.parametrize(
    "action_space",
    [
        spaces.Discrete(3),
        spaces.MultiBinary(2),
        spaces.Dict(a=spaces.Box(-1, 1, (1,))),
        spaces.Box(-np.inf, np.inf, (1,)),
        spaces.Box(np.array([-1, -1], np.float32), np.array([1, np.inf], np.float32)),
    ],
)
def test_action_spaces_that_sac_does_not_know_are_refused_as_by_sb3(cls: type[SAC], action_space: spaces.Space) -> None:
    env = Scripted()
    env.action_space = action_space
    with pytest.raises(AssertionError, match=r"only supports .*Box|finite lower and upper bound"):
        make(cls, env)


# --- kernel="torch" ---


@pytest.mark.parametrize("ent_coef", ["auto", 0.1])
def test_torch_is_sb3s_own_update_bit_for_bit(ent_coef: str | float) -> None:
    arguments = {"ent_coef": ent_coef, "action_noise": NormalActionNoise(np.zeros(1), np.full(1, 0.1))}
    ours = make(kernel="torch", **arguments).learn(60)
    theirs = make(SAC, **arguments).learn(60)
    assert not differences(state(ours), state(theirs))
    assert np.array_equal(ours.replay_buffer.observations, theirs.replay_buffer.observations)


# --- what the kernel does not know ---


UNSUPPORTED_CASES = pytest.mark.parametrize(("arguments", "reason", "remedy"), UNSUPPORTED.values(), ids=UNSUPPORTED)


@UNSUPPORTED_CASES
def test_native_refuses_what_the_kernel_does_not_know(
    arguments: Callable[[], dict[str, Any]], reason: str, remedy: str
) -> None:
    model = make(**arguments())
    before = state(model)
    with pytest.raises(UnsupportedByKernelError, match=rf"(?s){reason}.*To train natively: .*{remedy}"):
        model.learn(10)
    assert not differences(before, state(model))


@UNSUPPORTED_CASES
def test_auto_warns_once_and_trains_what_the_kernel_does_not_know(
    arguments: Callable[[], dict[str, Any]], reason: str, remedy: str
) -> None:
    model = make(kernel="auto", learning_starts=5, **arguments())
    before = state(model)
    pattern = rf"(?s)TinySAC trains through .*PyTorch update: .*{reason}.*To train natively: .*{remedy}"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.learn(8)
        model.learn(8, reset_num_timesteps=False)
    messages = [str(warning.message) for warning in caught if "TinySAC" in str(warning.message)]
    assert len(messages) == 1
    assert re.search(pattern, messages[0])
    assert_trained(model, before)


@pytest.mark.parametrize("arguments", SUPPORTED.values(), ids=SUPPORTED)
def test_native_collects_trains_saves_and_goes_on(arguments: Callable[[], dict[str, Any]], tmp_path: Path) -> None:
    model = make(**arguments())
    before = state(model)
    model.learn(60)
    assert_trained(model, before)
    model.save(tmp_path / "model")
    model.save_replay_buffer(tmp_path / "buffer")
    loaded = TinySAC.load(tmp_path / "model", env=model.get_env())
    loaded.load_replay_buffer(tmp_path / "buffer")
    assert not differences(state(model), state(loaded))
    before = state(loaded)
    loaded.learn(30, reset_num_timesteps=False)
    assert_trained(loaded, before)
    observations = model.get_env().reset()
    for deterministic in (True, False):
        actions, _ = loaded.predict(observations, deterministic=deterministic)
        assert model.action_space.contains(actions[0])


def test_a_model_that_changes_between_two_runs_gets_what_it_then_needs() -> None:
    model = make(kernel="auto").learn(40)
    for parameter in model.actor.parameters():
        parameter.requires_grad = False
    frozen = state(model)
    with pytest.warns(UserWarning, match="frozen"):
        model.learn(20, reset_num_timesteps=False)
    assert all(".actor." not in name for name in differences(frozen, state(model)) if name.startswith("policy"))

    for group in model.critic.optimizer.param_groups:
        group["maximize"] = True
    for parameter in model.actor.parameters():
        parameter.requires_grad = True
    with pytest.warns(UserWarning, match="maximize=True"):
        model.learn(20, reset_num_timesteps=False)

    model.critic.optimizer.param_groups[0]["maximize"] = False
    before = state(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.learn(20, reset_num_timesteps=False)
    assert_trained(model, before)


# --- no compiler ---


@pytest.fixture
def no_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    folder = tmp_path / "kernels"
    monkeypatch.setenv("SB3_TINYRL_CACHE_DIR", str(folder))
    monkeypatch.delenv("CXX", raising=False)
    return folder


@pytest.fixture(params=["nothing installed", "$CXX broken"])
def no_compiler(
    request: pytest.FixtureRequest, no_kernels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """A machine without a compiler; what its message must hold."""
    monkeypatch.setitem(sys.modules, "ziglang", None)
    if request.param == "$CXX broken":
        monkeypatch.setenv("CXX", "/no/such/compiler")
        return ["$CXX is '/no/such/compiler', which does not work", "unset it to have a compiler found"]
    monkeypatch.setenv("PATH", str(tmp_path))
    return ["no C++ compiler found", "apt install g++", 'pip install "sb3-tinyrl[compiler]"', 'kernel="torch"']


def test_without_a_compiler_auto_trains_through_torch(no_compiler: list[str]) -> None:
    model = make(kernel="auto")
    before = state(model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.learn(40)
        model.learn(10, reset_num_timesteps=False)
    (message,) = (str(warning.message) for warning in caught)
    for part in ("TinySAC trains through Stable-Baselines3's PyTorch update", *no_compiler):
        assert part in message
    assert_trained(model, before)
    assert model.num_timesteps == 50
    assert model._n_updates == 30


def test_without_a_compiler_native_raises_before_any_weight_changes(no_compiler: list[str]) -> None:
    model = make()
    before = state(model)
    with pytest.raises(CompilerNotFoundError) as error:
        model.learn(40)
    for part in no_compiler:
        assert part in str(error.value)
    assert not differences(before, state(model))


@pytest.mark.filterwarnings("ignore:TinySAC trains through")
def test_falling_back_keeps_no_memory_at_each_step(no_compiler: list[str]) -> None:
    def n_tracebacks() -> int:
        return sum(type(thing) is types.TracebackType for thing in gc.get_objects())

    model = make(kernel="auto").learn(30)
    before = n_tracebacks()
    model.learn(30, reset_num_timesteps=False)
    assert n_tracebacks() < before + 10


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:TinySAC trains through")
def test_a_compiler_installed_later_is_found_by_the_next_run(no_kernels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make(kernel="auto", learning_starts=0)
    with monkeypatch.context() as context:
        context.setenv("CXX", "/no/such/compiler")
        model.learn(5)
        assert not model.kernel_status().native
    model.kernel = "native"
    before = state(model)
    assert_trained(model.learn(5, reset_num_timesteps=False), before)


# --- callbacks ---


class Recorder(BaseCallback):
    """Writes down each call: what it is, the model's counters, and the local variables it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, ...]] = []

    def _record(self, event: str) -> None:
        self.calls.append((event, self.n_calls, self.num_timesteps, self.model._n_updates, self.model._episode_num))

    def _on_training_start(self) -> None:
        self._record("training start")
        self.calls.append(("locals", sorted(self.locals)))

    def _on_rollout_start(self) -> None:
        self._record("rollout start")

    def _on_step(self) -> bool:
        self._record("step")
        shapes = {name: (v.dtype, v.shape) for name, v in self.locals.items() if isinstance(v, np.ndarray)}
        assert {"actions", "buffer_actions", "new_obs", "rewards", "dones"} <= shapes.keys()
        names = self.locals.keys() - {"kwargs"}  # left over in SB3 where action noise is reset
        self.calls.append(("locals", names, shapes, [sorted(info) for info in self.locals["infos"]]))
        return True

    def _on_rollout_end(self) -> None:
        self._record("rollout end")

    def _on_training_end(self) -> None:
        self._record("training end")


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"train_freq": 4, "gradient_steps": 2},
        {"train_freq": (2, "episode"), "gradient_steps": -1},
        {"n_envs": 3, "train_freq": 2},
        {"action_noise": NormalActionNoise(np.zeros(1), np.ones(1)), "train_freq": 3},
    ],
    ids=str,
)
def test_callbacks_see_what_they_see_in_sb3(arguments: dict[str, Any]) -> None:
    arguments = dict(arguments)
    n_envs = arguments.pop("n_envs", 1)

    def calls(cls: type[SAC]) -> list[tuple[Any, ...]]:
        recorder = Recorder()
        make(cls, scripted(n_envs), **arguments).learn(60, callback=recorder)
        return recorder.calls

    for ours, theirs in zip(calls(TinySAC), calls(SAC), strict=True):
        assert ours == theirs


@BOTH
def test_a_callback_that_returns_false_stops_at_once(cls: type[SAC]) -> None:
    recorder = Recorder()
    model = make(cls).learn(100, callback=CallbackList([At(30, lambda _: False), recorder]))
    assert (model.num_timesteps, model._n_updates, model.replay_buffer.size()) == (30, 9, 29)
    assert [call[0] for call in recorder.calls[-3:]] == ["step", "locals", "training end"]


@BOTH
def test_a_function_is_a_callback_that_sees_local_and_global_variables(cls: type[SAC]) -> None:
    seen = []

    def see(local: dict[str, Any], glob: dict[str, Any]) -> bool:
        seen.append(local["self"].num_timesteps)
        return "OffPolicyAlgorithm" in glob

    make(cls).learn(25, callback=see)
    assert seen == [*range(1, 26)]


def test_eval_callback_keeps_the_best_model(tmp_path: Path) -> None:
    paths = {"best_model_save_path": str(tmp_path), "log_path": str(tmp_path)}
    evaluation = EvalCallback(Monitor(Scripted()), eval_freq=15, n_eval_episodes=2, verbose=0, **paths)
    make().learn(45, callback=evaluation)
    results = np.load(tmp_path / "evaluations.npz")
    assert results["timesteps"].tolist() == [15, 30, 45]
    assert evaluation.last_mean_reward == results["results"][-1].mean()
    means = results["results"].mean(axis=1)
    assert TinySAC.load(tmp_path / "best_model.zip").num_timesteps == 15 * (1 + means.argmax())


def test_checkpoints_hold_the_weights_of_their_step(tmp_path: Path) -> None:
    at_30: dict[str, Any] = {}
    checkpoints = CheckpointCallback(10, str(tmp_path), save_replay_buffer=True)
    make().learn(40, callback=[checkpoints, At(30, lambda model: at_30.update(state(model)))])
    assert {path.name for path in tmp_path.iterdir()} == {
        f"rl_model_{name}{n}_steps.{suffix}"
        for n in (10, 20, 30, 40)
        for name, suffix in (("", "zip"), ("replay_buffer_", "pkl"))
    }
    loaded = TinySAC.load(tmp_path / "rl_model_30_steps")
    assert not differences(state(loaded), at_30)
    loaded.load_replay_buffer(tmp_path / "rl_model_replay_buffer_30_steps")
    assert loaded.replay_buffer.size() == 29  # the callback comes before the transition is stored


@pytest.mark.parametrize(
    "make_callback",
    [
        lambda: StopTrainingOnMaxEpisodes(3),
        lambda: EvalCallback(
            Monitor(Scripted()), eval_freq=25, callback_on_new_best=StopTrainingOnRewardThreshold(0.0, verbose=0),
            verbose=0,
        ),
        lambda: EvalCallback(
            Monitor(Scripted(spoil={n: lambda obs, _: (obs, 0.0) for n in range(1000)})), eval_freq=5,
            callback_after_eval=StopTrainingOnNoModelImprovement(2), verbose=0,
        ),
        lambda: EveryNTimesteps(30, At(1, lambda _: False)),
    ],
    ids=["max episodes", "reward threshold", "no improvement", "every n timesteps"],
)  # fmt: skip
def test_callbacks_that_stop_training_stop_it_where_they_stop_sb3(make_callback: Callable[[], BaseCallback]) -> None:
    ours, theirs = (make(cls, scripted()).learn(100, callback=make_callback()) for cls in (TinySAC, SAC))
    assert ours.num_timesteps == theirs.num_timesteps < 100
    assert ours._n_updates == theirs._n_updates


@pytest.mark.filterwarnings("ignore:rich is experimental")
def test_the_progress_bar_reaches_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    make().learn(50, progress_bar=True)
    bar = ProgressBarCallback()
    make().learn(50, callback=bar)
    assert bar.pbar.n == 50
    assert "50/50" in capsys.readouterr().out


def test_a_callback_may_change_the_model_on_the_way() -> None:
    model = make(gamma=0.9)
    rates = []

    def change(model: TinySAC) -> None:
        model.gamma, model.batch_size, model.gradient_steps = 0.5, 16, 2
        model.lr_schedule = lambda _: 0.5

    after = At(41, lambda model: rates.append((model.critic.optimizer.param_groups[0]["lr"], model._n_updates)))
    model.learn(50, callback=[At(40, change), after])
    assert rates == [(0.5, 19 + 2)]


# --- logs ---


def short_episodes(n_envs: int = 1) -> DummyVecEnv:
    return DummyVecEnv([lambda: Monitor(Scripted((3, 4)))] * n_envs)


def events(folder: Path) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """For each run in ``folder``, its tags and for each tag the steps and values."""
    runs: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for run in sorted(folder.iterdir()):
        runs[run.name] = {}
        for file in sorted(run.iterdir(), key=lambda file: int(file.name.rpartition(".")[2])):
            accumulator = EventAccumulator(str(file)).Reload()
            for tag in accumulator.Tags()["scalars"]:
                points = runs[run.name].setdefault(tag, [])
                points += [(event.step, event.value) for event in accumulator.Scalars(tag)]
    return runs


@pytest.mark.filterwarnings("ignore:rich is experimental")
@pytest.mark.parametrize(
    ("arguments", "learn"),
    [
        ({}, {}),
        ({"ent_coef": 0.1}, {"log_interval": 1, "tb_log_name": "mine"}),
        ({"ent_coef": "auto_0.1", "learning_starts": 100}, {"log_interval": 3}),
        ({"learning_rate": lambda progress: 1e-3 * progress, "gradient_steps": 3}, {"log_interval": 2}),
        ({"gradient_steps": 0}, {"log_interval": 5}),
        ({}, {"log_interval": None, "progress_bar": True}),
    ],
    ids=["defaults", "fixed entropy coefficient", "initial entropy coefficient", "schedule", "no updates", "no log"],
)
def test_tensorboard_shows_sb3s_runs_tags_and_steps(
    tmp_path: Path, arguments: dict[str, Any], learn: dict[str, Any]
) -> None:
    def run(cls: type[SAC]) -> dict[str, dict[str, list[tuple[int, float]]]]:
        folder = tmp_path / cls.__name__
        model = make(cls, short_episodes(), tensorboard_log=str(folder), **arguments)
        model.learn(60, callback=EvalCallback(short_episodes(), eval_freq=20, verbose=0), **learn)
        model.learn(10, reset_num_timesteps=False, **learn)
        model.learn(10, **learn)
        return events(folder)

    ours, theirs = run(TinySAC), run(SAC)
    assert ours.keys() == theirs.keys()
    assert any(theirs.values())
    for name in theirs:
        assert ours[name].keys() == theirs[name].keys()
        for tag, points in theirs[name].items():
            assert [step for step, _ in ours[name][tag]] == [step for step, _ in points], tag
            if tag in ("rollout/ep_len_mean", "train/learning_rate", "rollout/success_rate", "eval/mean_ep_length"):
                assert ours[name][tag] == points, tag


def test_files_hold_sb3s_columns_and_counts(tmp_path: Path) -> None:
    def rows(cls: type[SAC]) -> list[dict[str, str]]:
        folder = tmp_path / cls.__name__
        model = make(cls, short_episodes(n_envs=2), gradient_steps=-1)
        model.set_logger(configure(str(folder), ["csv", "json", "log"]))
        model.learn(60)
        with open(folder / "progress.csv") as file:
            return list(csv.DictReader(file))

    ours, theirs = rows(TinySAC), rows(SAC)
    for one, other in zip(ours, theirs, strict=True):
        assert one.keys() == other.keys()
        for column in ("time/episodes", "time/total_timesteps", "train/n_updates", "train/learning_rate",
                       "rollout/ep_len_mean", "rollout/success_rate"):  # fmt: skip
            assert one[column] == other[column]
        assert all(math.isfinite(float(value)) for value in one.values() if value)


@BOTH
def test_statistics_cover_a_window_of_the_last_episodes(cls: type[SAC]) -> None:
    model = make(cls, short_episodes(), stats_window_size=3)
    finished = []

    class Episodes(BaseCallback):
        def _on_step(self) -> bool:
            finished.extend(info["episode"]["r"] for info in self.locals["infos"] if "episode" in info)
            return True

    model.learn(40, callback=Episodes(), log_interval=1)
    assert [info["r"] for info in model.ep_info_buffer] == finished[-3:]
    assert len(model.ep_success_buffer) == 3
    model.learn(3, reset_num_timesteps=False)
    assert len(model.ep_info_buffer) == 3


def test_losses_logged_are_means_over_the_gradient_steps_of_one_call() -> None:
    model = make(gradient_steps=0).learn(40)
    reference = make(gradient_steps=0).learn(40)
    model.train(40, 32)
    means = dict(model.logger.name_to_value)
    rows = []
    for _ in range(40):
        reference.train(1, 32)
        rows.append(dict(reference.logger.name_to_value))
    for name in ("train/ent_coef", "train/ent_coef_loss", "train/actor_loss", "train/critic_loss"):
        assert means[name] == pytest.approx(np.mean([row[name] for row in rows]), rel=1e-9)
    assert means["train/n_updates"] == 40
    assert not differences(state(model), state(reference))


# --- what a user is told ---


def test_a_line_says_what_trains(capsys: pytest.CaptureFixture[str]) -> None:
    make(verbose=1).learn(1)
    begin, end = (line for line in capsys.readouterr().out.splitlines() if line.startswith("TinySAC "))
    assert re.fullmatch(
        r"TinySAC trains in a kernel \(simd, [\w-]+, .*threads?\), (from the cache|compiled now, .*)", begin
    )
    assert re.fullmatch(r"TinySAC took 1 steps in [\d.]+ s, [\d,]+ steps/s", end)
    make(kernel="torch", verbose=1).learn(1)
    assert "TinySAC trains through Stable-Baselines3's PyTorch update: kernel=" in capsys.readouterr().out
    make(verbose=0).learn(1)
    assert "TinySAC" not in capsys.readouterr().out


def test_the_line_is_in_the_text_of_the_logger_and_of_tensorboard(tmp_path: Path) -> None:
    model = make(tensorboard_log=str(tmp_path / "runs"), verbose=0)
    model.learn(1)
    (file,) = (tmp_path / "runs" / "SAC_1").iterdir()
    accumulator = EventAccumulator(str(file)).Reload()
    (event,) = accumulator.Tensors("TinySAC/text_summary")
    (text,) = event.tensor_proto.string_val
    assert text.decode().startswith("TinySAC trains in a kernel (simd, ")
    assert not accumulator.Tags()["scalars"]

    model.set_logger(configure(str(tmp_path), ["log", "csv"]))
    model.learn(1)
    assert "\nTinySAC trains in a kernel (simd, " in (tmp_path / "log.txt").read_text()
    assert (tmp_path / "progress.csv").read_text() == ""
    model.logger.close()


def test_the_status_says_what_trains_and_why() -> None:
    model = make(kernel="auto", n_threads=1)
    status = model.kernel_status()
    assert (status.native, status.n_threads, status.is_new, status.batches) == (True, 1, None, None)
    assert status.instruction_set == find_compiler().instruction_set()
    assert str(status).endswith(", 1 thread), which is loaded or compiled when learn starts")
    model.learn(30)
    assert model.kernel_status().is_new is not None
    assert (
        str(model.kernel_status()) == f"trains in a kernel (simd, {status.instruction_set}, 1 thread), batches in place"
    )
    model.critic.optimizer = th.optim.SGD(model.critic.parameters(), lr=1e-3)
    status = model.kernel_status()
    assert not status.native
    assert "SGD" in str(status)
    assert "\n" not in str(status)


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_a_machine_with_a_gpu_trains_on_the_cpu_where_the_kernel_serves(
    device: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is none here: what asks for it fails, as this PyTorch is built without CUDA."""
    monkeypatch.setattr(th.cuda, "is_available", lambda: True)
    if device == "auto":
        model = make(device=device, verbose=1)
        assert model.device.type == "cpu"
        assert {parameter.device.type for parameter in model.policy.parameters()} == {"cpu"}
        assert 'pass device="cuda" for the GPU' in capsys.readouterr().out
        model.learn(25)
    for arguments in ({"kernel": "torch"}, {"policy_kwargs": {"activation_fn": th.nn.Mish}}):
        with pytest.raises((AssertionError, RuntimeError), match=r"CUDA|cuda|NVIDIA"):
            make(device=device, **{"kernel": "auto", **arguments})
