"""Facts about an update: its optimizers and hyperparameters."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np
import torch as th
from stable_baselines3 import SAC

from sb3_tinyrl._native.errors import UnsupportedByKernelError
from sb3_tinyrl.storage import shared_memory, shares_with_itself

_require = UnsupportedByKernelError.unless

#: State of Adam for each parameter; AMSGrad's last.
MOMENTS = ("step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq")


def trained_optimizers(model: SAC) -> list[th.optim.Optimizer]:
    """Optimizers of what is trained. Asked at each step, so it walks through no module."""
    result: list[th.optim.Optimizer] = [model.actor.optimizer, model.critic.optimizer]
    if learns_entropy_coefficient(model):
        assert model.ent_coef_optimizer is not None
        result.append(model.ent_coef_optimizer)
    return result


def optimizers(model: SAC) -> dict[str, th.optim.Optimizer]:
    """The same by the names of what they train."""
    return dict(zip(("actor", "critic", "entropy coefficient"), trained_optimizers(model), strict=False))


def _parameters_of(name: str, model: SAC) -> list[th.Tensor]:
    """What the optimizer of this name has to hold."""
    if name == "entropy coefficient":
        assert model.log_ent_coef is not None
        return [model.log_ent_coef]
    network: th.nn.Module = getattr(model.policy, name)
    return [*network.parameters()]


def learns_entropy_coefficient(model: SAC) -> bool:
    """Whether SB3 would learn it: both its tensor and its optimizer are there."""
    return model.ent_coef_optimizer is not None and model.log_ent_coef is not None


def require_known_optimizer(model: SAC) -> None:
    """Each optimizer is torch's Adam or AdamW with one group that holds just the network's parameters."""
    for name, optimizer in optimizers(model).items():
        parameters = _parameters_of(name, model)
        _require(
            type(optimizer) in (th.optim.Adam, th.optim.AdamW),
            f"the {name}'s optimizer is {type(optimizer).__name__}, the kernel has Adam and AdamW only",
            "leave out optimizer_class or pass torch.optim.AdamW",
        )
        _require(
            len(optimizer.param_groups) == 1
            and [id(p) for p in optimizer.param_groups[0]["params"]] == [id(p) for p in parameters],
            f"the {name}'s optimizer does not hold all of its parameters in one group",
            "use the optimizers that SB3 makes",
        )
        _require_optimizer_state(name, optimizer, parameters)


def _require_optimizer_state(name: str, optimizer: th.optim.Optimizer, parameters: Sequence[th.Tensor]) -> None:
    counts = set()
    moments: list[tuple[str, th.Tensor]] = []
    for parameter in parameters:
        state = optimizer.state.get(parameter) or {}
        for key in state.keys() & {*MOMENTS}:
            moment, shape = state[key], () if key == "step" else tuple(parameter.shape)
            dtype = th.float32 if key == "step" else parameter.dtype
            is_tensor = isinstance(moment, th.Tensor) and moment.layout == th.strided
            _require(
                is_tensor
                and (moment.numel() == 1 if key == "step" else tuple(moment.shape) == shape)
                and (moment.dtype, moment.device.type) == (dtype, "cpu")
                and not shares_with_itself(moment),
                f"the {name}'s {type(optimizer).__name__} holds "
                + (f"{moment.dtype} of shape {tuple(moment.shape)}" if is_tensor else repr(moment))
                + f" as {key} of a parameter of {parameter.dtype} of shape {tuple(parameter.shape)}",
                "load the state of an optimizer of networks of the same sizes and type",
            )
            moments.append((f"{key} of the {name}'s optimizer", moment))
        _require(
            not state or {*MOMENTS[:3]} <= state.keys(),
            f"the {name}'s {type(optimizer).__name__} holds {', '.join(state)} for a parameter, expected "
            f"{', '.join(MOMENTS[:3])}",
            "load a consistent optimizer state",
        )
        counts.add(float(state["step"]) if state else 0.0)
    _require(
        len(counts) == 1,
        f"the {name}'s {type(optimizer).__name__} counts different numbers of steps for its parameters",
        "load a consistent optimizer state",
    )
    if shared := shared_memory(moments):
        raise UnsupportedByKernelError(f"{shared[0]} and {shared[1]} share memory", "give each memory of its own")


def require_known_optimizer_options(model: SAC) -> None:
    """Their options are those that the kernel computes."""
    for name, optimizer in optimizers(model).items():
        group = optimizer.param_groups[0]
        for option in ("maximize", "capturable", "differentiable", "fused"):
            _require(
                not group.get(option),
                f"the {name}'s {type(optimizer).__name__} has {option}={group.get(option)}, which the kernel lacks",
                f"leave {option} out of optimizer_kwargs",
            )
        numbers = (*group.get("betas", ()), group.get("eps"), group.get("weight_decay"))
        _require(
            len(numbers) == 4 and all(isinstance(number, Real) for number in numbers),
            f"the {name}'s {type(optimizer).__name__} has betas, eps or weight_decay that are no numbers: {numbers}",
            "pass numbers in optimizer_kwargs",
        )
        states = [state for state in optimizer.state.values() if state]
        _require(
            not group.get("amsgrad") or all("max_exp_avg_sq" in state for state in states),
            f"the {name}'s {type(optimizer).__name__} has amsgrad=True, but has taken steps without it",
            "pass amsgrad in optimizer_kwargs from the start",
        )


# --- hyperparameters ---


def require_numbers(model: SAC) -> None:
    """Hyperparameters are numbers of the kinds that SB3 computes with."""
    for name in ("gamma", "tau"):
        value = getattr(model, name)
        _require(
            isinstance(value, Real) or (isinstance(value, (np.ndarray, th.Tensor)) and value.ndim == 0),
            f"{name} is {value!r}",
            f"set {name} to a number",
        )
    interval = model.target_update_interval
    _require(
        isinstance(interval, Integral) and abs(int(interval)) < 2**63,
        f"target_update_interval is {interval!r}",
        "set target_update_interval to a whole number",
    )
    if learns_entropy_coefficient(model):
        assert model.log_ent_coef is not None
        _require(
            isinstance(model.target_entropy, float)
            and model.log_ent_coef.numel() == 1
            and model.log_ent_coef.requires_grad,
            "target_entropy is no float, or log_ent_coef is not one trainable number",
            "set target_entropy to a float and log_ent_coef to a tensor with one element that requires a gradient",
        )
    else:
        coefficient = getattr(model, "ent_coef_tensor", None)
        _require(
            isinstance(coefficient, th.Tensor) and coefficient.numel() == 1 and not coefficient.requires_grad,
            "the entropy coefficient is not learned, and ent_coef_tensor is not one number",
            "set ent_coef_tensor to a tensor with one number",
        )
