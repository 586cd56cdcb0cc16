"""What a library is compiled from besides the headers: shapes, functions and data types, never hyperparameters."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar

from sb3_tinyrl._native.abi import structs
from sb3_tinyrl._native.abi.structs import assertions

_SCALARS = {"float32": "float", "float64": "double"}
_OBSERVATIONS = _SCALARS | {
    f"{sign}int{bits}": f"std::{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64)
}
#: Samples and the panels they are cut into are counted in 32 bits; no memory holds more for some time to come.
_LARGEST_SIZE = 2**30


@dataclass(frozen=True)
class Activation:
    """An activation function with its constants.

    :param struct: its name in ``rl_tools/nn/torch_activation/torch_activation.h``
    :param constants: names in C++ and finite numbers, one for each constant that the structure asks for
    :raises ValueError: when a name is no identifier, or a constant no finite number
    """

    struct: str = "Relu"
    constants: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        _require_identifier("struct", self.struct)
        for name, value in self.constants:
            _require_identifier("constants", name)
            if not isinstance(value, (int, float)) or not math.isfinite(value):
                raise ValueError(f"{name} is {value!r}, expected a finite number; pass one")

    def declarations(self) -> str:
        """Return the C++ that names the function ``ACTIVATION``."""
        function = f"nn::torch_activation::{self.struct}"
        if not self.constants:
            return f"    using ACTIVATION = {function};"
        # In hexadecimal, exactly; adding zero takes the sign from -0.0, which equals 0.0.
        lines = [
            f"        static constexpr double {name} = {(float(value) + 0.0).hex()};" for name, value in self.constants
        ]
        return "\n".join(
            [
                "    struct ACTIVATION_CONSTANTS {",
                *lines,
                "    };",
                f"    using ACTIVATION = {function}<ACTIVATION_CONSTANTS>;",
            ]
        )


@dataclass(frozen=True)
class KernelSpec:
    """Everything a kernel is compiled for; equal specs share one library.

    :param observation_dim: elements of a flat observation
    :param action_dim: elements of an action
    :param actor_layers: widths of the actor's hidden layers; may be empty
    :param critic_layers: widths of each critic's hidden layers; may be empty
    :param n_critics: critics, without their targets
    :param batch_size: transitions in a gradient step
    :param activation: activation function of all hidden layers
    :param observation_type: data type of the replay buffer's observations
    :param scalar_type: data type of the networks
    :param use_sde: whether actions are explored with state-dependent noise (gSDE)
    :param observation_divisor: what observations are divided by, 255 for images
    :param use_blas: whether a BLAS computes the matrix products, rather than code made for these sizes
    :param observation_entries: for dictionaries of observations, elements and data type of each entry, in the order in
        which they make up an observation; ``observation_type`` is not used then
    :raises TypeError: when a size is no integer, or the layers are no tuple
    :raises ValueError: when a size is below 1 or above 2**30, or there is no such data type
    """

    source: ClassVar[str] = "interface/sb3/sac.cpp"
    advice: ClassVar[str] = (
        "Expected a compiler for C++17 that knows GCC's flags. Choose another one with $CXX, or pass "
        'kernel="torch" to train without one; if a recent compiler fails, please report this message.'
    )
    folder: ClassVar[None] = None

    observation_dim: int
    action_dim: int
    actor_layers: tuple[int, ...]
    critic_layers: tuple[int, ...]
    n_critics: int = 2
    batch_size: int = 256
    activation: Activation = field(default_factory=Activation)
    observation_type: str = "float32"
    scalar_type: str = "float32"
    use_sde: bool = False
    observation_divisor: int = 1
    use_blas: bool = False
    observation_entries: tuple[tuple[int, str], ...] = ()

    def __post_init__(self) -> None:
        for name in ("observation_dim", "action_dim", "n_critics", "batch_size", "observation_divisor"):
            _require_size(name, getattr(self, name))
        for name in ("actor_layers", "critic_layers"):
            _require_layers(name, getattr(self, name))
        _require_choice("observation_type", self.observation_type, _OBSERVATIONS)
        for dim, type_ in self.observation_entries:
            _require_size("a size in observation_entries", dim)
            _require_choice("a type in observation_entries", type_, _OBSERVATIONS)
        _require_choice("scalar_type", self.scalar_type, _SCALARS)

    @property
    def latent_dim(self) -> int:
        """Width of what the actor's heads read."""
        return self.actor_layers[-1] if self.actor_layers else self.observation_dim

    def summary(self) -> str:
        """Return what a user calls it: by the sizes that are theirs to choose, and what else is not as usual."""
        actor, critic = ("-".join(map(str, layers)) or "none" for layers in (self.actor_layers, self.critic_layers))
        unusual = {
            f"{self.n_critics} critics": self.n_critics != 2,
            self.activation.struct: self.activation.struct != "Relu",
            "gSDE": self.use_sde,
            self.scalar_type: self.scalar_type != "float32",
            "BLAS": self.use_blas,
        }
        parts = [
            f"observation {self.observation_dim}",
            f"action {self.action_dim}",
            f"layers {actor if actor == critic else f'{actor} and {critic}'}",
            f"batch {self.batch_size}",
            *(name for name, is_so in unusual.items() if is_so),
        ]
        return f"a kernel ({', '.join(parts)})"

    def _observation(self) -> str:
        """The C++ type of an observation in the replay buffer."""
        if not self.observation_entries:
            return _OBSERVATIONS[self.observation_type]
        namespace = "rl_tools::rl::components::sb3_replay_buffer"
        entries = ", ".join(
            f"{namespace}::Entry<{_OBSERVATIONS[type_]}, {dim}>" for dim, type_ in self.observation_entries
        )
        return f"{namespace}::Entries<{entries}>"

    def header(self) -> str:
        """Return the text of ``kernel_spec.h``, which the kernel's source includes."""
        return f"""\
#pragma once
#include <cstddef>
#include <cstdint>
#include <utility>

#include <rl_tools/nn/torch_activation/torch_activation.h>
#include <rl_tools/rl/components/sb3_replay_buffer/sb3_replay_buffer.h>

namespace rl_tools::kernel_spec {{
    using T = {_SCALARS[self.scalar_type]};
    using OBSERVATION = {self._observation()};
    using TI = std::size_t;
    constexpr TI OBSERVATION_DIM = {self.observation_dim};
    constexpr TI ACTION_DIM = {self.action_dim};
    constexpr TI N_CRITICS = {self.n_critics};
    constexpr TI BATCH_SIZE = {self.batch_size};
{self.activation.declarations()}
    using ACTOR_LAYERS = std::index_sequence<{", ".join(map(str, self.actor_layers))}>;
    using CRITIC_LAYERS = std::index_sequence<{", ".join(map(str, self.critic_layers))}>;
    constexpr bool USE_SDE = {str(self.use_sde).lower()};
    constexpr TI OBSERVATION_DIVISOR = {self.observation_divisor};
    constexpr bool USE_BLAS = {str(self.use_blas).lower()};
}}
{assertions(structs.KERNEL)}"""


@dataclass(frozen=True)
class EnvironmentSpec:
    """A C++ environment on its own, to be stepped from Python.

    :param folder: has a header ``environment.h`` that declares ``ENVIRONMENT_FACTORY<T, TI>``
    """

    source: ClassVar[str] = "interface/environment/environment.cpp"
    advice: ClassVar[str] = (
        "Expected an environment in RLtools' interface, declared in environment.h as "
        "`template <typename T, typename TI> using ENVIRONMENT_FACTORY = ...;`; examples/custom_environment has one to "
        "copy from."
    )

    folder: Path

    def summary(self) -> str:
        """Return whose it is: environments are told apart by their folders."""
        return f"the environment in {self.folder}"

    def header(self) -> str:
        """Return the layouts of shared structures; the environment tells its sizes itself."""
        return f"#pragma once\n{assertions(structs.ENVIRONMENT)}"


@dataclass(frozen=True)
class CheckpointSpec:
    """A policy in RLtools' checkpoint format, to be evaluated from Python.

    :param checkpoint: the text of the header
    :param model: name of the model in it, with its namespaces
    """

    source: ClassVar[str] = "interface/checkpoint/checkpoint.cpp"
    advice: ClassVar[str] = (
        "Expected a checkpoint that sb3_tinyrl, RLtools 2.2 or its Python interface has written; export it anew with "
        "one of these."
    )
    folder: ClassVar[None] = None

    checkpoint: str = field(repr=False)
    model: str

    def summary(self) -> str:
        """Return the same for all: checkpoints are texts without a name."""
        return "a checkpoint"

    def header(self) -> str:
        """Return the checkpoint, with a name for its model that is always the same."""
        return f"""\
{self.checkpoint}
namespace rl_tools::kernel_spec {{
    constexpr auto& MODEL = ::{self.model};
}}
{assertions(structs.CHECKPOINT)}"""


def _require_size(name: str, value: Any) -> None:
    # bool is an Integral too, but True as a size is a mistake
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} is {value!r}, expected an int; pass a whole number of at least 1")
    if value < 1:
        raise ValueError(f"{name} is {value}, expected at least 1; pass a positive size")
    if int(value) > _LARGEST_SIZE:
        raise ValueError(f"{name} is {value}, expected at most {_LARGEST_SIZE} (2**30); pass a smaller size")


def _require_layers(name: str, value: Any) -> None:
    if not isinstance(value, tuple):
        raise TypeError(f"{name} is {value!r}, expected a tuple of widths; pass for example (256, 256)")
    for index, width in enumerate(value):
        _require_size(f"{name}[{index}]", width)


def _require_identifier(name: str, value: Any) -> None:
    if not isinstance(value, str) or not (value.isascii() and value.isidentifier()):
        raise ValueError(f"{name} is {value!r}, expected an identifier of C++; pass letters, digits and underscores")


def _require_choice(name: str, value: Any, choices: Iterable[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}, expected one of: {', '.join(choices)}; use one of these")
