"""What the kernel can serve: from an SB3 model to the spec of its kernel, or to the reason why there is none.

:data:`ARGUMENTS` says what becomes of each argument of ``SAC``, and :data:`sb3_tinyrl.contract.FACTS` what must hold
for a model whatever arguments it was made with; the documentation's tables are made from both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stable_baselines3 import SAC
from stable_baselines3.common.preprocessing import get_action_dim

from sb3_tinyrl import contract
from sb3_tinyrl._native.abi.specs import KernelSpec
from sb3_tinyrl.activations import class_names
from sb3_tinyrl.contract import data, policy, training
from sb3_tinyrl.networks import ActorNetwork, Networks, activation, actor_network, hidden_widths
from sb3_tinyrl.observations import is_scaled_image, ordered_entries


def kernel_spec(model: SAC, batch_size: int, use_blas: bool = False) -> KernelSpec:
    """The spec of the kernel that computes ``model.train(..., batch_size)``.

    :param use_blas: whether a BLAS computes its matrix products
    :raises UnsupportedByKernelError: with the first reason found why there is none
    """
    contract.require_training(model)
    networks = Networks.of(model.policy)
    buffer = model.replay_buffer
    assert buffer is not None
    in_place = contract.reason_to_sample(model) is None
    entries = [*ordered_entries(model).values()] if in_place else []
    return KernelSpec(
        **{
            **actor_spec(model, networks.actor),
            "activation": activation(networks.modules_between()),
            "observation_divisor": 255 if in_place and is_scaled_image(model, model.observation_space) else 1,
        },
        critic_layers=hidden_widths(networks.critics[0].layers),
        n_critics=len(networks.critics),
        batch_size=batch_size,
        observation_type=buffer.observations.dtype.name if in_place and not entries else "float32",
        observation_entries=tuple((math.prod(space.shape), space.dtype.name) for space in entries),
        use_blas=use_blas,
    )


def actor_spec(model: SAC, network: ActorNetwork | None = None) -> dict[str, Any]:
    """What of a kernel's spec the actor decides: its shapes, function and type.

    :param network: of the model, if it is known already
    """
    actor = model.policy.actor
    network = network or actor_network(actor)
    return {
        "observation_dim": actor.features_dim,
        "action_dim": get_action_dim(model.action_space),
        "actor_layers": tuple(layer.weight.shape[0] for layer in network.hidden),
        "scalar_type": str(network.mean.weight.dtype).removeprefix("torch."),
        "use_sde": bool(actor.use_sde),
    }


@dataclass(frozen=True)
class Argument:
    """What becomes of one argument of ``SAC`` or of its policy.

    :param name: of the argument
    :param native: what the kernel trains with
    :param sampled: what it trains with after SB3's Python code has drawn the batches
    :param torch: what SB3's own PyTorch update trains with
    :param error: what SB3 refuses
    :param sampled_because: the reason why ``sampled`` holds for a model, or ``None`` where it does not
    :param require: raises :class:`UnsupportedByKernelError` where ``torch`` holds for a model
    """

    name: str
    native: str
    sampled: str = ""
    torch: str = ""
    error: str = ""
    sampled_because: Callable[[SAC], str | None] | None = None
    require: Callable[[SAC], None] | None = None


#: Arguments of ``SAC``, then those in ``policy_kwargs``.
ARGUMENTS = (
    Argument(
        "policy",
        '`"MlpPolicy"`, `"MultiInputPolicy"`',
        torch='`"CnnPolicy"`, custom classes',
        require=policy.require_known_policy,
    ),
    Argument(
        "env",
        "`Box` observations of any shape, in float32, float64 or integers; images, divided by 255; `Dict` of such, but "
        "for images; `VecNormalize`; any number of environments",
        sampled="float16 observations; other spaces, alone or in a `Dict`; subclasses of `VecNormalize`",
        torch="actions with a dimension whose bounds coincide",
        error="action spaces that are not a finite `Box`",
        sampled_because=data.sampled_because_of_environment,
        require=policy.require_scalable_actions,
    ),
    Argument("learning_rate", "any number or schedule"),
    Argument("buffer_size", "any"),
    Argument("learning_starts", "any"),
    Argument("batch_size", "any; a new value compiles a new kernel"),
    Argument("tau", "any"),
    Argument("gamma", "any"),
    Argument("train_freq", "steps; episodes", error="episodes of several environments"),
    Argument("gradient_steps", "any, -1 for as many as steps were taken"),
    Argument("action_noise", "any"),
    Argument(
        "replay_buffer_class",
        "`ReplayBuffer`, `NStepReplayBuffer`, `DictReplayBuffer`",
        sampled="`HerReplayBuffer`, custom classes",
        torch="arrays whose shape does not fit the spaces",
        sampled_because=data.sampled_because_of_buffer,
        require=data.require_consistent_buffer,
    ),
    Argument("replay_buffer_kwargs", "any"),
    Argument("optimize_memory_usage", "any"),
    Argument("n_steps", "any"),
    Argument("ent_coef", 'any number, `"auto"`, `"auto_0.1"`'),
    Argument("target_update_interval", "any"),
    Argument("target_entropy", 'any number, `"auto"`'),
    Argument("use_sde", "any"),
    Argument("sde_sample_freq", "any"),
    Argument("use_sde_at_warmup", "any"),
    Argument("stats_window_size", "any"),
    Argument("tensorboard_log", "any"),
    Argument("policy_kwargs", "see below"),
    Argument("verbose", "any"),
    Argument("seed", "any"),
    Argument(
        "device",
        '`"cpu"`; `"auto"`, which is the CPU wherever a kernel serves the model',
        torch="all others; frozen parameters",
        require=policy.require_tensors,
    ),
    Argument("net_arch", "a list or a dictionary of `pi` and `qf`, of any depth, with none too"),
    Argument(
        "activation_fn",
        ", ".join(f"`{name}`" for name in class_names()) + " and subclasses with other constants",
        torch="all others",
        require=policy.require_known_activation,
    ),
    Argument("log_std_init", "any"),
    Argument("use_expln", "any"),
    Argument("clip_mean", "any"),
    Argument(
        "features_extractor_class",
        "`FlattenExtractor`, `CombinedExtractor`",
        torch="all others; images among dictionary entries",
        require=policy.require_known_extractor,
    ),
    Argument("features_extractor_kwargs", "any"),
    Argument("normalize_images", "any"),
    Argument(
        "optimizer_class",
        "`torch.optim.Adam`, `torch.optim.AdamW`",
        torch="all others; several parameter groups",
        require=training.require_known_optimizer,
    ),
    Argument(
        "optimizer_kwargs",
        "`betas`, `eps`, `weight_decay`, `amsgrad`, `foreach`",
        torch="`maximize`, `capturable`, `differentiable`, `fused`",
        require=training.require_known_optimizer_options,
    ),
    Argument("n_critics", "any"),
    Argument("share_features_extractor", "any"),
)
