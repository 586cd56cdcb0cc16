"""What Python reads and sets of a C++ environment: parameters, states, reward terms and snapshots."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import SubprocVecEnv
from written_environments import CARTPOLE, POINT_MASS, WALK

from sb3_tinyrl import NativeVecEnv, TinySAC, register_environment
from sb3_tinyrl._native.abi.env_batch import Environments
from sb3_tinyrl._native.errors import KernelBuildError, NativeEnvironmentError
from sb3_tinyrl.environments import NativeEnv, NativeVectorEnv
from sb3_tinyrl.environments.checking import check_environment

LIMIT = 6
N = 3
PARAMETERS = ("cart_mass", "pole_mass", "pole_length")
STATE = ("position", "velocity", "angle", "angular_velocity")

# To the walk of `written_environments`: a member of each kind, shown, and a term of the reward.
SHOWING = WALK.replace(
    "        T position[OBSERVATIONS];\n",
    "        T position[OBSERVATIONS];\n        double matrix[2][2];\n        int n_steps;\n        bool is_odd;\n",
).replace(
    "template <typename T, typename TI>\nusing ENVIRONMENT_FACTORY",
    """\
template <typename D, typename T, typename TI, typename V>
void visit_parameters(D&, const Walk<T, TI>&, typename Walk<T, TI>::Parameters& parameters, V& visitor) {
    visitor("bound", parameters.bound);
}

template <typename D, typename T, typename TI, typename V>
void visit_state(D&, const Walk<T, TI>&, typename Walk<T, TI>::State& state, V& visitor) {
    visitor("position", state.position);
    visitor("matrix", state.matrix);
    visitor("n_steps", state.n_steps);
    visitor("is_odd", state.is_odd);
}

template <typename D, typename T, typename TI, typename A, typename V>
void visit_info(D&, const Walk<T, TI>&, const typename Walk<T, TI>::Parameters& parameters,
                const typename Walk<T, TI>::State& state, const A& action,
                const typename Walk<T, TI>::State& next_state, V& visitor) {
    visitor("first_action", get(action, 0, 0));
    visitor("before", state.position);
    visitor("is_out", next_state.position[0] > parameters.bound || next_state.position[0] < -parameters.bound);
}

template <typename T, typename TI>
using ENVIRONMENT_FACTORY""",
)


def write(folder: Path, *replacements: tuple[str, str]) -> Path:
    text = SHOWING.replace("OBSERVATIONS", "3").replace("ACTIONS", "2")
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    folder.mkdir(exist_ok=True)
    (folder / "environment.h").write_text(text)
    return folder


@pytest.fixture(scope="module")
def showing(tmp_path_factory: pytest.TempPathFactory) -> str:
    register_environment("test/Showing-v0", write(tmp_path_factory.mktemp("showing")), max_episode_steps=LIMIT)
    return "test/Showing-v0"


@pytest.fixture(scope="module")
def cartpole() -> str:
    register_environment("test/CartPole-v0", CARTPOLE)
    return "test/CartPole-v0"


@pytest.fixture(scope="module")
def point_mass() -> str:
    register_environment("test/PointMass-v0", POINT_MASS)
    return "test/PointMass-v0"


def trajectory(env: gym.Env, n_steps: int) -> list[tuple]:
    env.action_space.seed(0)
    return [
        (observation.tolist(), *rest, {name: np.asarray(value).tolist() for name, value in info.items()})
        for observation, *rest, info in (env.step(env.action_space.sample()) for _ in range(n_steps))
    ]


def assert_same(one: dict, other: dict) -> None:
    """The same keys, types and values, in dictionaries of dictionaries too."""
    assert one.keys() == other.keys()
    for name, value in one.items():
        if isinstance(value, dict):
            assert_same(value, other[name])
        elif name == "final_obs":  # an array of arrays
            assert [str(each) for each in value] == [str(each) for each in other[name]]
        elif name in ("r", "t"):  # Monitor's, which rounds the sum; seconds
            assert name == "t" or value == pytest.approx(other[name], abs=2e-6)
        else:
            assert type(value) is type(other[name])
            assert np.asarray(value).dtype == np.asarray(other[name]).dtype
            np.testing.assert_array_equal(value, other[name])


@pytest.mark.parametrize("name", ["cartpole", "point_mass", "showing"])
@pytest.mark.filterwarnings("ignore:.*(normalized|infinity|symmetric).*")
def test_checkers_of_gymnasium_and_stable_baselines3_pass(name, request):
    env = gym.make(request.getfixturevalue(name))
    check_env(env.unwrapped)
    check_env_for_sb3(env)


@pytest.mark.slow
def test_the_sanitizers_find_nothing(tmp_path):
    for folder in (CARTPOLE, POINT_MASS, write(tmp_path / "showing")):
        check_environment(folder, 500)


@pytest.mark.slow
def test_the_sanitizers_look_at_what_is_shown(tmp_path):
    folder = write(
        tmp_path / "faulty", ('"first_action", get(action, 0, 0)', '"first_action", 1 / (state.n_steps - T(0))')
    )
    with pytest.raises(NativeEnvironmentError, match="division by zero"):
        check_environment(folder, 500)


def test_without_a_renderer_there_are_no_render_modes(cartpole, showing):
    for id_, modes in ((cartpole, []), ("sb3_tinyrl:rl_tools/Pendulum-v0", ["rgb_array"])):
        assert gym.make(id_).metadata["render_modes"] == modes
        assert gym.make_vec(id_).metadata["render_modes"] == modes


def test_cartpole_steps_as_gymnasiums(cartpole):
    """From any state and with any force, for the parameters that Gymnasium's has, and then with its integrator."""
    ours, theirs = gym.make(cartpole).unwrapped, gym.make("CartPole-v1").unwrapped
    theirs.kinematics_integrator = "semi-implicit euler"
    theirs.reset()
    parameters = {
        "cart_mass": theirs.masscart,
        "pole_mass": theirs.masspole,
        "pole_length": 2 * theirs.length,
    }
    rng = np.random.default_rng(0)
    for _ in range(50):
        state, force = rng.normal(size=4), rng.uniform(-10, 10)
        ours.reset(options={"parameters": parameters, "state": dict(zip(STATE, state, strict=True))})
        theirs.state, theirs.steps_beyond_terminated = state, None
        theirs.force_mag = force
        theirs.step(1)
        ours.step(np.array([force], np.float32))
        np.testing.assert_allclose([ours.state[name] for name in STATE], theirs.state, atol=1e-5)


def test_point_mass_follows_newton(point_mass):
    """Beside small steps of Euler's; the drag's limits are the velocity force / drag and, without force, rest."""
    env = gym.make(point_mass).unwrapped
    position, velocity, force = np.array([0.5, -0.25]), np.array([1.0, -2.0]), np.array([0.75, -1.0])
    env.reset(
        options={
            "parameters": {"mass": 2, "drag": 1.5, "goal": [0, 0]},
            "state": {"position": position, "velocity": velocity},
        }
    )
    observation, *_ = env.step(force.astype(np.float32))
    n = 100_000
    for _ in range(n):
        position += velocity * 0.05 / n
        velocity += (force - 1.5 * velocity) / 2 * 0.05 / n
    np.testing.assert_allclose(observation, [*-position, *velocity], atol=2e-6)
    for force, limit in ((1.0, 1 / 1.5), (0.0, 0.0)):
        for _ in range(600):
            observation, *_ = env.step(np.full(2, force, np.float32))
        np.testing.assert_allclose(observation[2:], limit, atol=1e-5)


@pytest.mark.parametrize("name", ["cartpole", "point_mass"])
def test_terms_add_up_to_the_reward(name, request):
    env = gym.make(request.getfixturevalue(name))
    env.reset(seed=0)
    for _, reward, _, _, info in trajectory(env, 20):
        assert len(info) == 3
        assert all(term.startswith("reward_") for term in info)
        assert sum(info.values()) == pytest.approx(reward, abs=1e-6)


def test_parameters_and_state_of_a_reset(cartpole):
    env = gym.make(cartpole).unwrapped
    env.reset(seed=3)
    drawn = env.parameters | env.state
    assert tuple(drawn) == PARAMETERS + STATE
    observation, _ = env.reset(seed=3, options={"parameters": {"pole_mass": 0.5}, "state": {"velocity": 0.25}})
    # All else is what the same seed draws without them.
    assert env.parameters | env.state == drawn | {"pole_mass": 0.5, "velocity": 0.25}
    assert observation[1] == 0.25
    env.reset(seed=3)
    assert env.parameters | env.state == drawn
    env.reset(options={"nominal": True, "state": {"position": 1}})
    assert env.state == {"position": 1, "velocity": 0, "angle": pytest.approx(np.pi), "angular_velocity": 0}


def test_all_kinds_of_members(showing):
    env = gym.make(showing).unwrapped
    state = {"position": [1, 2, 3.5], "matrix": [1, 2, 3, 4], "n_steps": -7, "is_odd": True}
    env.reset(options={"state": state, "parameters": {"bound": 5}})
    assert {name: np.asarray(value).tolist() for name, value in env.state.items()} == state
    assert env.parameters == {"bound": 5}
    env.state["position"][0] = 7  # a copy
    *_, info = env.step(np.array([0.5, 0], np.float32))
    assert info["first_action"] == 0.5
    assert info["before"].tolist() == [1, 2, 3.5]
    assert info["is_out"] == 0
    env.reset(options={"state": {"position": np.array([9, 0, 0])}})
    assert env.step(np.zeros(2, np.float32))[-1]["is_out"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"state": {"mass": 1}}, r"state: \['mass'\], expected a dictionary with some of position, matrix, n_steps"),
        ({"state": 1}, r"state: 1, expected a dictionary"),
        ({"parameters": {"bound": [1, 2]}}, r"parameters: bound=\[1, 2\], expected a finite number"),
        ({"parameters": {"bound": np.nan}}, r"parameters: bound=nan, expected a finite number"),
        ({"state": {"position": [1, 2]}}, r"state: position=\[1, 2\], expected 3 finite numbers"),
        ({"state": {"position": 1}}, r"state: position=1, expected 3 finite numbers"),
        ({"start": {}}, r"unknown reset options \['start'\]; .* and 'parameters' and 'state', dictionaries"),
    ],
)
def test_what_does_not_fit_is_refused(showing, options, message):
    env = gym.make(showing).unwrapped
    env.reset(seed=0)
    before = env.get_state()
    with pytest.raises(ValueError, match=message):
        env.reset(options=options)
    assert env.get_state() == before


@pytest.mark.parametrize("value", [0.5, 2**31, -(2**31) - 1])
def test_integers_are_whole_and_in_range(showing, value):
    env = gym.make(showing)
    with pytest.raises(NativeEnvironmentError, match=r"visit_state\(\) of environment 0 .* n_steps is an integer"):
        env.reset(options={"state": {"n_steps": value}})
    env.reset(options={"state": {"n_steps": 2**31 - 1}})
    assert env.unwrapped.state["n_steps"] == 2**31 - 1


def test_an_environment_that_shows_nothing(walk):
    env = NativeEnv(walk)
    env.reset()
    assert env.parameters == env.state == {}
    for option, function in (("parameters", "visit_parameters"), ("state", "visit_state")):
        with pytest.raises(ValueError, match=f"shows none: add a function {function} to it, as examples/cartpole"):
            env.reset(options={option: {"bound": 1}})
    assert env.step(env.action_space.sample())[-1] == {}


def test_before_the_first_reset(cartpole):
    env = gym.make(cartpole).unwrapped
    for read in (lambda: env.parameters, lambda: env.state):
        with pytest.raises(gym.error.ResetNeeded, match="no episode has begun; call reset"):
            read()


def test_fixed_parameters_hold_until_others_are_fixed(cartpole):
    env = gym.make(cartpole, parameters={"pole_length": 0.5}).unwrapped
    masses = set()
    for options in ({}, {"parameters": {"cart_mass": 2}}, {"parameters": {"pole_length": 3}}, {}):
        env.reset(options=options)
        expected = {"pole_length": 0.5} | options.get("parameters", {})
        assert {name: env.parameters[name] for name in expected} == expected
        masses.add(env.parameters["pole_mass"])
    assert len(masses) == 4
    env.fix_parameters({"pole_mass": 0.25})
    env.reset()
    assert env.parameters["pole_mass"] == 0.25
    assert env.parameters["pole_length"] != 0.5
    with pytest.raises(ValueError, match=r"parameters: \['mass'\]"):
        gym.make(cartpole, parameters={"mass": 1})


def test_fixed_parameters_are_pickled(cartpole):
    env = pickle.loads(pickle.dumps(gym.make(cartpole, parameters={"pole_length": 0.5}).unwrapped))
    env.reset()
    assert env.parameters["pole_length"] == 0.5


def test_what_earlier_versions_pickled_is_read(walk):
    environments = Environments(walk)
    environments.reset()
    state = environments.__getstate__()
    del state["fixed_parameters"]
    other = Environments.__new__(Environments)
    other.__setstate__(state)
    assert other.episodes == environments.episodes


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32), n_before=st.integers(0, LIMIT))
def test_snapshots_are_exact(showing, seed, n_before):
    """In the environment itself and in another one; the walk draws random numbers wherever it may."""
    env, other = gym.make(showing).unwrapped, gym.make(showing).unwrapped
    first, _ = env.reset(seed=seed)
    env.action_space.seed(0)
    for _ in range(n_before):
        first, _, terminated, _, _ = env.step(env.action_space.sample())
        if terminated:
            first, _ = env.reset()
    state = env.get_state()
    steps = trajectory_with_resets(env)
    assert env.get_state() != state
    for restored in (env, other):
        assert restored.set_state(state).tolist() == first.tolist()
        assert restored.get_state() == state
        assert trajectory_with_resets(restored) == steps


def trajectory_with_resets(env: gym.Env) -> list:
    env.action_space.seed(1)
    steps = []
    for _ in range(2 * LIMIT):
        observation, reward, terminated, _, _ = env.step(env.action_space.sample())
        steps.append((observation.tolist(), reward, terminated))
        if terminated:
            steps.append(env.reset()[0].tolist())
    return steps


def test_a_snapshot_from_before_the_first_reset(showing):
    env = gym.make(showing).unwrapped
    state = env.get_state()
    env.reset()
    env.set_state(state)
    with pytest.raises(gym.error.ResetNeeded, match="no episode has begun"):
        env.step(env.action_space.sample())


def test_snapshots_of_something_else_are_refused(showing, cartpole):
    env = gym.make(showing).unwrapped
    env.reset(seed=0)
    state = env.get_state()
    other = gym.make(cartpole).unwrapped
    other.reset()
    for wrong in (other.get_state(), state[:-1], bytes(len(state)), state.hex()):
        with pytest.raises(ValueError, match=r"no state of the environment in .*, expected what get_state\(\)"):
            env.set_state(wrong)
    assert env.get_state() == state


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("parameters", [None, {"bound": 2.0}], ids=["drawn", "fixed"])
def test_vector_environments_equal_gymnasiums(showing, mode, parameters):
    ours = gym.make_vec(showing, num_envs=N, autoreset_mode=mode, parameters=parameters)
    theirs = SyncVectorEnv([lambda: gym.make(showing, parameters=parameters)] * N, autoreset_mode=mode)
    assert isinstance(ours, NativeVectorEnv)
    options = {"state": {"position": [0.5, 0, 0]}}
    for one, other in zip(ours.reset(seed=3, options=options), theirs.reset(seed=3, options=options), strict=True):
        np.testing.assert_array_equal(one, other)
    ours.action_space.seed(0)
    n_ended = 0
    for _ in range(4 * LIMIT):
        actions = ours.action_space.sample()
        *arrays, infos = ours.step(actions)
        *expected, expected_infos = theirs.step(actions)
        for one, other in zip(arrays, expected, strict=True):
            np.testing.assert_array_equal(one, other)
        assert_same(infos, expected_infos)
        assert ours.parameters == theirs.get_attr("parameters")
        ended = arrays[2] | arrays[3]
        n_ended += ended.sum()
        if mode == AutoresetMode.DISABLED and ended.any():
            for env in (ours, theirs):
                env.reset(options={"reset_mask": ended.copy()})
    assert n_ended > N
    assert {each["bound"] == 2 for each in ours.parameters} == {parameters is not None}


def test_snapshots_of_vector_environments(showing):
    """Among vector environments of all kinds, and with the steps until truncation where they are native."""
    env = gym.make_vec(showing, num_envs=N)
    env.reset(seed=0)
    actions = np.zeros((N, 2), np.float32)
    env.step(actions)
    states, steps = env.get_state(), [env.step(actions) for _ in range(2 * LIMIT)]
    env.set_state(states)
    for step in steps:
        for one, other in zip(step[:4], env.step(actions)[:4], strict=True):
            np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="shorter"):
        env.set_state(states[:-1])

    single = gym.make(showing).unwrapped
    single.set_state(states[1])
    np.testing.assert_array_equal(single.step(actions[1])[0], steps[0][0][1])

    processes = AsyncVectorEnv([lambda: gym.make(showing)] * N)
    try:
        processes.reset(seed=0)
        assert processes.step(actions)[0].tolist() == env.set_state(states).tolist()
        assert [state["position"].tolist() for state in processes.get_attr("state")] == [
            state["position"].tolist() for state in env.state
        ]
        assert processes.call("get_state")[0][:8] == states[0][:8]
    finally:
        processes.close()


def vec_envs(id_: str, **arguments) -> list:
    return [
        NativeVecEnv(id_, N, seed=3, **arguments),
        make_vec_env(id_, N, seed=3, env_kwargs=arguments),
        make_vec_env(
            id_,
            N,
            seed=3,
            env_kwargs=arguments,
            vec_env_cls=SubprocVecEnv,
            vec_env_kwargs={"start_method": "fork" if hasattr(os, "fork") else "spawn"},
        ),
    ]


@pytest.mark.parametrize("parameters", [{}, {"parameters": {"bound": 2.0}}], ids=["drawn", "fixed"])
def test_vec_envs_equal_stable_baselines3s(showing, parameters):
    ours, *theirs = vec_envs(showing, **parameters)
    options = [{}, {"parameters": {"bound": 3}, "nominal": True}, {"state": {"n_steps": 5}}]
    for env in (ours, *theirs):
        env.set_options(options)
    first = ours.reset()
    assert ours.get_attr("parameters")[1] == {"bound": 3}
    assert ours.get_attr("state")[2]["n_steps"] == 5
    rng = np.random.default_rng(0)
    try:
        for env in theirs:
            np.testing.assert_array_equal(first, env.reset())
        for _ in range(3 * LIMIT):
            actions = rng.uniform(-1, 1, (N, 2)).astype(np.float32)
            *arrays, infos = ours.step(actions)
            for env in theirs:
                *expected, expected_infos = env.step(actions)
                for one, other in zip(arrays, expected, strict=True):
                    np.testing.assert_array_equal(one, other)
                for info, expected_info in zip(infos, expected_infos, strict=True):
                    assert_same(info, expected_info)
                assert ours.get_attr("parameters") == env.get_attr("parameters")
        for env in (ours, *theirs):
            env.env_method("fix_parameters", {"bound": 2.5}, indices=1)
            env.reset()
            assert [each["bound"] == 2.5 for each in env.get_attr("parameters")] == [False, True, False]
            states = env.env_method("get_state")
            following = env.step(np.zeros((N, 2), np.float32))[0]
            for i, state in enumerate(states):
                env.env_method("set_state", state, indices=i)
            np.testing.assert_array_equal(env.step(np.zeros((N, 2), np.float32))[0], following)
    finally:
        theirs[-1].close()


def test_training_keeps_the_fixed_parameters(cartpole):
    """Also where the environment that was passed gives way to one that is stepped in the kernel's loop."""
    env = gym.make(cartpole, parameters={"pole_length": 0.5}, max_episode_steps=10)
    model = TinySAC(
        "MlpPolicy",
        env,
        policy_kwargs={"net_arch": [32, 32]},
        batch_size=32,
        learning_starts=20,
        seed=0,
        kernel="native",
    )
    lengths = set()
    for _ in range(4):
        model.learn(30, reset_num_timesteps=False)
        lengths |= {each["pole_length"] for each in model.get_env().get_attr("parameters")}
    assert lengths == {0.5}
    assert len(model.ep_info_buffer) == 12


@pytest.mark.parametrize(
    ("replacement", "error", "message"),
    [
        (
            ('"is_out"', '"episode"'),
            ValueError,
            r"visit_info\(\) .* shows 'episode', which is taken",
        ),
        (('"is_out"', '"_out"'), ValueError, r"shows '_out', which is taken"),
        (('"is_odd"', '"matrix"'), ValueError, r"visit_state\(\) .* shows 'matrix', twice"),
        (('"is_odd"', '""'), ValueError, r"visit_state\(\) .* shows '', expected a name"),
        (
            ('"bound", parameters.bound', '"bound", parameters'),
            KernelBuildError,
            "can show numbers and arrays",
        ),
        (('"bound", parameters.bound', '"bound", T(1)'), KernelBuildError, "have to show the members themselves"),
    ],
)
def test_what_can_not_be_shown(replacement, error, message, tmp_path):
    with pytest.raises(error, match=message):
        NativeEnv(write(tmp_path / "wrong", replacement))


@pytest.mark.parametrize(
    ("replacement", "function", "act"),
    [
        (
            ('visitor("n_steps"', 'if (state.n_steps != 5) visitor("n_steps"'),
            "visit_state",
            lambda env: env.reset(options={"state": {"n_steps": 5}}) and env.state,
        ),
        (
            ('visitor("is_out"', 'if (action._data[0] > 0) visitor("extra", 1);\n    visitor("is_out"'),
            "visit_info",
            lambda env: env.step(np.ones(2, np.float32)),
        ),
        (
            ('visitor("is_out"', 'if (action._data[0] <= 0) visitor("is_out"'),
            "visit_info",
            lambda env: env.step(np.ones(2, np.float32)),
        ),
    ],
    ids=["fewer of the state", "more of a step", "fewer of a step"],
)
def test_what_is_shown_stays_the_same(replacement, function, act: Callable, tmp_path):
    env = NativeEnv(write(tmp_path / "changing", replacement))
    env.reset(seed=0)
    with pytest.raises(NativeEnvironmentError, match=rf"{function}\(\) of environment 0 .* shows other fields than at"):
        act(env)
