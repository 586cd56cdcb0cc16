"""The test row of each activation function: what tests of all functions run with."""

from functools import partial

from torch import nn

#: By the names of the table in sb3_tinyrl/activations.py, in its order, with constants unlike PyTorch's defaults.
CASES = {
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "elu": partial(nn.ELU, alpha=0.7),
    "leaky_relu": partial(nn.LeakyReLU, negative_slope=0.2),
    "gelu": nn.GELU,
    "gelu_tanh": partial(nn.GELU, approximate="tanh"),
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "softplus": partial(nn.Softplus, beta=2.0, threshold=1.0),
}
