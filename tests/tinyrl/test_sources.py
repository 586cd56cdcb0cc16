"""Environments that can't be used are explained before anything is compiled or trained."""

import gymnasium as gym
import pytest
from gymnasium import spaces
from models import Scripted
from small import FOLDER, finish, pendulum, small

from sb3_tinyrl._native.errors import KernelBuildError


def space(name, value):
    env = Scripted()
    setattr(env, name, value)
    return env


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("Pendulum-v1", TypeError, "env_factory is 'Pendulum-v1', expected a function"),
        (None, TypeError, "env_factory is None, expected a function"),
        (lambda: "Pendulum-v1", TypeError, "env_factory made 'Pendulum-v1', expected a Gymnasium environment"),
        (lambda: gym.make("CartPole-v1"), ValueError, r"the action_space is Discrete\(2\), expected a Box"),
        (
            lambda: space("observation_space", spaces.Box(0, 1, (3, 4))),
            ValueError,
            r"the observation_space is Box.*expected a Box with one axis; .*FlattenObservation",
        ),
        ({"path": FOLDER["path"], "action_dim": 1}, ValueError, r"the keys \['action_dim', 'path'\], expected exactly"),
        ({**FOLDER, "dim": 1}, ValueError, "expected exactly path, action_dim, observation_dim"),
        ({**FOLDER, "action_dim": 2}, ValueError, "action_dim is 2, but the environment in .* has 1; pass that"),
        ({**FOLDER, "observation_dim": 4}, ValueError, "observation_dim is 4, but the environment in .* has 3"),
        ({**FOLDER, "path": "nowhere"}, FileNotFoundError, "there is no folder .*nowhere"),
    ],
)
def test_what_is_no_environment(source, error, message):
    with pytest.raises(error, match=message):
        small(source)


def test_an_environment_instead_of_a_factory():
    with pytest.raises(TypeError, match=r"env_factory is .*, expected a function without arguments"):
        small(pendulum())


def test_the_layout_of_tinyrls_example(tmp_path):
    """Its environment.h includes headers in a folder below, which include RLtools' and have no guards."""
    text = (FOLDER["path"] / "environment.h").read_text()
    (tmp_path / "my_pendulum").mkdir()
    (tmp_path / "my_pendulum" / "my_pendulum.h").write_text(text.replace("#pragma once\n", ""))
    (tmp_path / "environment.h").write_text('#include "my_pendulum/my_pendulum.h"\n')
    state = finish(small({**FOLDER, "path": str(tmp_path)}).State(0))
    assert state._model.num_timesteps == 60


def test_a_folder_that_changes(tmp_path):
    text = (FOLDER["path"] / "environment.h").read_text()
    limit = "EPISODE_STEP_LIMIT = 200"
    assert limit in text
    for n_steps in (7, 5):
        (tmp_path / "environment.h").write_text(text.replace(limit, f"EPISODE_STEP_LIMIT = {n_steps}"))
        buffer = finish(small({**FOLDER, "path": tmp_path}, STEP_LIMIT=20).State(0))._model.replay_buffer
        assert buffer.dones.ravel().nonzero()[0].tolist() == [*range(n_steps - 1, 20, n_steps)]


def test_an_error_in_the_folder(tmp_path):
    (tmp_path / "environment.h").write_text("#pragma once\nstruct Pendulum { no_such_type angle; };\n")
    with pytest.raises(KernelBuildError, match=r"the C\+\+ compiler failed: .*environment\.h:2.*no_such_type"):
        small({**FOLDER, "path": tmp_path})
