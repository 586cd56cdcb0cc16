r"""The arithmetic in one gradient step of SAC, counted from the shapes of its matrix products.

A layer from m to n features costs :math:`2 B m n` floating-point operations for a batch of B, and as much again for
the gradient of its weights (dW) and for that of its input (dX). Counted are the passes that SAC needs:

=====================================  =====================  ===========================================
pass                                   networks               layers
=====================================  =====================  ===========================================
actions and their log probability      actor, at s and at s'  all
targets                                target critics         all
values                                 critics                all
critic loss, dX                        critics                all but the first: the data's gradient is not read
critic loss, dW                        critics                all
values of the policy's actions         critics                all
their gradient to the actions          critics                all; of the first, the actions' columns
actor loss, dX                         actor                  all but the first
actor loss, dW                         actor                  all
=====================================  =====================  ===========================================

With two critics that makes 16 times the products of the hidden layers. An implementation may do more (PyTorch also
computes what is not read) or less (a critic that is not the smaller one for a sample needs no gradient to its
action): the count is the same for all, so that rates compare.
"""

from __future__ import annotations

from itertools import pairwise


def update_flops(
    observation_dim: int,
    action_dim: int,
    actor_layers: tuple[int, ...],
    critic_layers: tuple[int, ...],
    batch_size: int,
    n_critics: int = 2,
) -> int:
    """Return the floating-point operations in the matrix products of one gradient step.

    :param actor_layers: widths of its hidden layers
    :param critic_layers: widths of each critic's hidden layers
    """
    actor = [*pairwise((observation_dim, *actor_layers, 2 * action_dim))]
    critic = [*pairwise((observation_dim + action_dim, *critic_layers, 1))]
    to_actions = [(action_dim, critic[0][1]), *critic[1:]]
    multiply_adds = (
        2 * _products(actor)  # forward at s and s'
        + _products(actor[1:])  # dX
        + _products(actor)  # dW
        + n_critics
        * (
            3 * _products(critic)  # forward: targets, values, values of the policy's actions
            + _products(critic[1:])  # dX
            + _products(critic)  # dW
            + _products(to_actions)
        )
    )
    return 2 * batch_size * multiply_adds


def _products(layers: list[tuple[int, int]]) -> int:
    return sum(n_inputs * n_outputs for n_inputs, n_outputs in layers)
