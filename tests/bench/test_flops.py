"""The formula against counts of every single product, ours and PyTorch's own."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import SAC
from torch.utils.flop_counter import FlopCounterMode

from sb3_tinyrl.bench.flops import update_flops

SHAPES = [
    (3, 1, (256, 256), (256, 256), 256),
    (17, 6, (400, 300), (400, 300), 100),
    (5, 2, (16,), (8, 24, 32), 7),
    (4, 3, (), (), 2),
]


class Counter:
    """Multiplies matrices that have only a shape, and counts."""

    def __init__(self):
        self.flops = 0

    def product(self, a, b):
        assert a[1] == b[0]
        self.flops += 2 * a[0] * a[1] * b[1]
        return a[0], b[1]

    def forward(self, x, widths):
        activations = [x]
        for width in widths:
            activations.append(self.product(activations[-1], (activations[-1][1], width)))
        return activations

    def backward(self, activations, *, weights, inputs):
        """`inputs`: of how many of the network's inputs the gradient is wanted."""
        for i in range(len(activations) - 1, 0, -1):
            d_output, input_ = activations[i], activations[i - 1]
            if weights:
                self.product(input_[::-1], d_output)
            n_inputs = inputs if i == 1 else input_[1]
            if n_inputs:
                self.product(d_output, (d_output[1], n_inputs))


@pytest.mark.parametrize("n_critics", [1, 2, 3])
@pytest.mark.parametrize(("observation_dim", "action_dim", "actor_layers", "critic_layers", "batch_size"), SHAPES)
def test_formula_counts_every_product(observation_dim, action_dim, actor_layers, critic_layers, batch_size, n_critics):
    count = Counter()
    actor, critic = (*actor_layers, 2 * action_dim), (*critic_layers, 1)
    observation = (batch_size, observation_dim)
    pair = (batch_size, observation_dim + action_dim)

    count.forward(observation, actor)  # next action
    for _ in range(n_critics):
        count.forward(pair, critic)  # target
        count.backward(count.forward(pair, critic), weights=True, inputs=0)
    actor_activations = count.forward(observation, actor)
    for _ in range(n_critics):
        count.backward(count.forward(pair, critic), weights=False, inputs=action_dim)
    count.backward(actor_activations, weights=True, inputs=0)

    assert count.flops == update_flops(observation_dim, action_dim, actor_layers, critic_layers, batch_size, n_critics)


class Env(gym.Env):
    observation_space = spaces.Box(-1, 1, (17,), np.float32)
    action_space = spaces.Box(-1, 1, (6,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(17, np.float32), {}

    def step(self, action):
        return np.zeros(17, np.float32), 0.0, False, False, {}


def test_pytorch_does_the_same_and_what_nobody_reads():
    layers, batch_size = (40, 30), 8
    model = SAC("MlpPolicy", Env(), policy_kwargs={"net_arch": list(layers)}, learning_starts=20, batch_size=batch_size)
    model.learn(20)
    with FlopCounterMode(display=False) as counter:
        model.train(gradient_steps=1, batch_size=batch_size)

    # The actor's loss is differentiated with respect to the critics' weights and the observations, too.
    weights = (17 + 6) * 40 + 40 * 30 + 30
    unread = 2 * 2 * batch_size * (weights + 17 * 40)
    assert counter.get_total_flops() == update_flops(17, 6, layers, layers, batch_size) + unread


def test_default_is_sixteen_forward_passes_of_the_hidden_product():
    assert update_flops(3, 1, (256, 256), (256, 256), 256) / (2 * 256 * 256 * 256) == pytest.approx(16, rel=0.02)
