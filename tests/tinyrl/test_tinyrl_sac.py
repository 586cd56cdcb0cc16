"""TinyRL's SAC is TinySAC under other names."""

import re

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import ClipAction, RescaleAction
from hypothesis import given, settings
from hypothesis import strategies as st
from models import At, differences
from models import state as tensors
from small import FOLDER, ROOT, SMALL, Recorded, finish, pendulum, small
from stable_baselines3.common.evaluation import evaluate_policy
from torch import nn

import sb3_tinyrl.tinyrl
from sb3_tinyrl import TinySAC
from sb3_tinyrl.tinyrl import SAC

TIME = r"Time: \d+\.\d{3}s"
OBSERVATION = np.array([0.6, -0.8, 1.0], np.float32)


def run_guide(replacement: str) -> dict:
    """Run all of TinyRL's README as the guide prints it, with other arguments of SAC."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "guide" / "tinyrl.md").read_text(), re.DOTALL)
    program = "".join(block for block in blocks if "path/to/folder" not in block)
    assert program.count("SAC(env_factory)") == 1
    names: dict = {}
    exec(program.replace("SAC(env_factory)", replacement), names)
    return names


def test_the_readme_of_tinyrl_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ", ".join(f"{name}={value}" for name, value in SMALL.items())
    names = run_guide(f"SAC(env_factory, STEP_LIMIT=60, num_evaluation_episodes=1, {arguments})")
    assert names["truncated"]
    mean, std = names["policy"].evaluate(names["observation"])
    assert std > 0
    np.testing.assert_allclose(2 * np.tanh(mean), names["state"].action(names["observation"])[0], atol=1e-5)


@pytest.mark.slow
def test_the_readme_of_tinyrl_solves_pendulum(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = run_guide("SAC(env_factory, num_evaluation_episodes=1)")["state"]
    env = pendulum()
    env.reset(seed=1000)
    returns, _ = evaluate_policy(Predictor(state), env, 10, warn=False)
    assert returns > -200


class Predictor:
    def __init__(self, state):
        self.state = state

    def predict(self, observations, **_):
        return np.array([self.state.action(observation) for observation in observations]), None


def test_a_state_is_a_model():
    """Adam's other arguments, those of the entropy coefficient included, are among the bits compared."""
    state = finish(small(GAMMA=0.9, ALPHA=0.2, CRITIC_POLYAK=0.9, OPTIMIZER_ALPHA=2e-3, OPTIMIZER_BETA_1=0.8).State(5))
    model = TinySAC(
        "MlpPolicy",
        "Pendulum-v1",
        learning_rate=2e-3,
        buffer_size=60,
        learning_starts=20,
        batch_size=32,
        tau=1 - 0.9,
        gamma=0.9,
        ent_coef="auto_0.2",
        policy_kwargs={"net_arch": [32, 32], "optimizer_kwargs": {"betas": (0.8, 0.999), "eps": 1e-7}},
        seed=5,
        device="cpu",
        kernel="native",
    )
    model.ent_coef_optimizer.param_groups[0].update(betas=(0.8, 0.999), eps=1e-7)
    model.learn(60)
    assert model._n_updates == 40
    assert not differences(tensors(state._model), tensors(model))


def test_a_step_is_a_step_until_the_limit():
    factory = Recorded()
    state = small(factory, STEP_LIMIT=25).State(0)
    env = factory.made[-1]
    for i in range(25):
        assert env.n_steps == i
        assert state.step() is False
    for _ in range(3):
        assert state.step() is True
    assert env.n_steps == 25
    assert state._model._n_updates == 5


@pytest.mark.parametrize("source", [pendulum, FOLDER], ids=["Python", "C++"])
def test_several_environments_and_rarer_training(source):
    sac = small(source, N_ENVIRONMENTS=3, ACTOR_TRAINING_INTERVAL=4, CRITIC_TRAINING_INTERVAL=4, STEP_LIMIT=31)
    model = finish(sac.State(0))._model
    assert model.num_timesteps == 3 * 28  # the three steps after the last gradient step change nothing
    assert model._n_updates == 2  # in steps 24 and 28
    assert model.replay_buffer.buffer_size == 31


def test_steps_taken_late_are_the_same_steps():
    late, prompt = (small(FOLDER).State(3) for _ in range(2))
    while not late.step():
        prompt.step()
        prompt.action(OBSERVATION)
    assert prompt._model.num_timesteps == 60
    assert not differences(tensors(late._model), tensors(prompt._model))


def test_an_action_sees_all_steps():
    state = small(FOLDER).State(0)
    actions = []
    for _ in range(30):
        state.step()
        actions.append(state.action(OBSERVATION).item())
    assert len({*actions[:20]}) == 1  # the warm-up does not train
    assert len({*actions[19:]}) == 11


@pytest.mark.parametrize("source", [pendulum, FOLDER], ids=["Python", "C++"])
def test_seeds_side_by_side(source):
    sac = small(source)
    one, other, again = sac.State(1), sac.State(2), sac.State(1)
    for _ in range(61):
        one.step()
        other.step()
    finish(again)
    assert not differences(tensors(one._model), tensors(again._model))
    assert differences(tensors(one._model), tensors(other._model))
    assert one.export_policy() == again.export_policy() != other.export_policy()


def test_hyperparameters_side_by_side():
    """In TinyRL the library of the first is overwritten unless the second has another interface_name."""
    wide, narrow = small(), small(ACTOR_HIDDEN_DIM=16, STEP_LIMIT=30)
    finish(narrow.State(0))
    state = finish(wide.State(0))
    assert [layer.out_features for layer in state._model.actor.latent_pi if isinstance(layer, nn.Linear)] == [32, 32]


@pytest.mark.parametrize("source", [pendulum, FOLDER], ids=["Python", "C++"])
def test_evaluation_prints_and_changes_nothing(source, capsys):
    watched = small(source, enable_evaluation=True, evaluation_interval=25, num_evaluation_episodes=1)
    lines = finish(watched.State(0)), capsys.readouterr().out.splitlines()
    alone = finish(small(source).State(0))
    evaluations, last = lines[1][:-1], lines[1][-1]
    assert [line.partition(" Mean return: ")[0] for line in evaluations] == ["Step: 0/60", "Step: 25/60", "Step: 50/60"]
    assert all(line.endswith("Mean episode length: 200") for line in evaluations)
    assert re.fullmatch(TIME, last)
    assert re.fullmatch(TIME, capsys.readouterr().out.rstrip("\n"))
    assert not differences(tensors(lines[0]._model), tensors(alone._model))


@pytest.mark.parametrize("source", [pendulum, FOLDER], ids=["Python", "C++"])
def test_progress_in_the_words_of_rltools(source, capsys, monkeypatch):
    monkeypatch.setattr("sb3_tinyrl.tinyrl.sac._PROGRESS_SECONDS", 0.0)
    state = small(source, N_ENVIRONMENTS=2, STEP_LIMIT=12).State(0)
    for _ in range(14):
        state.step()
        state.action(OBSERVATION)
    *lines, last = capsys.readouterr().out.splitlines()
    progress = re.compile(r"Loop step: (\d+), env step: (\d+), SPS: ([\d.e+]+) \(elapsed: (\d+\.\d{3}) s\)")
    numbers = [progress.fullmatch(line).groups() for line in lines]
    assert [(int(loop_step), int(env_step)) for loop_step, env_step, _, _ in numbers] == [
        (i, 2 * i) for i in range(1, 13)
    ]
    assert all(float(numbers[i][3]) <= float(numbers[i + 1][3]) for i in range(len(numbers) - 1))
    assert re.fullmatch(TIME, last)


def test_no_progress_within_the_first_seconds(capsys):
    finish(small().State(0))
    assert re.fullmatch(f"{TIME}\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "backend"),
    [
        ({}, None),
        ({"enable_blas": True, "force_blas": False}, None),
        ({"enable_blas": False}, "simd"),
        ({"force_blas": True}, "blas"),
    ],
)
def test_blas_is_a_backend(arguments, backend):
    assert small(**arguments).State(0)._model.backend == backend


@pytest.mark.parametrize("arguments", [{"evaluation_interval": None}, {"num_evaluation_episodes": 0}])
def test_no_evaluation(arguments, capsys):
    finish(small(enable_evaluation=True, disable_tensorboard=False, **arguments).State(0))
    assert "Mean return" not in capsys.readouterr().out


def test_arguments_that_contradict_each_other():
    with pytest.raises(ValueError, match="force_blas=True and enable_blas=False contradict each other"):
        SAC(pendulum, force_blas=True, enable_blas=False)
    with pytest.raises(ValueError, match="disable_tensorboard=0, expected True or False"):
        SAC(pendulum, disable_tensorboard=0)


def test_verbose_prints_statistics_of_episodes(capsys):
    finish(small(Recorded(), verbose=True).State(0))
    assert "ep_rew_mean" in capsys.readouterr().out
    finish(small(Recorded(), verbose=True, COLLECT_EPISODE_STATS=False).State(0))
    assert "ep_rew_mean" not in capsys.readouterr().out


@pytest.mark.parametrize("ignore", [False, True])
def test_truncation_is_honoured(ignore):
    """Episodes of odd length terminate, others are truncated, by the environment itself."""
    buffer = finish(small(Recorded(lengths=(5, 4)), IGNORE_TERMINATION=ignore).State(0))._model.replay_buffer
    ends = np.flatnonzero(buffer.dones[:60])
    assert ends.tolist() == sorted([*range(4, 60, 9), *range(8, 60, 9)])
    timeouts = buffer.timeouts[ends, 0]
    assert timeouts.tolist() == [1 if ignore or end % 9 == 8 else 0 for end in ends]


@pytest.mark.parametrize("source", [pendulum, FOLDER], ids=["Python", "C++"])
def test_a_limit_of_episodes(source):
    buffer = finish(small(source, EPISODE_STEP_LIMIT=7).State(0))._model.replay_buffer
    assert np.flatnonzero(buffer.dones[:60]).tolist() == [*range(6, 60, 7)]
    assert (buffer.timeouts == buffer.dones).all()


def test_actions_in_other_bounds():
    """The scripted environment refuses actions out of its [-2, 3]."""
    state = finish(small(Recorded(action_shape=(2,))).State(0))
    action = state.action(OBSERVATION)
    assert action.shape == (2,)
    assert action.dtype == np.float32
    mean_and_std = sb3_tinyrl.tinyrl.load_checkpoint(state.export_policy()).evaluate(OBSERVATION)
    np.testing.assert_allclose(action, -2 + 2.5 * (np.tanh(mean_and_std[:2]) + 1), rtol=1e-5)


def test_actions_without_bounds():
    """TinyRL's examples wrap environments like this one, and mean [-1, 1]."""
    drawn = []

    class Watched(gym.ActionWrapper):
        def action(self, action):
            drawn.append(action.item())
            return action

    state = small(lambda: ClipAction(Watched(RescaleAction(pendulum(), -1, 1)))).State(0)
    finish(state)
    assert min(drawn) < -0.5
    assert max(drawn) > 0.5
    assert max(map(abs, drawn)) <= 1
    assert abs(state.action(OBSERVATION).item()) <= 1


@settings(max_examples=10)
@given(shape=st.lists(st.integers(0, 4), max_size=3).map(tuple).filter(lambda shape: shape != (3,)))
def test_observations_of_another_shape(shape):
    state = small(FOLDER).State(0)
    with pytest.raises(ValueError, match=r"an observation of shape .*, expected \(3,\); pass one"):
        state.action(np.zeros(shape, np.float32))


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, None, True])
def test_seeds_that_are_none(seed):
    with pytest.raises(ValueError, match=r"seed is .*, expected a whole number from 0 to 2\*\*32 - 1"):
        small(FOLDER).State(seed)


@pytest.mark.parametrize(
    ("name", "value", "least"), [("evaluation_interval", 0, 1), ("num_evaluation_episodes", -1, 0)]
)
def test_evaluations_that_are_none(name, value, least):
    with pytest.raises(ValueError, match=f"{name}={value}, expected a whole number of at least {least}"):
        SAC(pendulum, **{name: value})


def test_an_interrupted_step_loses_nothing():
    state = small(FOLDER).State(0)
    for _ in range(40):
        state.step()
    interrupt = At(10, lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        state._model.learn(40, callback=interrupt)
    assert state._model.num_timesteps == 10
    finish(state)
    assert state._model.num_timesteps == 60


@pytest.mark.parametrize("name", ["PPO", "TD3"])
def test_other_algorithms(name):
    with pytest.raises(ImportError, match=f"there is no {name} here, only SAC; stable_baselines3.{name} is one"):
        exec(f"from sb3_tinyrl.tinyrl import {name}")
    with pytest.raises(AttributeError, match="has no attribute 'DQN'"):
        sb3_tinyrl.tinyrl.DQN  # noqa: B018
