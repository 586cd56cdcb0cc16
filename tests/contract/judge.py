"""TinySAC beside SAC: the same things done to both, and what is seen afterwards.

Each stage of a case has to end in one of these ways, and in silence in none:

* the kernel has computed it, with SB3's numbers to float32 rounding, tensor by tensor;
* SB3's own update has, and a warning and ``kernel_status()`` say why; the numbers are SB3's, drawn with one seed;
* SB3 raises, and so do we: the same type of error, or a ``ValueError`` or ``RuntimeError`` that is easier to read;
* with ``kernel="native"`` a ``KernelError`` says why.

Run as a program this judges cases that come as lines of JSON, so that the death of an interpreter has a name.
"""

from __future__ import annotations

import json
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from mutators import BATCH_SIZE, BEFORE, BETWEEN, DURING, MUTATORS, WIDTH, Case
from parity import KernelDraws, n_sampled_batches
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import BaseCallback, EveryNTimesteps
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_tinyrl import TinySAC
from sb3_tinyrl._native.errors import KernelError

PYTHON, COMPILED = "python", "compiled"
ENVIRONMENTS = {PYTHON: "Pendulum-v1", COMPILED: "sb3_tinyrl:rl_tools/Pendulum-v0"}
LEARNING_STARTS, N_STEPS, N_MORE_STEPS, N_UPDATES = 8, 18, 8, 2


@dataclass(frozen=True)
class Example:
    """What is done when, and with which loop.

    :param steps: pairs of a moment and a mutator's name, in the order in which they are done
    :param acting: judge what a policy without noise does in the environment rather than what it learns
    """

    steps: tuple[tuple[str, str], ...]
    loop: str = PYTHON
    kernel: str = "auto"
    base: str = "plain"
    acting: bool = False


class Violation(AssertionError):
    """What the contract does not allow."""


# --- the models ---


def environment(loop: str, base: str) -> Any:
    def make() -> gym.Env:
        env = gym.make(ENVIRONMENTS[loop])
        if base != "float64":
            return env
        space = gym.spaces.Box(-np.inf, np.inf, (3,), np.float64)
        return gym.wrappers.TransformObservation(env, lambda observation: observation.astype(np.float64), space)

    return VecNormalize(DummyVecEnv([make])) if base == "normalised" else make()


BASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "fixed": {"ent_coef": 0.2},
    "normalised": {},
    "float64": {},
    "memory-optimised": {
        "optimize_memory_usage": True,
        "replay_buffer_kwargs": {"handle_timeout_termination": False},
    },
}


def build(cls: type[SAC], example: Example) -> Case:
    def env() -> Any:
        return environment(example.loop, example.base)

    arguments: dict[str, Any] = {
        "policy_kwargs": {"net_arch": [WIDTH, WIDTH]},
        "batch_size": BATCH_SIZE,
        "buffer_size": 300,
        "learning_starts": LEARNING_STARTS,
        "gradient_steps": 0 if example.acting else 1,
        "device": "cpu",
        "seed": 0,
        **BASES[example.base],
        **({"kernel": example.kernel} if cls is TinySAC else {}),
    }
    model = cls("MlpPolicy", env(), **arguments)
    model.set_logger(Logger(folder=None, output_formats=[]))
    if example.acting:
        with th.no_grad():
            model.actor.log_std.weight.zero_()
            model.actor.log_std.bias.fill_(-30)
    return Case(model, env=env)


# --- what is compared ---


def inner(policy: Any) -> Any:
    """What ``torch.compile`` has wrapped."""
    return getattr(policy, "_orig_mod", policy)


def adam_states(model: SAC) -> dict[str, dict[str, Any]]:
    optimizers = {"actor": model.actor.optimizer, "critic": model.critic.optimizer, "alpha": model.ent_coef_optimizer}
    return {
        f"{name}.{group}.{i}": optimizer.state.get(parameter, {})
        for name, optimizer in optimizers.items()
        if optimizer is not None
        for group, entry in enumerate(optimizer.param_groups)
        for i, parameter in enumerate(entry["params"])
    }


def tensors(model: SAC) -> dict[str, th.Tensor]:
    """Parameters, statistics of layers, Adam's moments, the entropy coefficient: the model's own, not copies."""
    networks = {"actor": model.actor, "critic": model.critic, "target": model.critic_target}
    result = {
        f"{name}.{key}": tensor.detach()
        for name, network in networks.items()
        for key, tensor in (*network.named_parameters(), *network.named_buffers())
    }
    for name, state in adam_states(model).items():
        result |= {f"{name}.{key}": value for key, value in state.items() if isinstance(value, th.Tensor)}
    if isinstance(model.log_ent_coef, th.Tensor):
        result["log_ent_coef"] = model.log_ent_coef.detach()
    return result


def snapshot(model: SAC) -> dict[str, th.Tensor]:
    return {name: tensor.clone() for name, tensor in tensors(model).items()}


def step_counts(model: SAC) -> dict[str, float]:
    return {name: float(state.get("step", 0)) for name, state in adam_states(model).items()}


def observables(case: Case, before: dict[str, th.Tensor]) -> dict[str, Any]:
    """What a run has done, apart from its random numbers."""
    model, buffer = case.model, case.model.replay_buffer
    optimizers = [model.actor.optimizer, model.critic.optimizer, model.ent_coef_optimizer]
    networks = {
        name: tensor for name, tensor in tensors(model).items() if name.startswith(("actor.", "critic.", "target."))
    }
    return {
        "num_timesteps": model.num_timesteps,
        "updates": model._n_updates,
        "buffer": (int(buffer.pos), bool(buffer.full), type(buffer).__name__),
        "episodes": model._episode_num,
        "episode statistics": len(model.ep_info_buffer or ()),
        "learning rates": [float(group["lr"]) for o in optimizers if o is not None for group in o.param_groups],
        "steps of optimizers": step_counts(model),
        # A layer's own statistics move whenever it is called; ``calls`` tells how often.
        "moved": sorted(
            name
            for name, tensor in networks.items()
            if "weight" in name and (name not in before or not th.equal(tensor, before[name]))
        ),
        "logged": sorted(name for name in model.logger.name_to_value if name.startswith("train/")),
        "logged coefficient": model.logger.name_to_value.get("train/ent_coef") if model.log_ent_coef is None else None,
        "action noise": type(model.action_noise).__name__,
        "calls": dict(case.calls),
    }


def require_equal(what: str, ours: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        for key in sorted(ours.keys() | expected.keys()):
            require_equal(f"{what}, {key}", ours.get(key), expected.get(key))
    elif isinstance(expected, float) and isinstance(ours, float):
        if not np.isclose(ours, expected, rtol=1e-4, atol=1e-6, equal_nan=True):
            raise Violation(f"{what}: {ours}, SB3 has {expected}")
    elif ours != expected:
        raise Violation(f"{what}: {ours}, SB3 has {expected}")


def require_close(ours: dict[str, th.Tensor], expected: dict[str, th.Tensor], learning_rate: float) -> None:
    """Each tensor by itself: gradients, and so moments, to rounding; few parameters otherwise."""
    for name in sorted(ours.keys() | expected.keys()):
        if name not in ours or name not in expected:
            present = ours.get(name, expected.get(name))
            assert present is not None
            if present.any():  # Adam's state before its first step may be there or not.
                raise Violation(f"{name}: only {'ours' if name in ours else 'SB3'} has it")
            continue
        one, other = ours[name].double(), expected[name].double()
        if one.shape != other.shape:
            raise Violation(f"{name}: shape {tuple(one.shape)}, SB3 has {tuple(other.shape)}")
        if not th.equal(one.isfinite(), other.isfinite()):
            raise Violation(
                f"{name}: {int(one.isfinite().sum())} of {one.numel()} finite, SB3 {other.isfinite().sum()}"
            )
        difference = th.nan_to_num(one - other).abs()
        if "exp_avg" in name:
            most, usual = 0.02 * other.abs().max() + 1e-12, 1e-3 * other.abs().max() + 1e-12
        else:
            most, usual = learning_rate * N_UPDATES + 1e-5, 1e-5 + 1e-5 * other.abs().max()
        # One number in twenty, or one, may be a ReLU that switches at rounding.
        allowed = max(1, difference.numel() // 20) if difference.numel() > 1 else 0
        if (difference > most).any() or int((difference > usual).sum()) > allowed:
            raise Violation(
                f"{name}: differs by {difference.max():.3g} from SB3 (largest number {other.abs().max():.3g})"
            )


def mirror(ours: SAC, reference: SAC) -> None:
    """Give SB3's model the numbers of ours; the structure is the same already."""
    theirs = tensors(reference)
    for name, tensor in tensors(ours).items():
        if name in theirs:
            if theirs[name].shape != tensor.shape:
                raise Violation(f"{name}: shape {tuple(tensor.shape)}, SB3 has {tuple(theirs[name].shape)}")
            if not th.equal(theirs[name], tensor):
                theirs[name].copy_(tensor)
    for state, expected in zip(adam_states(ours).values(), adam_states(reference).values(), strict=True):
        for name in expected.keys() - state.keys():
            del expected[name]
        for name in state.keys() - expected.keys():
            value = state[name]
            expected[name] = value.clone() if isinstance(value, th.Tensor) else value
    if any(not state for state in adam_states(reference).values()) and any(adam_states(ours).values()):
        copy_fresh_states(ours, reference)
    buffer, other = ours.replay_buffer, reference.replay_buffer
    for name, array in vars(buffer).items():
        if isinstance(array, np.ndarray) and isinstance(vars(other).get(name), np.ndarray):
            writeable = vars(other)[name]
            was_writeable = writeable.flags.writeable
            writeable.flags.writeable = True
            writeable[...] = array
            writeable.flags.writeable = was_writeable
    other.pos, other.full = buffer.pos, buffer.full
    env, other_env = ours._vec_normalize_env, reference._vec_normalize_env
    if env is not None and other_env is not None:
        other_env.obs_rms.__dict__.update(vars(env.obs_rms))
        other_env.ret_rms.__dict__.update(vars(env.ret_rms))


def copy_fresh_states(ours: SAC, reference: SAC) -> None:
    """Adam's state where only one of the two has any."""
    optimizers = ("actor", "critic")
    for network in optimizers:
        one, other = getattr(ours, network).optimizer, getattr(reference, network).optimizer
        for group, other_group in zip(one.param_groups, other.param_groups, strict=True):
            for parameter, other_parameter in zip(group["params"], other_group["params"], strict=True):
                if one.state.get(parameter) and not other.state.get(other_parameter):
                    other.state[other_parameter] = {
                        name: value.clone() if isinstance(value, th.Tensor) else value
                        for name, value in one.state[parameter].items()
                    }
    one, other = ours.ent_coef_optimizer, reference.ent_coef_optimizer
    is_fresh = one is not None and other is not None and not other.state.get(reference.log_ent_coef)
    if is_fresh and one.state.get(ours.log_ent_coef):
        other.state[reference.log_ent_coef] = {k: v.clone() for k, v in one.state[ours.log_ent_coef].items()}


# --- stages ---


def seed() -> None:
    th.default_generator.manual_seed(1)  # torch.manual_seed asks each kind of accelerator, too
    np.random.seed(1)  # noqa: NPY002


@dataclass
class Outcome:
    """How a stage of one of the models has ended."""

    error: Exception | None = None
    value: Any = None


def attempt(function: Callable[[], Any]) -> Outcome:
    seed()
    try:
        return Outcome(value=function())
    except Exception as error:
        return Outcome(error)


def both_failed(stage: str, ours: Outcome, reference: Outcome, example: Example) -> bool:
    """Whether a stage ended in errors that go together; nothing more is asked of these models then."""
    if example.kernel == "native" and isinstance(ours.error, KernelError):
        if not str(ours.error).strip():
            raise Violation(f"{stage}: an error without a reason")
        return True
    if ours.error is None and reference.error is None:
        return False
    said = "".join(traceback.format_exception(ours.error)[-6:]) if ours.error else "no error"
    if ours.error is None or reference.error is None:
        if ours.error is None and any(MUTATORS[name].may_extend for _, name in example.steps):
            return True
        raise Violation(f"{stage}: SB3 ends with {reference.error or 'no error'!r}, ours with {said}")
    readable = (type(reference.error), ValueError, RuntimeError)
    if not isinstance(ours.error, readable) or (example.kernel == "auto" and isinstance(ours.error, KernelError)):
        raise Violation(f"{stage}: SB3 raises {reference.error!r}, ours {said}")
    return True


class Do(BaseCallback):
    """Does to the model in a run what a user's callback does."""

    def __init__(self, case: Case, names: list[str]) -> None:
        super().__init__()
        self.case, self.names = case, names

    def _on_step(self) -> bool:
        names, self.names = self.names, []
        for name in names:
            MUTATORS[name](self.case)
        return True


class Judgement:
    """One example, stage by stage."""

    def __init__(self, example: Example) -> None:
        self.example = example
        self.ours, self.reference = build(TinySAC, example), build(SAC, example)
        self.cases = (self.ours, self.reference)
        self.caught: list[str] = []

    def names(self, moment: str) -> list[str]:
        return [name for when, name in self.example.steps if when == moment]

    def mutate(self, moment: str) -> bool:
        for name in self.names(moment):
            is_global = MUTATORS[name].is_global
            outcomes = [
                Outcome() if is_global and case is self.reference else attempt(partial(MUTATORS[name], case))
                for case in self.cases
            ]
            if is_global:
                outcomes[1] = Outcome(outcomes[0].error)
            if both_failed(f"{name} {moment}", *outcomes, self.example):
                return False
        return True

    def learn(self, n_steps: int, names: list[str]) -> bool:
        before = [snapshot(case.model) for case in self.cases]
        outcomes = []
        for case in self.cases:

            def run(case: Case = case) -> None:
                callback = EveryNTimesteps(n_steps * 2 // 3, Do(case, [*names])) if names else None
                case.model.learn(n_steps, callback=callback, reset_num_timesteps=False)

            case.model.logger.name_to_value.clear()
            outcomes.append(attempt(run))
        if self.has_refused_nan(outcomes[0]):
            return False
        if both_failed("learn", *outcomes, self.example):
            return False
        require_equal("learn", *(observables(case, b) for case, b in zip(self.cases, before, strict=True)))
        return True

    def has_refused_nan(self, outcome: Outcome) -> bool:
        """Whether ours has ended for what float32 can't hold in the buffer.

        SB3 goes on until it acts with weights of NaN, and further once ``torch.compile`` has turned off the checks of
        torch's distributions for the whole process.
        """
        if "would turn all weights into NaN" not in str(outcome.error):
            return False
        buffer = self.reference.model.replay_buffer
        with np.errstate(over="ignore"):
            return not np.isfinite(buffer.observations[: buffer.size()].astype(np.float32)).all()

    def train(self) -> bool:
        ours, reference = self.ours.model, self.reference.model
        mirror(ours, reference)
        for case in self.cases:
            case.calls.clear()
            case.model.logger.name_to_value.clear()
        first, updates = n_sampled_batches(ours), ours._n_updates
        before = [snapshot(case.model) for case in self.cases]
        batch_size = int(ours.batch_size)
        outcome = attempt(lambda: ours.train(gradient_steps=N_UPDATES, batch_size=ours.batch_size))
        drawn = n_sampled_batches(ours) - first
        is_native = drawn > 0
        given: Any = nullcontext()
        if is_native and outcome.error is None:
            given = KernelDraws.of(ours, batch_size, first, drawn).given_to(reference)

        def expected() -> None:
            with given:
                reference.train(gradient_steps=N_UPDATES, batch_size=reference.batch_size)

        if self.has_refused_nan(outcome) or both_failed("train", outcome, attempt(expected), self.example):
            return False
        if ours._n_updates > updates:
            self.require_told(is_native)
        require_equal("train", *(observables(case, b) for case, b in zip(self.cases, before, strict=True)))
        rates = [group["lr"] for group in ours.actor.optimizer.param_groups + ours.critic.optimizer.param_groups]
        require_close(tensors(ours), tensors(reference), max(map(float, rates)))
        self.require_same_losses()
        return True

    def require_told(self, is_native: bool) -> None:
        """Falling back says why, once."""
        status = self.ours.model.kernel_status()
        if status.native != is_native:
            raise Violation(f"kernel_status() is {status}, but train was {'native' if is_native else 'through torch'}")
        if not str(status).strip() or "\n" in str(status):
            raise Violation(f"kernel_status() is no line: {str(status)!r}")
        if is_native:
            return
        if self.example.kernel == "native":
            raise Violation("kernel='native' trained through torch")
        if not status.reason:
            raise Violation("no reason for training through torch")
        told = [message for message in self.caught if "TinySAC" in message]
        if not told:
            raise Violation(f"no warning said {status.reason!r}")
        if len(set(told)) < len(told):
            raise Violation(f"the same warning several times: {told}")

    def require_same_losses(self) -> None:
        ours, reference = self.ours.model.logger.name_to_value, self.reference.model.logger.name_to_value
        for name in reference.keys() | ours.keys():
            if name.startswith("train/") and not np.isclose(
                ours.get(name, np.nan), reference.get(name, np.nan), rtol=2e-3, atol=1e-4, equal_nan=True
            ):
                raise Violation(f"{name}: {ours.get(name)}, SB3 has {reference.get(name)}")

    def predict(self) -> bool:
        mirror(self.ours.model, self.reference.model)
        observations = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
        for deterministic in (True, False):
            for observation in (observations[0], observations):
                for case in self.cases:
                    case.calls.clear()
                outcomes = [
                    attempt(partial(case.model.predict, observation, deterministic=deterministic))
                    for case in self.cases
                ]
                if both_failed("predict", *outcomes, self.example):
                    return False
                ours, expected = (outcome.value[0] for outcome in outcomes)
                require_equal("predict", self.ours.calls, self.reference.calls)
                if ours.shape != expected.shape or ours.dtype != expected.dtype:
                    raise Violation(f"predict: {ours.shape} {ours.dtype}, SB3 {expected.shape} {expected.dtype}")
                if not np.allclose(ours, expected, rtol=1e-4, atol=1e-4, equal_nan=True):
                    kind = "deterministic" if deterministic else "drawn"
                    raise Violation(f"predict, {kind}: {ours.ravel()}, SB3 has {expected.ravel()}")
        return True

    def judge(self) -> None:
        """Everything that there is to see of the example, until an error.

        :raises Violation: when ours does what the contract does not allow
        """
        (
            self.mutate(BEFORE)
            and self.predict()
            and self.learn(N_STEPS, self.names(DURING))
            and self.predict()
            and self.train()
            and self.mutate(BETWEEN)
            and self.predict()
            and self.train()
            and self.learn(N_MORE_STEPS, [])
            and self.predict()
            and self.train()
        )

    def judge_acting(self) -> None:
        """Without noise and updates a run is the same as SB3's, step by step.

        :raises Violation: when the replay buffers differ
        """
        if not (
            self.mutate(BEFORE)
            and self.learn(N_STEPS, self.names(DURING))
            and self.mutate(BETWEEN)
            and self.learn(N_MORE_STEPS, [])
        ):
            return
        ours, expected = (case.model.replay_buffer for case in self.cases)
        for name in ("actions", "observations", "rewards"):
            one, other = (getattr(buffer, name)[: ours.size()] for buffer in (ours, expected))
            if not np.allclose(one, other, rtol=1e-3, atol=1e-3):
                row = int(np.argmax(np.abs(one - other).reshape(len(one), -1).max(axis=1) > 1e-3))
                raise Violation(f"{name} at step {row}: {one[row].ravel()}, SB3 has {other[row].ravel()}")


@contextmanager
def recorded(caught: list[str]) -> Iterator[None]:
    """Collect what is warned of, each time that it is."""

    def show(message: Any, *args: Any, **kwargs: Any) -> None:
        caught.append(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = show
        yield


def judge(example: Example) -> str | None:
    """Judge an example.

    :return: what is wrong; ``None`` when nothing is
    """
    with ExitStack() as stack:
        judgement = Judgement(example)
        stack.enter_context(recorded(judgement.caught))
        for case in judgement.cases:
            stack.callback(case.undo.close)
        try:
            judgement.judge_acting() if example.acting else judgement.judge()
        except Violation as violation:
            return str(violation)
        return None


def to_json(example: Example) -> str:
    return json.dumps(asdict(example))


def from_json(line: str) -> Example:
    values = json.loads(line)
    return Example(**{**values, "steps": tuple(map(tuple, values["steps"]))})


def main() -> None:
    th.set_num_threads(1)
    answers = sys.stdout
    sys.stdout = sys.stderr  # what models print is no answer
    for line in sys.stdin:
        try:
            wrong = judge(from_json(line))
        except Exception:
            wrong = f"the judge itself failed: {traceback.format_exc()}"
        print(json.dumps(wrong), file=answers, flush=True)


if __name__ == "__main__":
    main()
