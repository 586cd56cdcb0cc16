"""The table of activation functions: PyTorch's classes, and what each is in every place that computes it.

:data:`FUNCTIONS` is the only such table in Python. The kernel's part of a row is a structure of the same name in
``rl_tools/nn/torch_activation/torch_activation.h``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from sb3_tinyrl._native.abi import specs


@dataclass(frozen=True)
class OnnxNode:
    """An ONNX operator, applied to the value so far.

    :param operator: its name in ONNX's default domain
    :param with_argument: whether its second input is the argument of the activation function
    :param attributes: by ONNX's names; a value that names a constant of the function stands for its number
    """

    operator: str
    with_argument: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Function:
    """An activation function: a row of the table.

    :param name: what messages and exported C++ call it
    :param module: PyTorch's class
    :param struct: the structure that computes it in the kernel
    :param cpp: a C expression in float of ``x`` and of the constants, with functions of ``<math.h>``, that lets NaN
        through
    :param onnx: the operators that compute it, one after the other
    :param constants: names of the module's attributes that are numbers; in upper case they are the kernel's constants.
        Those that ``cpp`` does not name can be exported with PyTorch's defaults only
    :param positive: those of the constants that have to be above zero
    :param arguments: other arguments of the module, which tell rows of one class apart
    :param rltools: the name in RLtools and so in TinyRL; ``None`` where RLtools computes no such function
    """

    name: str
    module: type[nn.Module]
    struct: str
    cpp: str
    onnx: tuple[OnnxNode, ...]
    constants: tuple[str, ...] = ()
    positive: tuple[str, ...] = ()
    arguments: Mapping[str, str] = field(default_factory=dict)
    rltools: str | None = None

    @property
    def cpp_constants(self) -> list[str]:
        """Those of the constants that ``cpp`` names."""
        return [name for name in self.constants if re.search(rf"\b{name}\b", self.cpp)]

    def computes(self, module: nn.Module) -> bool:
        """Whether a module is this function: of its class, or of a subclass that only chooses other constants."""
        return (
            isinstance(module, self.module)
            and type(module).forward is self.module.forward
            and all(getattr(module, name) == value for name, value in self.arguments.items())
        )


@dataclass(frozen=True)
class Activation:
    """An activation function with numbers for its constants, in the order of ``function.constants``."""

    function: Function
    values: tuple[Any, ...] = ()

    @property
    def constants(self) -> dict[str, Any]:
        """The numbers by the names of PyTorch's attributes."""
        return dict(zip(self.function.constants, self.values, strict=True))

    @property
    def is_valid(self) -> bool:
        """Whether the constants are finite numbers, and positive where they have to be."""
        return all(isinstance(value, (int, float)) and math.isfinite(value) for value in self.values) and all(
            self.constants[name] > 0 for name in self.function.positive
        )

    @property
    def is_exportable(self) -> bool:
        """Whether the row's ``cpp`` and ``onnx`` compute it with these constants."""
        free, defaults = self.function.cpp_constants, self.function.module(**self.function.arguments)
        return all(name in free or value == getattr(defaults, name) for name, value in self.constants.items())

    def module(self) -> nn.Module:
        """Return PyTorch's module."""
        return self.function.module(**self.function.arguments, **self.constants)

    def for_kernel(self) -> specs.Activation:
        """Return what a kernel is compiled for."""
        return specs.Activation(
            self.function.struct, tuple((name.upper(), value) for name, value in self.constants.items())
        )


FUNCTIONS = (
    Function("identity", nn.Identity, "Identity", "x", (), rltools="IDENTITY"),
    Function("relu", nn.ReLU, "Relu", "x < 0.0f ? 0.0f : x", (OnnxNode("Relu"),), rltools="RELU"),
    Function("tanh", nn.Tanh, "Tanh", "tanhf(x)", (OnnxNode("Tanh"),), rltools="TANH"),
    Function(
        "elu",
        nn.ELU,
        "Elu",
        "x > 0.0f ? x : alpha * expm1f(x)",
        (OnnxNode("Elu", attributes={"alpha": "alpha"}),),
        constants=("alpha",),
    ),
    Function(
        "leaky_relu",
        nn.LeakyReLU,
        "LeakyRelu",
        "x < 0.0f ? negative_slope * x : x",
        (OnnxNode("LeakyRelu", attributes={"alpha": "negative_slope"}),),
        constants=("negative_slope",),
    ),
    Function(
        "gelu",
        nn.GELU,
        "Gelu",
        "0.5f * x * (1.0f + erff(x * 0.70710678f))",
        (OnnxNode("Gelu"),),
        arguments={"approximate": "none"},
    ),
    # Not RLtools' GELU: its release 2.2 computes 0.5 x (1 + tanh(0.399 (x + 0.0447 x^3))), where this has 0.798.
    Function(
        "gelu_tanh",
        nn.GELU,
        "GeluTanh",
        "0.5f * x * (1.0f + tanhf(0.79788456f * (x + 0.044715f * x * x * x)))",
        (OnnxNode("Gelu", attributes={"approximate": "tanh"}),),
        arguments={"approximate": "tanh"},
    ),
    Function(
        "silu",
        nn.SiLU,
        "Silu",
        "x / (1.0f + expf(-x))",
        (OnnxNode("Sigmoid"), OnnxNode("Mul", with_argument=True)),
    ),
    Function("sigmoid", nn.Sigmoid, "Sigmoid", "1.0f / (1.0f + expf(-x))", (OnnxNode("Sigmoid"),), rltools="SIGMOID"),
    Function(
        "softplus",
        nn.Softplus,
        "Softplus",
        "x > 20.0f ? x : log1pf(expf(x))",
        (OnnxNode("Softplus"),),
        constants=("beta", "threshold"),
        positive=("beta",),
    ),
)


def class_names() -> list[str]:
    """Return the names of the table's classes in ``torch.nn``, each once."""
    return list(dict.fromkeys(function.module.__name__ for function in FUNCTIONS))


def read(module: nn.Module) -> Activation | None:
    """Return the function that a module computes, or ``None`` where the table has none; constants are not checked."""
    for function in FUNCTIONS:
        if function.computes(module):
            return Activation(function, tuple(getattr(module, name) for name in function.constants))
    return None
