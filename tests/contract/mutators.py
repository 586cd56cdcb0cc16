"""What users do to a model between building it and using it, one small function each.

A mutator does the same to SB3's ``SAC`` as to ours, and draws nothing at random. It counts in ``case.calls`` how often
what it has put in place is called, which must be as often as with SB3.
"""

from __future__ import annotations

import copy
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch as th
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.type_aliases import ReplayBufferSamples, TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.vec_env import VecNormalize
from stable_baselines3.sac import policies, sac
from torch import nn
from torch.distributions import Distribution

WIDTH, BATCH_SIZE = 16, 16
"""Units of each hidden layer and samples of a batch, so that nearly all cases share one kernel."""

BEFORE, DURING, BETWEEN = "before", "during", "between"
"""Before the first call of ``learn``, in a callback in the middle of it, and between two calls."""


@dataclass
class Case:
    """A model, how often what mutators have put in place was called, and what undoes changes outside the model."""

    model: SAC
    calls: Counter[str] = field(default_factory=Counter)
    undo: ExitStack = field(default_factory=ExitStack)
    env: Any = None
    """How the model's environment was made."""

    def counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``function``, but counting its calls."""

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            return function(*args, **kwargs)

        return call

    def patch(self, owner: Any, method: str, change: Callable[..., Any] | None = None) -> None:
        """Replace a method of one object by itself, counted, and ``change`` what it returns."""
        original = getattr(owner, method)

        def call(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            return result if change is None else change(result)

        setattr(owner, method, self.counted(method, call))


@dataclass(frozen=True)
class Mutator:
    """One thing that users do.

    :param moments: when it makes sense
    :param base: which model it needs, see ``judge.BASES``
    :param is_global: whether it changes a class or a module, and so both models at once
    :param acts: whether it changes what the policy does in the environment
    :param corrupts: whether it made the kernel touch memory that is not the model's
    :param may_extend: whether SB3 refuses what ours is free to do
    """

    function: Callable[[Case], None]
    moments: tuple[str, ...] = (BEFORE, DURING, BETWEEN)
    base: str = "plain"
    is_global: bool = False
    acts: bool = False
    corrupts: bool = False
    may_extend: bool = False

    def __call__(self, case: Case) -> None:
        with th.no_grad():
            self.function(case)


MUTATORS: dict[str, Mutator] = {}


def mutator(function: Callable[[Case], None] | None = None, **options: Any) -> Any:
    """Put a function into ``MUTATORS`` by its name."""
    if function is None:
        return partial(mutator, **options)
    if options.get("is_global"):
        options["moments"] = tuple(m for m in options.get("moments", (BEFORE, BETWEEN)) if m != DURING)
    MUTATORS[function.__name__] = Mutator(function, **options)
    return function


def adam(parameters: Iterable[nn.Parameter]) -> th.optim.Adam:
    return th.optim.Adam(parameters, lr=3e-4)


def filled(tensor: th.Tensor) -> th.Tensor:
    """Small numbers of both signs, the same for the same shape."""
    return th.linspace(-0.3, 0.3, tensor.numel(), dtype=tensor.dtype).flip(0).sin().reshape(tensor.shape)


def with_filled(module: nn.Module) -> nn.Module:
    """Give a new module weights that don't depend on torch's generator."""
    for parameter in module.parameters():
        parameter.copy_(filled(parameter))
    return module


def tall(width: int, inputs: int = 4) -> nn.Module:
    """A critic of another width."""
    layers = [nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)]
    return with_filled(nn.Sequential(*layers))


def replace_critic(model: SAC, index: int, make: Callable[[], nn.Module]) -> None:
    for critic in (model.critic, model.critic_target):
        network = make()
        setattr(critic, f"qf{index}", network)
        critic.q_networks[index] = network
    model.critic.optimizer = adam(model.critic.parameters())


def linear(network: Any) -> list[nn.Linear]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear)]


# --- parameters ---


@mutator(acts=True)
def parameters_replaced(case: Case) -> None:
    actor = case.model.actor
    actor.mu.weight = nn.Parameter(filled(actor.mu.weight) * 0.1)
    actor.mu.bias = nn.Parameter(th.full_like(actor.mu.bias, 0.05))


@mutator
def critic_parameters_replaced_with_their_optimizer(case: Case) -> None:
    critic = case.model.critic
    for layer in linear(critic):
        layer.weight = nn.Parameter(layer.weight * 0.5)
    critic.optimizer = adam(critic.parameters())


@mutator
def target_parameters_replaced(case: Case) -> None:
    for layer in linear(case.model.critic_target):
        layer.weight = nn.Parameter(layer.weight * 0.5, requires_grad=False)


@mutator(acts=True)
def state_dict_assigned(case: Case) -> None:
    actor = case.model.actor
    values = {name: value * 0.5 for name, value in actor.state_dict().items()}
    values["log_std.weight"] = actor.log_std.weight.clone()
    actor.load_state_dict(values, assign=True)


@mutator
def state_dict_loaded(case: Case) -> None:
    policy = case.model.policy
    policy.load_state_dict({name: value * 0.9 for name, value in policy.state_dict().items()})


@mutator(acts=True)
def data_replaced(case: Case) -> None:
    for parameter in case.model.actor.latent_pi.parameters():
        parameter.data = parameter.data * 0.5


@mutator
def data_transposed(case: Case) -> None:
    for layer in linear(case.model.policy):
        layer.weight.data = layer.weight.data.t().contiguous().t()


@mutator(acts=True)
def storage_set(case: Case) -> None:
    weight = case.model.actor.latent_pi[0].weight
    weight.data.set_(filled(weight))


@mutator(corrupts=True)
def storage_resized(case: Case) -> None:
    for parameter in case.model.policy.parameters():
        storage = parameter.untyped_storage()
        storage.resize_(storage.nbytes() + 2**16)


@mutator
def parameters_in_one_storage(case: Case) -> None:
    parameters = [*case.model.critic.parameters()]
    flat = nn.utils.parameters_to_vector(parameters).detach().clone()
    for parameter, piece in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        parameter.data = piece.view_as(parameter)


@mutator(corrupts=True)
def head_resized(case: Case) -> None:
    weight = case.model.actor.log_std.weight
    weight.data = filled(th.empty(2, WIDTH))


@mutator(corrupts=True)
def hidden_weight_narrowed(case: Case) -> None:
    layer = case.model.actor.latent_pi[2]
    layer.weight.data = layer.weight.data[: WIDTH // 2, : WIDTH // 2].clone()


@mutator
def expanded_bias(case: Case) -> None:
    bias = case.model.actor.latent_pi[0].bias
    bias.data = th.full((1,), 0.01).expand(WIDTH)


@mutator(may_extend=True)
def policy_in_double(case: Case) -> None:
    case.model.policy.double()


@mutator(may_extend=True)
def actor_in_double(case: Case) -> None:
    case.model.actor.double()


@mutator
def actor_in_half(case: Case) -> None:
    case.model.actor.half()


@mutator
def one_weight_in_bfloat16(case: Case) -> None:
    layer = case.model.critic.q_networks[0][2]
    layer.weight.data = layer.weight.data.bfloat16()


@mutator
def first_layer_frozen(case: Case) -> None:
    case.model.actor.latent_pi[0].weight.requires_grad_(False)


@mutator
def critic_frozen(case: Case) -> None:
    case.model.critic.requires_grad_(False)


@mutator
def gradients_left_over(case: Case) -> None:
    for parameter in case.model.policy.parameters():
        parameter.grad = th.full_like(parameter, 3.0)


@mutator
def frozen_with_a_gradient_left_over(case: Case) -> None:
    bias = case.model.actor.latent_pi[0].bias
    bias.grad = th.ones_like(bias)
    bias.requires_grad_(False)


# --- modules ---


@mutator(corrupts=True, acts=True)
def network_from_elsewhere(case: Case) -> None:
    actor = case.model.actor
    network = nn.Sequential(nn.Linear(3, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))
    actor.latent_pi = with_filled(network)
    actor.optimizer = adam(actor.parameters())


@mutator(acts=True)
def last_activation_removed(case: Case) -> None:
    actor = case.model.actor
    actor.latent_pi = actor.latent_pi[:-1]


@mutator
def identity_inserted(case: Case) -> None:
    actor = case.model.actor
    actor.latent_pi = nn.Sequential(*actor.latent_pi, nn.Identity())


@mutator
def layer_norm_inserted(case: Case) -> None:
    actor = case.model.actor
    actor.latent_pi = nn.Sequential(*actor.latent_pi, nn.LayerNorm(WIDTH))
    actor.optimizer = adam(actor.parameters())


@mutator(acts=True)
def activation_swapped(case: Case) -> None:
    case.model.actor.latent_pi[1] = nn.Tanh()


@mutator
def activation_of_one_critic_swapped(case: Case) -> None:
    case.model.critic.q_networks[0][1] = nn.Tanh()


@mutator
def layers_of_another_class(case: Case) -> None:
    case.model.actor.latent_pi[0].__class__ = Doubled


class Doubled(nn.Linear):
    """A layer of one's own."""

    def forward(self, input: th.Tensor) -> th.Tensor:
        return 2 * super().forward(input)


@mutator(acts=True)
def head_of_two_layers(case: Case) -> None:
    actor = case.model.actor
    actor.mu = with_filled(nn.Sequential(nn.Linear(WIDTH, 8), nn.ReLU(), nn.Linear(8, 1)))
    actor.optimizer = adam(actor.parameters())


@mutator(acts=True)
def bounded_head(case: Case) -> None:
    actor = case.model.actor
    actor.mu = with_filled(nn.Sequential(nn.Linear(WIDTH, 1), nn.Hardtanh(-1e-3, 1e-3)))
    actor.optimizer = adam(actor.parameters())


@mutator
def log_std_of_a_sequential(case: Case) -> None:
    actor = case.model.actor
    actor.log_std = with_filled(nn.Sequential(nn.Linear(WIDTH, 1)))
    actor.optimizer = adam(actor.parameters())


@mutator
def log_std_is_a_parameter(case: Case) -> None:
    actor = case.model.actor
    del actor.log_std
    actor.log_std = nn.Parameter(th.zeros(1))
    actor.optimizer = adam(actor.parameters())


@mutator(acts=True)
def bias_removed(case: Case) -> None:
    case.model.actor.mu.bias = None


@mutator(corrupts=True)
def second_critic_wider(case: Case) -> None:
    replace_critic(case.model, 1, lambda: tall(WIDTH + 8))


@mutator(corrupts=True)
def both_critics_wider(case: Case) -> None:
    for index in range(2):
        replace_critic(case.model, index, lambda: tall(WIDTH + 8))


@mutator(corrupts=True)
def target_wider_than_its_critic(case: Case) -> None:
    target = case.model.critic_target
    target.qf0 = target.q_networks[0] = tall(WIDTH + 8)


@mutator
def third_critic_appended(case: Case) -> None:
    for critic in (case.model.critic, case.model.critic_target):
        critic.qf2 = tall(WIDTH)
        critic.q_networks.append(critic.qf2)
    case.model.critic.optimizer = adam(case.model.critic.parameters())


@mutator
def list_and_attribute_of_a_critic_differ(case: Case) -> None:
    case.model.critic.q_networks[0] = tall(WIDTH)


@mutator(moments=(BEFORE, BETWEEN))  # during a run the network in the list would keep what its noise has made
def attribute_of_a_critic_replaced(case: Case) -> None:
    case.model.critic.qf0 = tall(WIDTH)


@mutator
def target_shares_a_weight_with_its_critic(case: Case) -> None:
    model = case.model
    model.critic_target.qf0[2].weight = model.critic.qf0[2].weight


@mutator
def critics_share_a_layer(case: Case) -> None:
    for critic in (case.model.critic, case.model.critic_target):
        critic.qf1[0] = critic.qf0[0]


@mutator(acts=True)
def features_extractor_replaced(case: Case) -> None:
    case.model.actor.features_extractor = nn.Sequential(nn.Flatten(), Scaled())


class Scaled(nn.Module):
    """Half of what comes in."""

    def forward(self, features: th.Tensor) -> th.Tensor:
        return 0.5 * features


@mutator
def target_network_replaced(case: Case) -> None:
    model = case.model
    model.critic_target = copy.deepcopy(model.critic_target)


@mutator
def policy_replaced(case: Case) -> None:
    model = case.model
    model.policy = copy.deepcopy(model.policy)
    model._create_aliases()


@mutator(moments=(BEFORE, BETWEEN))  # during a run the copy would keep weights that its noise has made
def policy_replaced_without_its_aliases(case: Case) -> None:
    case.model.policy = copy.deepcopy(case.model.policy)


# --- hooks ---


@mutator
def gradient_hooks(case: Case) -> None:
    for parameter in case.model.actor.parameters():
        parameter.register_hook(case.counted("gradient hook", lambda gradient: gradient * 0))


@mutator
def post_accumulate_hooks(case: Case) -> None:
    def clip(parameter: nn.Parameter) -> None:
        assert parameter.grad is not None
        parameter.grad.clamp_(-1e-3, 1e-3)

    for parameter in case.model.critic.parameters():
        parameter.register_post_accumulate_grad_hook(case.counted("post-accumulate hook", clip))


@mutator(acts=True)
def forward_hook(case: Case) -> None:
    case.model.actor.mu.register_forward_hook(case.counted("forward hook", lambda module, args, output: output * 0.5))


@mutator
def forward_hook_that_only_looks(case: Case) -> None:
    case.model.critic.register_forward_hook(case.counted("forward hook", lambda module, args, output: None))


@mutator(acts=True)
def forward_pre_hook(case: Case) -> None:
    case.model.actor.latent_pi.register_forward_pre_hook(case.counted("forward pre-hook", lambda m, args: args[0] * 2))


@mutator
def full_backward_hook(case: Case) -> None:
    case.model.critic.q_networks[1].register_full_backward_hook(
        case.counted("backward hook", lambda module, grad_input, grad_output: None)
    )


@mutator
def backward_pre_hook(case: Case) -> None:
    case.model.actor.latent_pi.register_full_backward_pre_hook(
        case.counted("backward pre-hook", lambda module, gradient: (gradient[0] * 0.5,))
    )


@mutator(is_global=True, acts=True)
def global_forward_hook(case: Case) -> None:
    def halve(module: nn.Module, args: Any, output: Any) -> Any:
        return output * 0.5 if type(module) is nn.Linear else None

    case.undo.callback(nn.modules.module.register_module_forward_hook(halve).remove)


@mutator(is_global=True)
def global_optimizer_hook(case: Case) -> None:
    def shrink(optimizer: th.optim.Optimizer, args: Any, kwargs: Any) -> None:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad *= 0.5

    case.undo.callback(th.optim.optimizer.register_optimizer_step_pre_hook(shrink).remove)


@mutator
def optimizer_pre_hook(case: Case) -> None:
    critic = case.model.critic

    def clip(optimizer: th.optim.Optimizer, args: Any, kwargs: Any) -> None:
        nn.utils.clip_grad_norm_(critic.parameters(), 1e-3)

    critic.optimizer.register_step_pre_hook(case.counted("step pre-hook", clip))


@mutator
def optimizer_post_hook(case: Case) -> None:
    case.model.actor.optimizer.register_step_post_hook(case.counted("step post-hook", lambda *_: None))


@mutator
def state_dict_hook(case: Case) -> None:
    case.model.actor.register_state_dict_post_hook(lambda module, state, prefix, metadata: None)


# --- parametrizations and compiled modules ---


class Halved(nn.Module):
    """A parametrization."""

    def forward(self, weight: th.Tensor) -> th.Tensor:
        return 0.5 * weight


@mutator(acts=True)
def parametrization(case: Case) -> None:
    nn.utils.parametrize.register_parametrization(case.model.actor.mu, "weight", Halved())


@mutator
def weight_norm_of_old_style(case: Case) -> None:
    with mock.patch("warnings.warn"):
        nn.utils.weight_norm(case.model.actor.latent_pi[2])
    case.model.actor.optimizer = adam(case.model.actor.parameters())


@mutator
def weight_norm_of_new_style(case: Case) -> None:
    nn.utils.parametrizations.weight_norm(case.model.actor.latent_pi[2])
    case.model.actor.optimizer = adam(case.model.actor.parameters())


def critic_layers(model: SAC) -> list[nn.Linear]:
    return [q[2] for critic in (model.critic, model.critic_target) for q in critic.q_networks]


@mutator
def spectral_norm_of_old_style(case: Case) -> None:
    with mock.patch("warnings.warn"):
        for layer in critic_layers(case.model):
            th.manual_seed(0)
            nn.utils.spectral_norm(layer)


@mutator
def spectral_norm_of_new_style(case: Case) -> None:
    for layer in critic_layers(case.model):
        th.manual_seed(0)
        nn.utils.parametrizations.spectral_norm(layer)


def keep_checks_of_distributions(case: Case) -> None:
    """``torch.compile`` turns them off for the whole process when it first runs something."""
    case.undo.callback(Distribution.set_default_validate_args, Distribution._validate_args)


@mutator
def compiled_policy(case: Case) -> None:
    keep_checks_of_distributions(case)
    case.model.policy = th.compile(case.model.policy, backend="eager")


@mutator
def compiled_network(case: Case) -> None:
    keep_checks_of_distributions(case)
    actor = case.model.actor
    actor.latent_pi = th.compile(actor.latent_pi, backend="eager")


# --- methods ---


@mutator(acts=True)
def forward_of_a_network_patched(case: Case) -> None:
    case.patch(case.model.actor.latent_pi, "forward", lambda latent: latent * 0.5)


@mutator
def forward_of_the_critic_patched(case: Case) -> None:
    case.patch(case.model.critic, "forward", lambda values: tuple(value * 0.5 for value in values))


@mutator(acts=True)
def forward_of_the_actor_patched(case: Case) -> None:
    case.patch(case.model.actor, "forward", lambda actions: actions * 0.5)


@mutator(acts=True)
def get_action_dist_params_patched(case: Case) -> None:
    case.patch(case.model.actor, "get_action_dist_params", lambda result: (result[0] * 0.5, *result[1:]))


@mutator(is_global=True, acts=True)
def get_action_dist_params_patched_on_the_class(case: Case) -> None:
    original = policies.Actor.get_action_dist_params

    def halved(self: Any, observations: Any) -> Any:
        mean, *others = original(self, observations)
        return (mean * 0.5, *others)

    case.undo.enter_context(mock.patch.object(policies.Actor, "get_action_dist_params", halved))


@mutator
def action_log_prob_patched(case: Case) -> None:
    case.patch(case.model.actor, "action_log_prob", lambda result: (result[0], result[1] * 0.5))


@mutator(acts=True)
def predict_patched(case: Case) -> None:
    policy = case.model.policy
    policy._predict = case.counted(
        "_predict", lambda observation, deterministic=False: th.full((len(observation), 1), 0.25)
    )


@mutator(acts=True)
def predict_of_the_policy_patched(case: Case) -> None:
    case.patch(case.model.policy, "predict", lambda result: (result[0] * 0.5, result[1]))


@mutator(acts=True)
def predict_of_the_model_patched(case: Case) -> None:
    case.patch(case.model, "predict", lambda result: (result[0] * 0.5, result[1]))


@mutator
def extract_features_patched(case: Case) -> None:
    case.patch(case.model.critic, "extract_features", lambda features: features * 0.5)


@mutator(acts=True)
def extract_features_of_the_actor_patched(case: Case) -> None:
    case.patch(case.model.actor, "extract_features", lambda features: features * 0.5)


@mutator(acts=True)
def policy_of_a_class_of_ones_own(case: Case) -> None:
    case.model.actor.__class__ = Timid


class Timid(policies.Actor):
    """Overrides what SB3 calls in acting and training."""

    def get_action_dist_params(self, obs: Any) -> Any:
        mean, *others = super().get_action_dist_params(obs)
        return (mean * 0.25, *others)


@mutator(is_global=True)
def largest_log_std_lowered(case: Case) -> None:
    case.undo.enter_context(mock.patch.object(policies, "LOG_STD_MAX", -1.0))


@mutator(is_global=True)
def smallest_log_std_raised(case: Case) -> None:
    case.undo.enter_context(mock.patch.object(policies, "LOG_STD_MIN", 0.5))


@mutator(is_global=True, acts=True)
def forward_of_all_layers_patched(case: Case) -> None:
    original = nn.Linear.forward
    case.undo.enter_context(mock.patch.object(nn.Linear, "forward", lambda self, x: original(self, x) * 0.5))


@mutator(is_global=True, acts=True)
def forward_of_all_activations_patched(case: Case) -> None:
    original = nn.ReLU.forward
    case.undo.enter_context(mock.patch.object(nn.ReLU, "forward", lambda self, x: original(self, x) * 0.5))


@mutator(is_global=True, acts=True)
def forward_of_another_activation(case: Case) -> None:
    case.undo.enter_context(mock.patch.object(nn.ReLU, "forward", nn.Tanh.forward))  # written in the same module


@mutator(is_global=True)
def layers_in_half_precision(case: Case) -> None:
    forward = th.autocast("cpu", dtype=th.bfloat16)(nn.Linear.forward)  # torch's own decorator
    case.undo.enter_context(mock.patch.object(nn.Linear, "forward", forward))


# --- SB3's loop ---


@mutator(is_global=True)
def train_patched_on_the_class(case: Case) -> None:
    original = SAC.train

    def shrinking(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        self.actor.mu.weight.data *= 0.5

    case.undo.enter_context(mock.patch.object(SAC, "train", shrinking))


@mutator(is_global=True, acts=True)
def sample_action_patched_on_the_class(case: Case) -> None:
    original = SAC._sample_action

    def halved(self: Any, *args: Any, **kwargs: Any) -> Any:
        return tuple(actions * 0.5 for actions in original(self, *args, **kwargs))

    case.undo.enter_context(mock.patch.object(SAC, "_sample_action", halved))  # where OffPolicyAlgorithm's was


@mutator(is_global=True)
def loss_of_another_kind(case: Case) -> None:
    case.undo.enter_context(mock.patch.object(nn.functional, "mse_loss", nn.functional.smooth_l1_loss))


@mutator(is_global=True)
def targets_moved_at_half_the_pace(case: Case) -> None:
    original = sac.polyak_update
    slower = partial(lambda update, params, targets, tau: update(params, targets, tau * 0.5), original)
    case.undo.enter_context(mock.patch.object(sac, "polyak_update", slower))


# --- optimizers ---


@mutator
def optimizer_of_another_class(case: Case) -> None:
    actor = case.model.actor
    actor.optimizer = th.optim.SGD(actor.parameters(), lr=1e-3)


@mutator
def optimizer_made_anew(case: Case) -> None:
    for network in (case.model.actor, case.model.critic):
        network.optimizer = adam(network.parameters())


@mutator
def optimizer_of_some_parameters(case: Case) -> None:
    case.model.actor.optimizer = adam(case.model.actor.mu.parameters())


@mutator
def optimizer_of_foreign_parameters(case: Case) -> None:
    model = case.model
    model.actor.optimizer = adam(copy.deepcopy(model.actor).parameters())


@mutator
def optimizers_shared(case: Case) -> None:
    model = case.model
    both = adam([*model.actor.parameters(), *model.critic.parameters()])
    model.actor.optimizer = model.critic.optimizer = both


@mutator
def step_of_an_optimizer_patched(case: Case) -> None:
    case.model.critic.optimizer.step = case.counted("step", lambda *args: None)


@mutator(corrupts=True)
def foreign_optimizer_state(case: Case) -> None:
    for network in (case.model.actor, case.model.critic):
        for parameter in network.parameters():
            shape = [min(2, size) for size in parameter.shape]
            moments = {name: th.full(shape, 0.01) for name in ("exp_avg", "exp_avg_sq")}
            network.optimizer.state[parameter] = {"step": th.tensor(5.0), **moments}


@mutator(corrupts=True)
def foreign_optimizer_state_of_the_entropy_coefficient(case: Case) -> None:
    model = case.model
    if model.ent_coef_optimizer is not None:
        model.ent_coef_optimizer.state[model.log_ent_coef] = {
            "step": th.tensor(5.0),
            "exp_avg": th.zeros(0),
            "exp_avg_sq": th.zeros(0),
        }


@mutator
def optimizer_state_in_double(case: Case) -> None:
    for state in case.model.actor.optimizer.state.values():
        for name in state.keys() - {"step"}:
            state[name] = state[name].double()


@mutator
def optimizer_state_transposed(case: Case) -> None:
    for state in case.model.critic.optimizer.state.values():
        for name in state.keys() - {"step"}:
            if state[name].ndim == 2:
                state[name] = state[name].t().contiguous().t()


@mutator
def optimizer_state_of_one_parameter_deleted(case: Case) -> None:
    case.model.actor.optimizer.state.pop(case.model.actor.mu.weight, None)


@mutator
def optimizer_state_cleared(case: Case) -> None:
    case.model.critic.optimizer.state.clear()


@mutator(corrupts=True)
def optimizer_moment_deleted(case: Case) -> None:
    for state in case.model.actor.optimizer.state.values():
        state.pop("exp_avg_sq", None)


@mutator
def step_count_is_an_int(case: Case) -> None:
    for state in case.model.actor.optimizer.state.values():
        state["step"] = int(state["step"])


@mutator(corrupts=True)
def step_count_of_another_type(case: Case) -> None:
    for state in case.model.actor.optimizer.state.values():
        state["step"] = state["step"].to(th.int64)


@mutator
def step_count_of_one_element(case: Case) -> None:
    for state in case.model.actor.optimizer.state.values():
        state["step"] = state["step"].reshape(1)


@mutator
def optimizer_state_loaded(case: Case) -> None:
    for network in (case.model.actor, case.model.critic):
        network.optimizer.load_state_dict(copy.deepcopy(network.optimizer.state_dict()))


@mutator
def amsgrad_toggled(case: Case) -> None:
    for network in (case.model.actor, case.model.critic):
        for group in network.optimizer.param_groups:
            group["amsgrad"] = not group.get("amsgrad", False)


@mutator
def maximize(case: Case) -> None:
    case.model.critic.optimizer.param_groups[0]["maximize"] = True


@mutator
def betas_changed(case: Case) -> None:
    case.model.critic.optimizer.param_groups[0].update(betas=(0.5, 0.7), eps=1e-3, weight_decay=0.1)


@mutator
def betas_as_tensors(case: Case) -> None:
    case.model.critic.optimizer.param_groups[0]["betas"] = (th.tensor(0.5), th.tensor(0.7))


@mutator
def parameter_group_added(case: Case) -> None:
    actor = case.model.actor
    extra = nn.Parameter(th.zeros(3))
    actor.optimizer.add_param_group({"params": [extra]})


@mutator
def parameter_groups(case: Case) -> None:
    actor = case.model.actor
    heads = [*actor.mu.parameters(), *actor.log_std.parameters()]
    actor.optimizer = th.optim.Adam(
        [
            {"params": [*actor.latent_pi.parameters()], "betas": (0.5, 0.9)},
            {"params": heads},
        ],
        lr=3e-4,
    )


@mutator
def parameters_of_a_group_reordered(case: Case) -> None:
    case.model.actor.optimizer.param_groups[0]["params"].reverse()


@mutator
def parameter_removed_from_its_group(case: Case) -> None:
    case.model.actor.optimizer.param_groups[0]["params"].pop(0)


@mutator
def learning_rate_is_a_tensor(case: Case) -> None:
    model = case.model
    model.critic.optimizer.param_groups[0]["lr"] = th.tensor(1e-3)
    model.lr_schedule = lambda remaining: 1e-3


# --- the entropy coefficient ---


@mutator(corrupts=True)
def entropy_coefficient_fixed(case: Case) -> None:
    case.model.ent_coef_optimizer = None
    case.model.ent_coef_tensor = th.tensor(0.02)


@mutator(base="fixed")
def entropy_coefficient_learned(case: Case) -> None:
    model = case.model
    model.log_ent_coef = th.zeros(1, requires_grad=True)
    model.ent_coef_optimizer = adam([model.log_ent_coef])
    model.target_entropy = -1.0


@mutator
def entropy_coefficient_replaced(case: Case) -> None:
    """The optimizer goes on with the old one."""
    case.model.log_ent_coef = th.full((1,), -1.0).requires_grad_()


@mutator
def entropy_coefficient_replaced_with_its_optimizer(case: Case) -> None:
    model = case.model
    model.log_ent_coef = th.full((1,), -1.0).requires_grad_()
    model.ent_coef_optimizer = adam([model.log_ent_coef])


@mutator
def entropy_coefficient_gone_but_not_its_optimizer(case: Case) -> None:
    case.model.log_ent_coef = None


@mutator
def entropy_coefficient_frozen(case: Case) -> None:
    if case.model.log_ent_coef is not None:
        case.model.log_ent_coef.requires_grad_(False)


@mutator(base="fixed")
def entropy_coefficient_changed(case: Case) -> None:
    case.model.ent_coef_tensor = th.tensor([0.3])


@mutator(base="fixed")
def entropy_coefficient_of_several_elements(case: Case) -> None:
    case.model.ent_coef_tensor = th.tensor([0.1, 0.2])


@mutator(base="fixed")
def entropy_coefficient_is_a_float(case: Case) -> None:
    case.model.ent_coef_tensor = 0.1


@mutator
def entropy_coefficient_without_dimensions(case: Case) -> None:
    model = case.model
    model.log_ent_coef = th.tensor(-1.0, requires_grad=True)
    model.ent_coef_optimizer = adam([model.log_ent_coef])


@mutator(corrupts=True)
def entropy_coefficient_without_elements(case: Case) -> None:
    model = case.model
    model.log_ent_coef = th.zeros(0, requires_grad=True)
    model.ent_coef_optimizer = adam([model.log_ent_coef])


# --- the replay buffer ---


@mutator
def buffer_array_in_double(case: Case) -> None:
    buffer = case.model.replay_buffer
    buffer.observations = buffer.observations.astype(np.float64)


@mutator(corrupts=True)
def buffer_array_in_half(case: Case) -> None:
    buffer = case.model.replay_buffer
    buffer.next_observations = buffer.next_observations.astype(np.float16)


@mutator(corrupts=True)
def rewards_in_double(case: Case) -> None:
    buffer = case.model.replay_buffer
    buffer.rewards = buffer.rewards.astype(np.float64)


@mutator
def buffer_array_strided(case: Case) -> None:
    buffer = case.model.replay_buffer
    strided = np.zeros((*buffer.observations.shape[:-1], 6), np.float32)[..., ::2]
    strided[...] = buffer.observations
    buffer.observations = strided


@mutator
def buffer_array_read_only(case: Case) -> None:
    case.model.replay_buffer.observations.flags.writeable = False


@mutator
def buffer_array_in_a_file(case: Case) -> None:
    buffer = case.model.replay_buffer
    folder = Path(case.undo.enter_context(tempfile.TemporaryDirectory()))
    array = np.memmap(folder / "observations", np.float32, "w+", shape=buffer.observations.shape)
    array[...] = buffer.observations
    buffer.observations = array


@mutator(corrupts=True)
def buffer_array_shorter(case: Case) -> None:
    buffer = case.model.replay_buffer
    buffer.rewards = buffer.rewards[:8].copy()


@mutator(corrupts=True)
def buffer_array_narrower(case: Case) -> None:
    buffer = case.model.replay_buffer
    buffer.observations = buffer.observations[..., :1].copy()


@mutator
def buffer_array_is_a_list(case: Case) -> None:
    buffer = case.model.replay_buffer
    buffer.rewards = buffer.rewards.tolist()


@mutator(corrupts=True)
def buffer_position_beyond_its_end(case: Case) -> None:
    case.model.replay_buffer.pos = 10 * case.model.replay_buffer.buffer_size


@mutator
def buffer_said_to_be_full(case: Case) -> None:
    case.model.replay_buffer.full = True


@mutator(corrupts=True)
def buffer_said_to_be_larger(case: Case) -> None:
    buffer = case.model.replay_buffer
    buffer.buffer_size *= 50
    buffer.full = True


@mutator
def buffer_emptied(case: Case) -> None:
    case.model.replay_buffer.reset()


@mutator
def buffer_replaced(case: Case) -> None:
    model = case.model
    old = model.replay_buffer
    model.replay_buffer = ReplayBuffer(100, old.observation_space, old.action_space, "cpu", n_envs=1)
    for i in range(20):
        row = np.full((1, 3), 0.01 * i, np.float32)
        model.replay_buffer.add(row, row + 0.01, np.full((1, 1), 0.1), np.array([0.5]), np.array([i == 9]), [{}])


@mutator
def time_limits_not_handled(case: Case) -> None:
    case.model.replay_buffer.handle_timeout_termination = False


@mutator
def rewards_relabelled(case: Case) -> None:
    case.model.replay_buffer.rewards[...] *= 0.5


@mutator
def rewards_relabelled_in_a_new_array(case: Case) -> None:
    case.model.replay_buffer.rewards = case.model.replay_buffer.rewards * 0.5


@mutator
def nan_in_the_buffer(case: Case) -> None:
    case.model.replay_buffer.observations[:30] = np.nan


@mutator(base="float64")
def observations_too_large_for_float32(case: Case) -> None:
    case.model.replay_buffer.observations[:30] = 1e39


@mutator
def sample_counted(case: Case) -> None:
    case.patch(case.model.replay_buffer, "sample")


@mutator
def sample_that_fails(case: Case) -> None:
    case.model.replay_buffer.sample = lambda *args, **kwargs: 1 / 0


@mutator
def sample_of_twice_as_many_rows(case: Case) -> None:
    def twice(samples: ReplayBufferSamples) -> ReplayBufferSamples:
        return ReplayBufferSamples(*(None if x is None else th.cat([x, x]) for x in samples))

    case.patch(case.model.replay_buffer, "sample", twice)


@mutator
def get_samples_patched(case: Case) -> None:
    case.patch(case.model.replay_buffer, "_get_samples", lambda s: s._replace(rewards=s.rewards * 0.5))


@mutator
def add_counted(case: Case) -> None:
    case.patch(case.model.replay_buffer, "add")


@mutator
def normalize_obs_patched(case: Case) -> None:
    buffer = case.model.replay_buffer
    buffer._normalize_obs = case.counted("_normalize_obs", lambda observations, env=None: observations * 0.5)


@mutator
def normalize_reward_patched(case: Case) -> None:
    buffer = case.model.replay_buffer
    buffer._normalize_reward = case.counted("_normalize_reward", lambda reward, env=None: reward * 0.5)


@mutator(is_global=True)
def sample_patched_on_the_class(case: Case) -> None:
    original = ReplayBuffer._get_samples

    def halved(self: Any, *args: Any, **kwargs: Any) -> Any:
        samples = original(self, *args, **kwargs)
        return samples._replace(rewards=samples.rewards * 0.5)

    case.undo.enter_context(mock.patch.object(ReplayBuffer, "_get_samples", halved))


@mutator
def buffer_of_a_class_of_ones_own(case: Case) -> None:
    case.model.replay_buffer.__class__ = HalfRewards


class HalfRewards(ReplayBuffer):
    """Overrides what SB3 samples with."""

    def _get_samples(self, batch_inds: np.ndarray, env: VecNormalize | None = None) -> ReplayBufferSamples:
        samples = super()._get_samples(batch_inds, env)
        return samples._replace(rewards=samples.rewards * 0.5)


# --- VecNormalize ---


def statistics(case: Case) -> VecNormalize:
    env = case.model.get_vec_normalize_env()
    assert env is not None
    return env


@mutator(base="normalised", corrupts=True)
def statistics_in_float32(case: Case) -> None:
    statistics(case).obs_rms.var = np.array([0.5, 0.5, 4.0], np.float32)
    statistics(case).obs_rms.mean = np.zeros(3, np.float32)


@mutator(base="normalised", corrupts=True)
def statistics_are_scalars(case: Case) -> None:
    statistics(case).obs_rms.mean, statistics(case).obs_rms.var = 0.5, 2.0


@mutator(base="normalised")
def statistics_with_an_axis_more(case: Case) -> None:
    statistics(case).obs_rms.mean, statistics(case).obs_rms.var = np.zeros((1, 3)), np.full((1, 3), 2.0)


@mutator(base="normalised", corrupts=True)
def statistics_of_one_element(case: Case) -> None:
    statistics(case).training = False
    statistics(case).obs_rms.mean, statistics(case).obs_rms.var = np.zeros(1), np.full(1, 2.0)


@mutator(base="normalised", corrupts=True)
def statistics_of_another_shape(case: Case) -> None:
    statistics(case).training = False
    statistics(case).obs_rms.mean, statistics(case).obs_rms.var = np.zeros(2), np.full(2, 2.0)


@mutator(base="normalised")
def statistics_strided(case: Case) -> None:
    statistics(case).obs_rms.var = np.linspace(1, 4, 6)[::2]


@mutator(base="normalised")
def statistics_as_lists(case: Case) -> None:
    statistics(case).training = False
    statistics(case).obs_rms.mean, statistics(case).obs_rms.var = [0.0, 0.1, 0.2], np.full(3, 2.0)


@mutator(base="normalised")
def statistics_of_the_return_with_an_axis(case: Case) -> None:
    statistics(case).training = False
    statistics(case).ret_rms.var = np.array([4.0])


@mutator(base="normalised")
def statistics_replaced(case: Case) -> None:
    statistics(case).obs_rms = RunningMeanStd(shape=(3,))


@mutator(base="normalised")
def statistics_frozen(case: Case) -> None:
    statistics(case).training = False


@mutator(base="normalised")
def observations_no_longer_normalised(case: Case) -> None:
    statistics(case).norm_obs = False


@mutator(base="normalised")
def rewards_no_longer_normalised(case: Case) -> None:
    statistics(case).norm_reward = False


@mutator(base="normalised")
def clips_changed(case: Case) -> None:
    statistics(case).clip_obs, statistics(case).clip_reward, statistics(case).epsilon = 0.3, 0.2, 0.5


@mutator(base="normalised")
def clips_as_arrays(case: Case) -> None:
    statistics(case).clip_obs = np.array([0.3, 0.2, 0.1])


@mutator(base="normalised")
def normalize_obs_of_the_env_patched(case: Case) -> None:
    case.patch(statistics(case), "normalize_obs", lambda observations: observations * 0.5)


@mutator(base="normalised")
def normalisation_taken_from_the_model(case: Case) -> None:
    case.model._vec_normalize_env = None


@mutator(base="normalised")
def normalised_env_of_a_class_of_ones_own(case: Case) -> None:
    statistics(case).__class__ = HalfObservations


class HalfObservations(VecNormalize):
    """Overrides what SB3 normalises with."""

    def normalize_obs(self, obs: Any) -> Any:
        return super().normalize_obs(obs) * 0.5


# --- the loop ---


@mutator(moments=(BEFORE, BETWEEN))
def other_environment_set(case: Case) -> None:
    case.model.set_env(case.env())


@mutator
def step_of_the_environment_patched(case: Case) -> None:
    env = case.model.env
    while isinstance(env, VecNormalize):
        env = env.venv
    case.patch(env, "step_wait", lambda result: (result[0], result[1] * 0.5, *result[2:]))


@mutator
def action_noise_set(case: Case) -> None:
    case.model.action_noise = CountedNoise(case)


class CountedNoise(NormalActionNoise):
    """Counts the steps it has a part in."""

    def __init__(self, case: Case) -> None:
        super().__init__(np.zeros(1), np.ones(1))
        self.calls = case.calls

    def __call__(self) -> np.ndarray:
        self.calls["noise"] += 1
        return super().__call__()


@mutator
def gradient_steps_changed(case: Case) -> None:
    case.model.gradient_steps = 3


@mutator
def gradient_steps_as_many_as_steps(case: Case) -> None:
    case.model.gradient_steps = -1


@mutator
def no_gradient_steps(case: Case) -> None:
    case.model.gradient_steps = 0


@mutator
def train_freq_changed(case: Case) -> None:
    case.model.train_freq = TrainFreq(4, TrainFrequencyUnit.STEP)


@mutator(moments=(BEFORE, BETWEEN))
def train_freq_in_episodes(case: Case) -> None:
    case.model.train_freq = TrainFreq(1, TrainFrequencyUnit.EPISODE)


@mutator
def learning_starts_later(case: Case) -> None:
    case.model.learning_starts += 15


@mutator
def schedule_replaced(case: Case) -> None:
    case.model.lr_schedule = lambda remaining: 1e-3 * remaining


@mutator
def schedule_that_asks_the_model(case: Case) -> None:
    """Asked at each update, with the model as it is then; how often at each of them is not the user's business."""
    model, calls = case.model, case.calls

    def rate(remaining: float) -> float:
        calls[f"schedule after {model._n_updates} updates"] = 1
        return 1e-3 if model._n_updates % 2 else 1e-4

    model.lr_schedule = rate


@mutator
def update_learning_rate_patched(case: Case) -> None:
    model = case.model
    original = model._update_learning_rate

    def slower(optimizers: Any) -> None:
        original(optimizers)
        model.actor.optimizer.param_groups[0]["lr"] = 0.0

    model._update_learning_rate = case.counted("_update_learning_rate", slower)


def count_calls(method: str) -> None:
    """A mutator that counts the calls of one method of the model."""

    def count(case: Case) -> None:
        case.patch(case.model, method)

    count.__name__ = f"{method.strip('_')}_counted"
    mutator(count)


for method in (
    "train",
    "collect_rollouts",
    "_sample_action",
    "_store_transition",
    "_on_step",
    "_update_current_progress_remaining",
    "_update_info_buffer",
    "dump_logs",
):
    count_calls(method)


@mutator
def train_patched_away(case: Case) -> None:
    case.model.train = case.counted("train", lambda *args, **kwargs: None)


@mutator
def callback_of_each_step(case: Case) -> None:
    """As if written into the model's own loop."""

    def discount() -> None:
        case.model.replay_buffer.rewards *= 0.99

    case.model._on_step = case.counted("_on_step", discount)


# --- hyperparameters ---


@mutator
def gamma_is_a_numpy_scalar(case: Case) -> None:
    case.model.gamma = np.float64(0.5)


@mutator
def gamma_is_a_tensor(case: Case) -> None:
    case.model.gamma = th.tensor(0.5)


@mutator
def gamma_of_each_sample(case: Case) -> None:
    case.model.gamma = th.linspace(0, 1, BATCH_SIZE)[:, None]


@mutator
def gamma_is_a_string(case: Case) -> None:
    case.model.gamma = "0.5"


@mutator
def tau_changed(case: Case) -> None:
    case.model.tau = np.float32(0.5)


@mutator
def tau_is_a_tensor(case: Case) -> None:
    case.model.tau = th.tensor(0.25)


@mutator
def target_entropy_is_a_numpy_scalar(case: Case) -> None:
    case.model.target_entropy = np.float64(-0.5)


@mutator(may_extend=True)
def target_entropy_is_a_tensor(case: Case) -> None:
    case.model.target_entropy = th.tensor(-0.5)


@mutator
def target_update_interval_of_zero(case: Case) -> None:
    case.model.target_update_interval = 0


@mutator
def target_update_interval_negative(case: Case) -> None:
    case.model.target_update_interval = -2


@mutator
def target_update_interval_fractional(case: Case) -> None:
    case.model.target_update_interval = 1.5


@mutator
def target_update_interval_changed(case: Case) -> None:
    case.model.target_update_interval = 2


@mutator
def batch_size_changed(case: Case) -> None:
    case.model.batch_size = 2 * BATCH_SIZE


@mutator
def batch_size_is_a_numpy_integer(case: Case) -> None:
    case.model.batch_size = np.int64(BATCH_SIZE)


@mutator
def batch_size_of_zero(case: Case) -> None:
    case.model.batch_size = 0


# --- saving ---


@mutator(moments=(BEFORE, BETWEEN))
def saved_and_loaded(case: Case) -> None:
    model = case.model
    folder = Path(case.undo.enter_context(tempfile.TemporaryDirectory()))
    model.save(folder / "model")
    loaded = type(model).load(folder / "model", env=model.env)
    loaded.replay_buffer = model.replay_buffer
    loaded.set_logger(model.logger)
    case.model = loaded


@mutator
def parameters_set(case: Case) -> None:
    case.model.set_parameters(copy.deepcopy(case.model.get_parameters()))


@mutator(moments=(BEFORE, BETWEEN))
def model_copied(case: Case) -> None:
    """A copy goes on, the original is dropped."""
    model = case.model
    case.model = copy.copy(model)
