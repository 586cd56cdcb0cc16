"""A peer that fails says why, and takes nobody along."""

import os
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from sb3_tinyrl._native.jit.cache_directory import cache_directory
from sb3_tinyrl.bench import rounds
from sb3_tinyrl.bench.peers.registry import PEERS
from sb3_tinyrl.bench.peers.revision import AGAINST
from sb3_tinyrl.bench.process import PeerError, PeerProcess
from sb3_tinyrl.bench.results import Results
from sb3_tinyrl.bench.settings import Settings

SETTINGS = Settings("Pendulum-v1", (8, 8), batch_size=8, train_freq=1, gradient_steps=1, threads=1, rounds=1, steps=20)


def test_exception_in_a_measurement(tmp_path: Path):
    with PeerProcess("sb3", SETTINGS, tmp_path / "sb3") as process:
        with pytest.raises(PeerError, match=r"AttributeError.*model"):
            process.ask("steps_per_second")  # before it was set up
        assert process.ask("peak_memory") > 0


def test_end_of_the_process(tmp_path: Path):
    with (
        PeerProcess("no such peer", SETTINGS, tmp_path / "peer") as process,
        pytest.raises(PeerError, match=r"status 1(.|\n)*KeyError: 'no such peer'"),
    ):
        process.ask("set_up")


def test_peer_that_fails_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # A package that can't be imported stands in for one that is broken.
    (tmp_path / "sbx.py").write_text("raise ImportError('broken')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    results = Results(SETTINGS, command="", machine={}, update_flops=1)
    announced: list[str] = []
    rounds.run(results, ["tiny", "sbx"], tmp_path, announced.append, kernels=cache_directory())

    assert [*results.peers] == ["tiny"]
    assert "broken" in results.failures["sbx"]
    assert results.median("tiny", "steps_per_second") > 0
    assert len(announced) == rounds.n_measurements(["tiny", "sbx"], 1)


def test_environment_that_needs_its_wrapper_leaves_the_limit_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "wrapped_env.py").write_text(
        "import gymnasium\n"
        "from gymnasium.envs.classic_control.pendulum import PendulumEnv\n"
        "class Raw(PendulumEnv):\n"
        "    def step(self, action):\n"
        "        if not isinstance(action, list): raise TypeError('expected a list')\n"
        "        return super().step(action)\n"
        "class ToList(gymnasium.ActionWrapper):\n"
        "    def action(self, action): return list(action)\n"
        "gymnasium.register('Wrapped-v0', lambda: ToList(Raw()), max_episode_steps=10)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    settings = replace(SETTINGS, env="wrapped_env:Wrapped-v0")
    results = Results(settings, command="", machine={}, update_flops=1)
    rounds.run(results, ["sb3"], tmp_path, lambda _: None)
    assert "TypeError: expected a list" in results.failures["the environment without wrappers"]
    assert results.median("sb3", "steps_per_second") > 0
    assert results.limits() == []


def revision(folder: Path, arguments: str) -> Path:
    """Write the package of a revision whose TinySAC is SB3's, and takes these arguments."""
    package = folder / "checkout" / "sb3_tinyrl"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "from stable_baselines3 import SAC\n"
        "class TinySAC(SAC):\n"
        f"    def __init__(self, *positional, {arguments}, **others):\n"
        "        super().__init__(*positional, **others)\n"
    )
    return package.parent


def test_revision_whose_kernel_can_not_be_found(tmp_path: Path):
    checkout = revision(tmp_path, "kernel, n_threads, backend")
    with PeerProcess(AGAINST, SETTINGS, tmp_path / "peer", checkout=checkout) as process:
        assert process.ask("set_up") == {}
        assert process.ask("phases") == {}
        assert process.ask("instruction_set") is None
        assert process.ask("updates_per_second") > 0
        assert process.ask("seconds_per_step") > 0
        *parts, total = process.ask("budget").values()
        assert sum(parts) == pytest.approx(total)


def test_revision_that_is_too_old(tmp_path: Path):
    checkout = revision(tmp_path, "kernel, n_threads")
    with (
        PeerProcess(AGAINST, SETTINGS, tmp_path / "peer", checkout=checkout) as process,
        pytest.raises(PeerError, match=r"this revision is too old: expected .* found TypeError: .*'backend'"),
    ):
        process.ask("set_up")


def test_another_package_than_the_revisions_is_refused(tmp_path: Path):
    with (
        PeerProcess(AGAINST, SETTINGS, tmp_path / "peer", checkout=tmp_path / "empty") as process,
        pytest.raises(PeerError, match=r"ImportError: found the package in .*, expected it in .*empty"),
    ):
        process.ask("set_up")


@pytest.mark.parametrize("env", ["Pendulum-v1", "sb3_tinyrl:rl_tools/Pendulum-v0"])
def test_no_peer_brings_torch_where_it_is_not_needed(env: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # RLtools' wrapper refuses to work beside torch. A stand-in with its headers, since the real one compiles for half a
    # minute.
    spec = find_spec("rltools")
    assert spec is not None
    assert spec.origin is not None
    stand_in = tmp_path / "rltools"
    stand_in.mkdir()
    (stand_in / "external").symlink_to(Path(spec.origin).parent / "external")
    (stand_in / "__init__.py").write_text(
        "import os, sys, types\n"
        "def SAC(environment, **parameters):\n"
        "    assert 'torch' not in sys.modules\n"
        "    assert parameters['ACTOR_NUM_LAYERS'] == 3\n"
        "    if callable(environment):\n"
        "        assert environment().action_space.high == 1\n"
        "    else:\n"
        "        assert os.listdir(environment['path']) == ['environment.h']\n"
        "        assert (environment['observation_dim'], environment['action_dim']) == (3, 1)\n"
        "    return types.SimpleNamespace(State=State)\n"
        "class State:\n"
        "    def __init__(self, seed): pass\n"
        "    def step(self): pass\n"
        "    def action(self, observation): pass\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    with PeerProcess("rltools", replace(SETTINGS, env=env), tmp_path / "process") as process:
        assert process.ask("set_up")["cold"] > 0
        for measurement in PEERS["rltools"].measurements:
            assert process.ask(measurement) > 0
