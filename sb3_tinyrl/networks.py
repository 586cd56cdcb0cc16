"""SB3's networks in the order of the kernel: which modules a policy consists of, and whether they are what SB3 made."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch as th
from stable_baselines3.common.policies import ContinuousCritic
from stable_baselines3.sac.policies import Actor, SACPolicy
from torch import nn

from sb3_tinyrl import activations
from sb3_tinyrl._native.abi.specs import Activation
from sb3_tinyrl._native.errors import UnsupportedByKernelError

_require = UnsupportedByKernelError.unless

_STANDARD_POLICY = "use the networks of SB3's MlpPolicy as net_arch and activation_fn make them"


@dataclass(frozen=True)
class ActorNetwork:
    """The layers that compute the distribution of actions.

    :param hidden: from the features on; may be empty
    :param mean: head
    :param log_std: head, or with gSDE the parameter of shape ``(latent_dim, action_dim)``
    :param clip_mean: largest absolute value of the mean; infinite without gSDE
    :param activations: modules behind the hidden layers
    """

    hidden: tuple[nn.Linear, ...]
    mean: nn.Linear
    log_std: nn.Linear | nn.Parameter
    clip_mean: float
    activations: tuple[nn.Module, ...]

    @property
    def layers(self) -> tuple[nn.Linear, ...]:
        """In the order of the kernel."""
        heads = (self.mean, self.log_std) if isinstance(self.log_std, nn.Linear) else (self.mean,)
        return *self.hidden, *heads


@dataclass(frozen=True)
class CriticNetwork:
    """The layers of one Q-function, the last of which has one output.

    :param layers: from features and action on
    :param activations: modules behind all but the last layer
    """

    layers: tuple[nn.Linear, ...]
    activations: tuple[nn.Module, ...]


@dataclass(frozen=True)
class Networks:
    """All that a gradient step computes with.

    :raises UnsupportedByKernelError: when a network is anything but linear layers with one kind of activation function
        between them, of the same widths in all critics and targets
    """

    actor: ActorNetwork
    critics: tuple[CriticNetwork, ...]
    targets: tuple[CriticNetwork, ...]

    @classmethod
    def of(cls, policy: SACPolicy) -> Networks:
        """Find the layers of a policy, and check that they fit together."""
        networks = cls(actor_network(policy.actor), *map(_critic_networks, (policy.critic, policy.critic_target)))
        input_dim = policy.actor.features_dim + networks.actor.mean.weight.shape[0]
        widths = _widths(networks.critics[0].layers)
        for kind, critics in (("critic", networks.critics), ("target", networks.targets)):
            _require(
                len(critics) == len(networks.critics),
                f"there are {len(networks.critics)} critics and {len(critics)} targets",
                _STANDARD_POLICY,
            )
            for i, critic in enumerate(critics):
                _require_chain(f"{kind} {i}", critic.layers, input_dim)
                _require(
                    _widths(critic.layers) == widths,
                    f"{kind} {i} has layers of widths {_widths(critic.layers)}, critic 0 of {widths}",
                    _STANDARD_POLICY,
                )
        activation(networks.modules_between())
        return networks

    def modules_between(self) -> tuple[nn.Module, ...]:
        """All activation functions."""
        critics = (*self.critics, *self.targets)
        return *self.actor.activations, *(module for critic in critics for module in critic.activations)

    def linear_layers(self) -> Iterator[tuple[str, nn.Linear]]:
        """Each layer with the network it belongs to (``actor``, ``critic`` or ``target``), in the kernel's order."""
        yield from (("actor", layer) for layer in self.actor.layers)
        for name, networks in (("critic", self.critics), ("target", self.targets)):
            yield from ((name, layer) for network in networks for layer in network.layers)


def actor_network(actor: Actor) -> ActorNetwork:
    """Find the layers of an actor, and check that they fit together.

    :raises UnsupportedByKernelError: when it is anything but linear layers with activation functions behind all hidden
        ones
    """
    layers, between = _alternating("actor", actor.latent_pi)
    _require(
        len(layers) == len(between),
        "the actor's last hidden layer has no activation function behind it",
        _STANDARD_POLICY,
    )
    mean, clip_mean = actor.mu, math.inf
    if actor.use_sde and isinstance(mean, nn.Sequential):
        mean, clip_mean = _clipped_mean(mean)
    mean = _linear("actor", mean)
    _require_chain("actor", (*layers, mean), actor.features_dim)
    latent_dim, action_dim = mean.weight.shape[1], mean.weight.shape[0]
    log_std: nn.Linear | nn.Parameter
    if actor.use_sde:
        log_std = actor.log_std
        _require(
            isinstance(log_std, nn.Parameter) and log_std.shape == (latent_dim, action_dim),
            f"the actor's log_std is a {type(log_std).__name__} of shape {tuple(getattr(log_std, 'shape', ()))}, "
            f"expected a parameter of shape {(latent_dim, action_dim)}",
            "leave full_std at True",
        )
    else:
        log_std = _linear("actor", actor.log_std)
        _require_chain("actor", (*layers, log_std), actor.features_dim)
        _require(
            log_std.weight.shape == mean.weight.shape,
            f"the actor's mu has {action_dim} outputs and its log_std {log_std.weight.shape[0]}",
            _STANDARD_POLICY,
        )
    return ActorNetwork(tuple(layers), mean, log_std, clip_mean, tuple(between))


def _clipped_mean(mean: nn.Sequential) -> tuple[nn.Module, float]:
    """The linear layer and the bound of what SB3 makes of ``clip_mean``."""
    modules = [*mean]
    is_standard = (
        len(modules) == 2 and type(modules[1]) is nn.Hardtanh and modules[1].max_val == -modules[1].min_val >= 0
    )
    _require(is_standard, f"the actor's mu is {mean}, expected a linear layer and a Hardtanh", _STANDARD_POLICY)
    assert isinstance(modules[1], nn.Hardtanh)
    return modules[0], float(modules[1].max_val)


def _critic_networks(critic: ContinuousCritic) -> tuple[CriticNetwork, ...]:
    registered = [module for name, module in critic._modules.items() if name.startswith("qf")]
    _require(
        len(registered) == len(critic.q_networks) > 0
        and all(one is other for one, other in zip(registered, critic.q_networks, strict=True)),
        "the critic's q_networks are not its modules qf0, qf1, ...",
        _STANDARD_POLICY,
    )
    networks = []
    for network in critic.q_networks:
        layers, between = _alternating("critic", network)
        _require(
            len(layers) == len(between) + 1 and layers[-1].weight.shape[0] == 1,
            "a critic does not end in a linear layer with one output",
            _STANDARD_POLICY,
        )
        networks.append(CriticNetwork(tuple(layers), tuple(between)))
    return tuple(networks)


def _alternating(name: str, network: nn.Module) -> tuple[list[nn.Linear], list[nn.Module]]:
    """Linear layers and what lies behind each of them."""
    _require(
        type(network) is nn.Sequential,
        f"a network of the {name} is a {type(network).__name__}, expected a nn.Sequential",
        _STANDARD_POLICY,
    )
    assert isinstance(network, nn.Sequential)
    modules = [*network]
    return [_linear(name, module) for module in modules[::2]], modules[1::2]


def _linear(name: str, module: nn.Module | nn.Parameter) -> nn.Linear:
    _require(
        type(module) is nn.Linear and {*module._parameters} == {"weight", "bias"} and module.bias is not None,
        f"the {name} holds a {type(module).__name__} where the kernel knows only nn.Linear with bias",
        _STANDARD_POLICY,
    )
    assert isinstance(module, nn.Linear)
    return module


def _require_chain(name: str, layers: tuple[nn.Linear, ...], input_dim: int) -> None:
    """Each layer reads what the one before it writes."""
    for layer in layers:
        shape, bias_shape = tuple(layer.weight.shape), tuple(layer.bias.shape)
        _require(
            len(shape) == 2 and shape[1] == input_dim and bias_shape == shape[:1],
            f"a layer of the {name} has a weight of shape {shape} and a bias of shape {bias_shape}, expected "
            f"(n, {input_dim}) and (n,)",
            _STANDARD_POLICY,
        )
        input_dim = shape[0]


def _widths(layers: tuple[nn.Linear, ...]) -> tuple[int, ...]:
    return tuple(layer.weight.shape[0] for layer in layers)


def hidden_widths(layers: tuple[nn.Linear, ...]) -> tuple[int, ...]:
    """Outputs of all layers but the last."""
    return _widths(layers)[:-1]


def activation(modules: tuple[nn.Module, ...]) -> Activation:
    """The one function that all of the modules compute; the kernel's default where there is none.

    :raises UnsupportedByKernelError: when there are several, or one that the kernel lacks
    """
    functions = {_activation_of(module) for module in modules}
    _require(
        len(functions) <= 1,
        "the hidden layers have different activation functions",
        "use one for all, as activation_fn does",
    )
    return functions.pop() if functions else Activation()


def _activation_of(module: nn.Module) -> Activation:
    found = activations.read(module)
    _require(
        found is not None,
        f"the activation function is {module}, which the kernel lacks",
        f"pass policy_kwargs=dict(activation_fn=...) with one of torch.nn's {', '.join(activations.class_names())}",
    )
    assert found is not None
    function = found.function
    _require(
        found.is_valid,
        f"the activation function is {module}",
        f"pass finite numbers as {' and '.join(function.constants)}"
        + "".join(f", {name} above zero" for name in function.positive),
    )
    return found.for_kernel()


def tensors(networks: ActorNetwork | Networks) -> Iterator[tuple[str, th.Tensor]]:
    """Each parameter with a name for messages, in the kernel's order; with gSDE the noise's scale last."""
    layers = (
        (("actor", layer) for layer in networks.layers)
        if isinstance(networks, ActorNetwork)
        else networks.linear_layers()
    )
    for name, layer in layers:
        yield f"a weight of the {name}", layer.weight
        yield f"a bias of the {name}", layer.bias
    actor = networks if isinstance(networks, ActorNetwork) else networks.actor
    if isinstance(actor.log_std, nn.Parameter):
        yield "the actor's log_std", actor.log_std
