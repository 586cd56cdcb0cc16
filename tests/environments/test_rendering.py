"""Pictures show what the observation says."""

import gymnasium as gym
import numpy as np
import pytest
from numpy.testing import assert_allclose

from sb3_tinyrl.environments import rendering

BODY = (178, 34, 34)  # firebrick
TRACK_SIDE = 100


def centre_of(image: np.ndarray, colour: tuple[int, int, int]) -> tuple[float, float]:
    """Mean position of the pixels of a colour, in pictures' widths from the middle, to the right and up."""
    rows, columns = np.nonzero((image == colour).all(axis=2))
    assert len(rows)
    return columns.mean() / rendering.SIZE - 0.5, 0.5 - rows.mean() / rendering.SIZE


@pytest.mark.parametrize("name", ["Pendulum-v0", "Acrobot-v0", "AcrobotSwingup-v0", "Car-v0", "CarTrack-v0"])
def test_each_step_looks_different(name):
    env = gym.make(f"sb3_tinyrl:rl_tools/{name}", render_mode="rgb_array")
    env.action_space.seed(0)
    env.reset(seed=1)
    images = [env.render()]
    for _ in range(20):
        env.step(env.action_space.sample())
    images.append(env.render())
    for image in images:
        assert image.shape == (rendering.SIZE, rendering.SIZE, 3)
        assert image.dtype == np.uint8
    assert (images[0] != images[1]).any()


@pytest.mark.parametrize("angle", [0.0, 1.0, -2.0, 3.1])
def test_the_pendulum_points_where_its_angle_says(angle):
    x, y = centre_of(rendering.draw_pendulum(np.array([np.cos(angle), np.sin(angle), 0], np.float32)), BODY)
    length = np.hypot(x, y)
    assert 0.1 < length < 0.3
    assert_allclose((x / length, y / length), (-np.sin(angle), np.cos(angle)), atol=0.02)


def test_the_car_is_where_its_position_says():
    position = 0.4, -0.3
    for draw, n_sensors in ((rendering.draw_car, 0), (rendering.draw_car_on_track, 3)):
        observation = np.array([*position, 1.0, 0, 0, 0, *[0] * n_sensors], np.float32)
        assert_allclose(centre_of(draw(observation), BODY), np.divide(position, 2), atol=0.005)


def test_the_track_is_that_of_the_environment():
    """The car starts on the track that is drawn, wherever it starts."""
    env = gym.make_vec("sb3_tinyrl:rl_tools/CarTrack-v0", num_envs=500)
    observations, _ = env.reset(seed=0)
    cells = np.zeros((TRACK_SIDE, TRACK_SIDE), np.bool_)
    rows = ((1 - observations[:, 1]) / 2 * TRACK_SIDE).astype(int)
    columns = ((1 + observations[:, 0]) / 2 * TRACK_SIDE).astype(int)
    cells[rows, columns] = True
    assert rendering._track()[cells].all()
