"""What the tests of the exporters share: policies of all kinds, and programs that evaluate several of them at once."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from hypothesis import Phase, settings
from hypothesis import strategies as st
from models import TIMEOUT, Scripted
from stable_baselines3 import SAC
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from torch import nn

from sb3_tinyrl._native.jit.compiler import find_compiler
from sb3_tinyrl.activations import FUNCTIONS

SOURCES = Path(__file__).parent
N_OBSERVATIONS = 1000

#: With PyTorch's default constants.
ALL_ACTIVATIONS = [partial(function.module, **function.arguments) for function in FUNCTIONS]
RLTOOLS_ACTIVATIONS = [module for module, function in zip(ALL_ACTIVATIONS, FUNCTIONS, strict=True) if function.rltools]
OTHER_ACTIVATIONS = [module for module in ALL_ACTIVATIONS if module not in RLTOOLS_ACTIVATIONS]


@dataclass(frozen=True)
class PolicyKind:
    """What a policy is made of; its parameters and statistics are drawn from ``seed``."""

    observation_shape: tuple[int, ...] = (3,)
    action_shape: tuple[int, ...] = (1,)
    net_arch: tuple[int, ...] = (32, 32)
    activation: Any = nn.ReLU
    sde: bool = False
    clip_mean: float = 0.7  # low enough to matter
    clip_obs: float | None = None  # of VecNormalize
    seed: int = 0

    def model(self, cls: type[SAC] = SAC) -> SAC:
        rng = np.random.default_rng(self.seed)
        observation_space = spaces.Box(-np.inf, np.inf, self.observation_shape, np.float32)
        env: Any = Scripted(observation_space=observation_space, action_shape=self.action_shape)
        low = rng.normal(size=self.action_shape)
        env.action_space = spaces.Box(*np.float32([low, low + rng.uniform(0.1, 10, self.action_shape)]))
        env = DummyVecEnv([lambda: env])
        if self.clip_obs is not None:
            env = VecNormalize(env, clip_obs=self.clip_obs)
            env.obs_rms.mean = rng.normal(size=self.observation_shape)
            env.obs_rms.var = np.exp(rng.normal(size=self.observation_shape))
        sde = {"use_sde": True, "clip_mean": self.clip_mean} if self.sde else {}
        model = cls(
            "MlpPolicy",
            env,
            buffer_size=1,
            use_sde=self.sde,
            device="cpu",
            policy_kwargs={
                "net_arch": {"pi": list(self.net_arch), "qf": [1]},
                "activation_fn": self.activation,
                **{name: value for name, value in sde.items() if name != "use_sde"},
            },
        )
        generator = th.Generator().manual_seed(self.seed)
        with th.no_grad():
            for parameter in model.actor.parameters():  # larger than at first, so that tanh bends
                scale = 1 / np.sqrt(parameter.shape[-1]) if parameter.ndim == 2 else 0.3
                parameter.copy_(scale * th.randn(parameter.shape, generator=generator))
        return model


def policy_kinds(activations: Sequence[Any]) -> st.SearchStrategy[PolicyKind]:
    sizes = st.integers(1, 40)
    return st.builds(
        PolicyKind,
        observation_shape=st.one_of(st.tuples(sizes), st.tuples(st.integers(1, 4), st.integers(1, 4))),
        action_shape=st.one_of(st.tuples(st.integers(1, 9)), st.tuples(st.integers(1, 3), st.integers(1, 3))),
        net_arch=st.lists(sizes, max_size=3).map(tuple),
        activation=st.sampled_from(activations),
        sde=st.booleans(),
        clip_mean=st.sampled_from([0.0, 0.7, 2.0]),
        clip_obs=st.sampled_from([None, 0.5, 10.0, np.inf]),
        seed=st.integers(0, 2**32 - 1),
    )


def several(kinds: st.SearchStrategy[PolicyKind], n_policies: int) -> st.SearchStrategy[list[PolicyKind]]:
    """Draw policies for one program, all different: `#pragma once` includes files of equal content only once."""
    return st.lists(kinds, min_size=n_policies, max_size=n_policies, unique_by=lambda kind: kind.seed)


def compiles(n_programs: int) -> settings:
    """Draw few examples and never shrink a failing one, as each costs a compilation."""
    return settings(max_examples=n_programs, phases=[Phase.explicit, Phase.generate])


def observations_and_actions(model: SAC, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Draw observations as the environment gives them, and the actions that SB3 predicts for them."""
    shape = (N_OBSERVATIONS, *model.observation_space.shape)
    observations = (2 * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)
    vec_normalize = model.get_vec_normalize_env()
    seen = observations if vec_normalize is None else vec_normalize.normalize_obs(observations)
    return observations, model.predict(seen, deterministic=True)[0]


def largest_difference(model: SAC, one: np.ndarray, other: np.ndarray) -> float:
    """Return the difference of actions in the environment's units as a fraction of their range."""
    action_range = model.action_space.high - model.action_space.low
    return float((np.abs(one.reshape(other.shape) - other) / action_range).max())


def write_policies_header(names: Sequence[str], folder: Path) -> None:
    """Write what the programs include: the headers of these names, and a macro that applies another to each."""
    includes = "".join(f'#include "{name}.h"\n' for name in names)
    uses = " ".join(f"F({name})" for name in names)
    (folder / "policies.h").write_text(
        f"{includes}#define N_OBSERVATIONS {N_OBSERVATIONS}\n#define FOR_EACH_POLICY(F) {uses}\n"
    )


def compile_program(source: str, folder: Path, *flags: str, compiler: Sequence[str] | None = None) -> Path:
    """Compile one of the programs beside this file, with ``policies.h`` from the folder."""
    program = folder / Path(source).stem
    command = [
        *(compiler or find_compiler().command),
        "-std=c++17",
        "-Wall",
        "-Wextra",
        "-Werror",
        *flags,
        f"-I{folder}",
        str(SOURCES / source),
        *("-o", str(program)),
    ]
    compiled = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    assert compiled.returncode == 0, compiled.stderr
    return program


def run_program(command: Sequence[str | Path], models: Sequence[SAC]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Let a program evaluate the policies.

    :return: for each model the program's actions, and SB3's
    """
    pairs = [observations_and_actions(model) for model in models]
    observations = b"".join(observations.tobytes() for observations, _ in pairs)
    finished = subprocess.run([*command], input=observations, capture_output=True, timeout=TIMEOUT)
    assert finished.returncode == 0, finished.stderr
    actions = np.frombuffer(finished.stdout, np.float32)
    ends = np.cumsum([expected.size for _, expected in pairs])
    assert len(actions) == ends[-1]
    return [
        (part.reshape(expected.shape), expected)
        for part, (_, expected) in zip(np.split(actions, ends[:-1]), pairs, strict=True)
    ]
