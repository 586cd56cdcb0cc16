"""Checkpoints are read, not run: from the text of RLtools' C++ headers to the layers in it.

The format is that of ``persist_code.h`` of each layer and model in RLtools 2.2, and what ``export/rltools.py`` writes.
A checkpoint is a program in principle, so this knows the sentences that these write and refuses a text with any other:
what it takes, a compiler would take to mean the same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sb3_tinyrl.tinyrl.layers import ACTIVATION_FUNCTIONS, Array, Clip, Dense, Distribution, Policy, Standardize
from sb3_tinyrl.tinyrl.layers import PolicyLayer as Layer

#: Namespaces of the model: RLtools' Python interface and ours, and RLtools' training loop.
MODEL_NAMESPACES = ("policy", "rl_tools::checkpoint::actor")

# Text beside the model, which says nothing about it: examples, names, the environment.
_OTHER_NAMESPACES = ("rl_tools::checkpoint::example", "rl_tools::checkpoint::meta")

_DEEPEST = 16
_MOST_LAYERS = 100
_MOST_DIGITS = 9
_LONGEST_QUOTE = 80

_NUMBER = r"-?(?:0[xX][0-9a-fA-F]+(?:\.[0-9a-fA-F]*)?[pP][+-]?\d{1,5}|\d+(?:\.\d*)?(?:[eE][+-]?\d{1,5})?)[fF]?"
_TOKEN = re.compile(
    rf"/\*.*?\*/|//[^\n]*|^[ \t]*\#[^\n]*|\"[^\"\\\n]*\"|{_NUMBER}|\w+|\S", re.ASCII | re.MULTILINE | re.DOTALL
)
_DIRECTIVE = re.compile(r"\s*#\s*(pragma once|include <rl_tools/[\w/]+\.h>)\s*", re.ASCII)
_PREFIX = re.compile(r"RL_TOOLS_NAMESPACE_WRAPPER::rl_tools::|\b(?:policy::)?rlt::", re.ASCII)

# In the patterns below there is no space but between two words, and no RL_TOOLS_NAMESPACE_WRAPPER::rl_tools::.
_TI = r"(?:TI|(?:unsigned )?(?:int|long|long long|short))"
_FUNCTION = r"nn::activation_functions::ActivationFunction::(\w+)"
_TEMPLATE = r"template<typename T_TYPE(?:=TYPE)?>(?:constexpr )?T_TYPE "

_INITIALIZER = rf"nn::layers::dense::DefaultInitializer<TYPE_POLICY,{_TI}>"
_TYPES = {
    "policy": r"using TYPE_POLICY=numeric_types::Policy<(float|double)>",
    "capability": r"using CAPABILITY=nn::capability::Forward<true,(?:true|false)>",
    "input_shape": rf"using INPUT_SHAPE=tensor::Shape<{_TI},\d{{1,9}},\d{{1,9}},(\d{{1,9}})>",
}
_PARAMETERS = r"(?:using PARAMETERS=)?struct PARAMETERS\{(.*)\}"
_CONSTANT = re.compile(rf"static constexpr (?:float|double|bool) (\w+)=({_NUMBER}|true|false);", re.ASCII)


class CheckpointSyntaxError(ValueError):
    """The text is not one that the writers of checkpoints write."""


@dataclass
class _Scope:
    """A namespace: what is stated in it, and the namespaces in it by name."""

    statements: list[list[str]] = field(default_factory=list)
    children: dict[str, _Scope] = field(default_factory=dict)

    def child(self, path: str) -> _Scope | None:
        scope: _Scope | None = self
        for name in path.split("::"):
            scope = scope.children.get(name) if scope else None
        return scope


def parse_checkpoint(text: str) -> Policy:
    """Read a checkpoint.

    :raises CheckpointSyntaxError: when it holds anything but a policy whose layers are known
    """
    root = _scopes(_tokens(text))
    names = [name for name in MODEL_NAMESPACES if root.child(name)]
    if len(names) != 1:
        raise CheckpointSyntaxError(
            f"it has the models {names}, expected one namespace of {' and '.join(MODEL_NAMESPACES)}"
        )
    _require_nothing_else(root, "", names[0])
    model = root.child(names[0])
    assert model is not None
    return _read_model(model)


def _tokens(text: str) -> list[str]:
    if "\\\n" in text or "\\\r" in text:
        raise CheckpointSyntaxError("a line of it ends in a backslash")
    tokens = []
    for token in _TOKEN.findall(text):
        if token.startswith(("//", "/*")):
            continue
        if token.lstrip().startswith("#"):
            if not _DIRECTIVE.fullmatch(token):
                raise CheckpointSyntaxError(f"it has the line {_quote(token.strip())}")
            continue
        tokens.append(token)
    return tokens


def _scopes(tokens: list[str]) -> _Scope:
    root = _Scope()
    open_scopes, n_opened = [root], []  # scopes from the outermost on, and how many each brace has opened
    position = 0
    while position < len(tokens):
        token = tokens[position]
        if token == "namespace":
            end = position + 1
            while end < len(tokens) and tokens[end] not in ("{", "=", ";"):
                end += 1
            names = "".join(tokens[position + 1 : end]).split("::")
            if end == len(tokens) or tokens[end] == ";" or not all(map(str.isidentifier, names)):
                raise CheckpointSyntaxError(f"it has {_quote(' '.join(tokens[position : end + 1]))}")
            if tokens[end] == "{":
                for name in names:
                    open_scopes.append(open_scopes[-1].children.setdefault(name, _Scope()))
                n_opened.append(len(names))
                if len(open_scopes) > _DEEPEST:
                    raise CheckpointSyntaxError(f"its namespaces are nested more than {_DEEPEST} deep")
                position = end + 1
                continue
        elif token == "}":
            if not n_opened:
                raise CheckpointSyntaxError("it has a closing brace too many")
            del open_scopes[-n_opened.pop() :]
            position += 2 if tokens[position + 1 : position + 2] == [";"] else 1
            continue
        end = _end_of_statement(tokens, position)
        open_scopes[-1].statements.append(tokens[position:end])
        position = end + 1 if end < len(tokens) and tokens[end] == ";" else end
    if n_opened:
        raise CheckpointSyntaxError("it ends within a namespace")
    return root


def _end_of_statement(tokens: list[str], start: int) -> int:
    """Return where the semicolon is, or what follows a function's closing brace."""
    depth = 0
    for position in range(start, len(tokens)):
        token = tokens[position]
        if token == "{":
            depth += 1
        elif token == "}":
            depth -= 1
            if depth < 0:
                break
            if depth == 0 and tokens[position + 1 : position + 2] != [";"]:
                return position + 1
        elif token == ";" and depth == 0:
            return position
    raise CheckpointSyntaxError(f"it has {_quote(_text(tokens[start : start + 20]))} without an end")


def _require_nothing_else(scope: _Scope, path: str, model: str) -> None:
    """Refuse what lies beside the model, such as global variables, which a compiler would run."""
    if path == model or path in _OTHER_NAMESPACES:
        return
    for statement in scope.statements:
        if not (path == "rl_tools::checkpoint" and _text(statement) == "namespace actor=policy"):
            raise CheckpointSyntaxError(f"it has {_quote(_text(statement))} outside of its model")
    prefix = f"{path}::" if path else ""
    known = [model, *_OTHER_NAMESPACES]
    for name, child in scope.children.items():
        if not any(other == prefix + name or other.startswith(f"{prefix}{name}::") for other in known):
            raise CheckpointSyntaxError(f"it has the namespace {prefix}{name}")
        _require_nothing_else(child, prefix + name, model)


def _text(tokens: list[str]) -> str:
    text = " ".join(tokens)
    return _PREFIX.sub("", re.sub(r" ?([^\w ]) ?", r"\1", text, flags=re.ASCII))


def _quote(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}...")


class _Reader:
    """Takes the statements of a namespace apart; each has to match one of the patterns, and no two the same.

    :param patterns: by a name of ours
    :param required: those that may not be missing
    :param children: namespaces that have to be there
    :param ignored: namespaces that may be there
    :param has_memory: whether there is an array of numbers
    """

    def __init__(
        self,
        scope: _Scope,
        where: str,
        patterns: Mapping[str, str],
        required: tuple[str, ...],
        children: tuple[str, ...] = (),
        ignored: tuple[str, ...] = (),
        has_memory: bool = False,
    ) -> None:
        self.memory: Array | None = None
        self._matches: dict[str, re.Match[str]] = {}
        self.where = where
        for statement in scope.statements:
            if has_memory and self.memory is None and (memory := _read_memory(statement, where)) is not None:
                self.memory = memory
                continue
            text = _text(statement)
            matches = ((key, re.fullmatch(pattern, text, re.ASCII)) for key, pattern in patterns.items())
            key, match = next(((key, match) for key, match in matches if match), ("", None))
            if match is None or key in self._matches:
                raise CheckpointSyntaxError(f"its {where} has {_quote(text)}{' twice' if match else ''}")
            self._matches[key] = match
        missing = [key for key in required if key not in self._matches]
        missing += [name for name in children if name not in scope.children]
        unknown = [name for name in scope.children if name not in (*children, *ignored)]
        if missing or unknown:
            raise CheckpointSyntaxError(
                f"its {where} " + (f"lacks {missing[0]}" if missing else f"has the namespace {unknown[0]}")
            )

    def __contains__(self, key: str) -> bool:
        return key in self._matches

    def require_input_dim(self, input_dim: int) -> None:
        """Compare with INPUT_SHAPE, where that is written."""
        if "input_shape" in self and int(self["input_shape"][0]) != input_dim:
            raise CheckpointSyntaxError(
                f"its {self.where} takes {input_dim} values, but its INPUT_SHAPE says otherwise"
            )

    def __getitem__(self, key: str) -> tuple[Any, ...]:
        return self._matches[key].groups()


def _read_memory(statement: list[str], where: str) -> Array | None:
    """Return the numbers of ``constexpr float memory[] = {...}``, or ``None`` for another statement."""
    tokens = statement[1:] if statement[:1] == ["constexpr"] else statement
    if tokens[1:6] != ["memory", "[", "]", "=", "{"] or tokens[0] not in ("float", "double"):
        return None
    numbers, commas = tokens[6:-1:2], tokens[7:-1:2]
    if tokens[-1] != "}" or len(numbers) != len(commas) + 1 or {*commas} - {","}:
        raise CheckpointSyntaxError(f"its {where} holds something other than numbers with commas between them")
    try:
        values = np.array([_number(token) for token in numbers])
    except (ValueError, OverflowError):
        raise CheckpointSyntaxError(f"its {where} holds something that is no number") from None
    with np.errstate(over="ignore"):
        values = values.astype(np.float32 if tokens[0] == "float" else np.float64)
    if not np.isfinite(values).all():
        raise CheckpointSyntaxError(f"its {where} holds a number that is not finite as {tokens[0]}")
    return values


def _number(token: str) -> float:
    digits = token.rstrip("fF")
    return float.fromhex(digits) if "x" in digits.lower() else float(digits)


def _read_model(scope: _Scope) -> Policy:
    names = _numbered(scope, "layer_")
    module = "(?:nn_models::sequential::)?Module<"
    chain = module + f",{module}".join(f"{name}::TEMPLATE" for name in names) + ">" * len(names)
    build = "(?:typename )?nn_models::sequential::Build<CAPABILITY,"

    def initializer(function: str, of_type: str, call: str) -> str:
        contents = (
            f"{name}::{function}<{of_type}{'::NEXT_MODULE' * i}::CONTENT>{call}" for i, name in enumerate(names)
        )
        return r"\{" + r",\{".join(contents) + r",\{\}" + r"\}" * len(names)

    function = initializer("factory_function", "typename T_TYPE", r"\(\)")
    reader = _Reader(
        scope,
        "model",
        {
            **_TYPES,
            "alias": "namespace rlt=RL_TOOLS_NAMESPACE_WRAPPER::rl_tools",
            "index": "using TI=unsigned long",
            "parameter": r"template<typename CATEGORY,TI\.\.\.DIMENSIONS>using Parameter="
            r"nn::parameters::Plain::Instance<nn::parameters::Plain::Specification<TYPE_POLICY,TI,"
            r"tensor::Shape<TI,DIMENSIONS\.\.\.>,nn::parameters::groups::Normal,CATEGORY,true,true>>",
            "type": f"using TYPE=(?:(model_definition)::MODEL|{build}{chain},INPUT_SHAPE>)",
            "module": f"(?:constexpr )?TYPE module={initializer('factory', 'TYPE', '')}",
            "factory": f"{_TEMPLATE}factory={initializer('factory', 'typename T_TYPE', '')}",
            "function": rf"{_TEMPLATE}factory_function\(\)\{{return (?:factory<T_TYPE>|T_TYPE{function});\}}",
        },
        required=("type", "module"),
        children=(*names, "layer_0"),
        ignored=("action", "model_definition"),
    )
    if reader["type"][0]:
        _Reader(
            scope.child("model_definition") or _Scope(),
            "model_definition",
            {
                "capability": _TYPES["capability"],
                "template": r"template<typename T_CONTENT,typename T_NEXT_MODULE=nn_models::sequential::OutputModule>"
                r"using Module=typename nn_models::sequential::Module<T_CONTENT,T_NEXT_MODULE>",
                "chain": f"using MODULE_CHAIN={chain}",
                "model": f"using MODEL={build}MODULE_CHAIN,layer_0::INPUT_SHAPE>",
            },
            required=("chain", "model"),
        )
        first = scope.children["layer_0"]
        shapes = (re.fullmatch(_TYPES["input_shape"], _text(statement), re.ASCII) for statement in first.statements)
        input_dims = [int(match[1]) for match in shapes if match]
    else:
        input_dims = [int(reader["input_shape"][0])] if "input_shape" in reader else []
    if len(input_dims) != 1:
        raise CheckpointSyntaxError("its model lacks the INPUT_SHAPE")
    return _policy(input_dims[0], [layer for name in names for layer in _read_layer(scope.children[name], name)])


def _numbered(scope: _Scope, prefix: str) -> list[str]:
    """Return the names that layers have to have if they are as many as they are."""
    n = sum(name.startswith(prefix) for name in scope.children)
    if n > _MOST_LAYERS:
        raise CheckpointSyntaxError(f"it has {n} layers, expected at most {_MOST_LAYERS}")
    return [f"{prefix}{i}" for i in range(n)]


def _policy(observation_dim: int, layers: list[Layer]) -> Policy:
    dtypes, dim = set(), observation_dim
    for i, layer in enumerate(layers):
        if layer.input_dim not in (None, dim):
            raise CheckpointSyntaxError(f"a layer of it takes {layer.input_dim} values, but the one before gives {dim}")
        if isinstance(layer, Distribution) and (i < len(layers) - 1 or dim % 2):
            raise CheckpointSyntaxError("its sample_and_squash is not the last layer, or takes an odd number of values")
        if isinstance(layer, Dense):
            dtypes |= {layer.weight.dtype, layer.bias.dtype}
        elif isinstance(layer, Standardize):
            dtypes |= {layer.mean.dtype, layer.precision.dtype}
        dim = layer.output_dim(dim)
    if len(dtypes) != 1:
        raise CheckpointSyntaxError(f"its parameters have the types {sorted(map(str, dtypes))}, expected one")
    return Policy(observation_dim, layers, dtypes.pop())


def _layer_patterns(kind: str, initializer: str) -> dict[str, str]:
    return {
        **_TYPES,
        "template": f"using TEMPLATE=nn::layers::{kind}::BindConfiguration<CONFIG>",
        "type": f"using TYPE=nn::layers::{kind}::Layer<CONFIG,CAPABILITY,INPUT_SHAPE>",
        "module": rf"(?:constexpr )?TYPE module=\{{{initializer}\}}",
        "factory": rf"{_TEMPLATE}factory=\{{{{1,2}}{initializer}\}}{{1,2}}",
        "function": rf"{_TEMPLATE}factory_function\(\)\{{return T_TYPE\{{{initializer}\}};\}}",
    }


def _read_layer(scope: _Scope, where: str) -> list[Layer]:
    statements = {_text(statement) for statement in scope.statements}
    for kind, read in _KINDS.items():
        if f"using TEMPLATE={kind}::BindConfiguration<CONFIG>" in statements:
            return read(scope, where)
    raise CheckpointSyntaxError(f"its {where} is none of the layers {', '.join(_KINDS)}")


def _read_dense(scope: _Scope, where: str) -> list[Layer]:
    reader = _Reader(
        scope,
        where,
        {
            **_layer_patterns("dense", "weights::parameters,biases::parameters"),
            "config": rf"using CONFIG=nn::layers::dense::Configuration<TYPE_POLICY,{_TI},(\d{{1,9}}),{_FUNCTION}"
            rf"(?:,{_INITIALIZER},nn::parameters::groups::\w+)?>",
        },
        required=("config", "template", "factory"),
        children=("weights", "biases"),
    )
    output_dim, activation = reader["config"]
    weight = _read_parameter(scope.children["weights"], f"{where}::weights", 2)
    bias = _read_parameter(scope.children["biases"], f"{where}::biases", 1)
    if activation not in ACTIVATION_FUNCTIONS:
        raise CheckpointSyntaxError(f"its {where} has the activation function {activation}")
    if not len(weight) == len(bias) == int(output_dim):
        raise CheckpointSyntaxError(
            f"its {where} has weights of shape {weight.shape}, biases of shape {bias.shape} and {output_dim} outputs"
        )
    reader.require_input_dim(weight.shape[1])
    return [Dense(weight, bias, activation)]


def _read_standardize(scope: _Scope, where: str) -> list[Layer]:
    reader = _Reader(
        scope,
        where,
        {
            **_layer_patterns("standardize", "mean::parameters,precision::parameters"),
            "config": f"using CONFIG=nn::layers::standardize::Configuration<TYPE_POLICY,{_TI}>",
        },
        required=("config", "template", "factory"),
        children=("mean", "precision"),
    )
    mean, precision = (_read_parameter(scope.children[name], f"{where}::{name}", 1) for name in ("mean", "precision"))
    if mean.shape != precision.shape:
        raise CheckpointSyntaxError(f"its {where} has a mean of shape {mean.shape}, a precision of {precision.shape}")
    reader.require_input_dim(len(mean))
    return [Standardize(mean, precision)]


def _read_td3_sampling(scope: _Scope, where: str) -> list[Layer]:
    _Reader(
        scope,
        where,
        {
            **_layer_patterns("td3_sampling", ""),
            "config": rf"using CONFIG=nn::layers::td3_sampling::Configuration<(?:TYPE_POLICY|float|double),{_TI},"
            "PARAMETERS>",
            "parameters": _PARAMETERS,
        },
        required=("config", "template", "factory", "parameters"),
    )
    return [Clip()]


def _read_sample_and_squash(scope: _Scope, where: str) -> list[Layer]:
    reader = _Reader(
        scope,
        where,
        {
            **_layer_patterns("sample_and_squash", ""),
            "config": f"using CONFIG=nn::layers::sample_and_squash::Configuration<TYPE_POLICY,{_TI}(,PARAMETERS)?>",
            "parameters": _PARAMETERS,
        },
        required=("config", "template", "factory"),
    )
    low, high = -20.0, 2.0  # RLtools' own where none are written
    if reader["config"][0]:
        bounds = dict(_CONSTANT.findall(reader["parameters"][0] if "parameters" in reader else ""))
        try:
            low, high = (_number(bounds[f"LOG_STD_{side}_BOUND"]) for side in ("LOWER", "UPPER"))
        except (KeyError, ValueError):
            raise CheckpointSyntaxError(f"its {where} lacks numbers as bounds of the log standard deviation") from None
    if not low <= high:
        raise CheckpointSyntaxError(f"its {where} has a log standard deviation between {low} and {high}")
    return [Distribution(low, high)]


def _read_mlp(scope: _Scope, where: str, kind: str = "mlp") -> list[Layer]:
    names = ["input_layer", *_numbered(scope, "hidden_layer_"), "output_layer"]

    def initializer(function: str, of_type: str, call: str = "") -> str:
        first, *others, last = (
            f"{name}::{function}<{of_type}::SPEC::{re.sub(r'_[0-9]+$', '', name).upper()}>{call}" for name in names
        )
        network = rf"\{{{first},\{{{','.join(others)}\}},{last}\}}"
        return network if kind == "mlp" else rf"\{{{network},log_std::parameters\}}"

    factory = initializer("factory", "typename T_TYPE")
    function = initializer("factory_function", "typename T_TYPE", r"\(\)") if kind == "mlp" else factory
    reader = _Reader(
        scope,
        where,
        {
            **_TYPES,
            "config": rf"using CONFIG=nn_models::mlp::Configuration<TYPE_POLICY,{_TI},(\d{{1,9}}),(\d{{1,9}}),"
            rf"(\d{{1,9}}),{_FUNCTION},{_FUNCTION},{_INITIALIZER}>",
            "template": f"using TEMPLATE=nn_models::{kind}::BindConfiguration<CONFIG>",
            "type": f"using TYPE=nn_models::{kind}::NeuralNetwork<CONFIG,CAPABILITY,INPUT_SHAPE>",
            "module": f"(?:constexpr )?TYPE module={initializer('factory', 'TYPE')}",
            "factory": f"{_TEMPLATE}factory={factory}",
            "function": rf"{_TEMPLATE}factory_function\(\)\{{return T_TYPE{function};\}}",
        },
        required=("config", "template", "factory"),
        children=tuple(names),
        ignored=() if kind == "mlp" else ("log_std",),
    )
    output_dim, n_layers, hidden_dim, hidden_activation, output_activation = reader["config"]
    layers = [layer for name in names for layer in _read_layer(scope.children[name], f"{where}::{name}")]
    # The types of the layers come from the configuration of the whole.
    described = [(len(layer.bias), layer.activation) for layer in layers if isinstance(layer, Dense)]
    expected = [(int(hidden_dim), hidden_activation)] * (int(n_layers) - 1 if len(names) == int(n_layers) else 0)
    if described != [*expected, (int(output_dim), output_activation)]:
        raise CheckpointSyntaxError(f"its {where} has other layers than its configuration says")
    reader.require_input_dim(layers[0].input_dim or 0)
    return layers


def _read_mlp_unconditional_stddev(scope: _Scope, where: str) -> list[Layer]:
    """RLtools' PPO; what it draws around the mean is left out."""
    return _read_mlp(scope, where, "mlp_unconditional_stddev")


_KINDS: dict[str, Callable[[_Scope, str], list[Layer]]] = {
    "nn::layers::dense": _read_dense,
    "nn::layers::standardize": _read_standardize,
    "nn::layers::td3_sampling": _read_td3_sampling,
    "nn::layers::sample_and_squash": _read_sample_and_squash,
    "nn_models::mlp": _read_mlp,
    "nn_models::mlp_unconditional_stddev": _read_mlp_unconditional_stddev,
}


def _read_parameter(scope: _Scope, where: str, n_dimensions: int) -> Array:
    if (memory_scope := scope.children.get("parameters_memory")) is not None:  # as RLtools writes it
        specification = (
            "nn::parameters::Plain::Specification<TYPE_POLICY,typename parameters_memory::SPEC::TI,"
            r"typename parameters_memory::SPEC::SHAPE,nn::parameters::groups::\w+,nn::parameters::categories::\w+,"
            "true,true>"
        )
        _Reader(
            scope,
            where,
            {
                "policy": _TYPES["policy"],
                "specification": f"using PARAMETER_SPEC={specification}",
                "parameters": "(?:constexpr )?nn::parameters::Plain::Instance<PARAMETER_SPEC> "
                r"?parameters=\{parameters_memory::container\}",
            },
            required=("specification", "parameters"),
            children=("parameters_memory",),
        )
        reader = _Reader(
            memory_scope,
            where,
            {
                "shape": rf"using SHAPE=tensor::Shape<{_TI},([\d,]+)>",
                "specification": rf"using SPEC=tensor::Specification<(?:float|double),{_TI},SHAPE,true,"
                "tensor::RowMajorStride<SHAPE>,true>",
                "type": "using CONTAINER_TYPE=Tensor<SPEC>",
                "container": r"(?:constexpr )?CONTAINER_TYPE container=\{\((?:float|double)\*\)memory\}",
            },
            required=("shape", "specification", "type", "container"),
            has_memory=True,
        )
    else:  # as we write it
        reader = _Reader(
            scope,
            where,
            {
                "category": r"using CATEGORY=nn::parameters::categories::\w+",
                "shape": r"(?:constexpr )?Parameter<CATEGORY,([\d,]+)> ?parameters=\{\{memory\}\}",
            },
            required=("category", "shape"),
            has_memory=True,
        )
    shape = reader["shape"][0].split(",")
    if len(shape) != n_dimensions or not all(0 < len(size) <= _MOST_DIGITS for size in shape):
        raise CheckpointSyntaxError(f"its {where} has the shape [{', '.join(shape)}], expected {n_dimensions} sizes")
    sizes = tuple(map(int, shape))
    if reader.memory is None or len(reader.memory) != math.prod(sizes) or not len(reader.memory):
        n = 0 if reader.memory is None else len(reader.memory)
        raise CheckpointSyntaxError(f"its {where} has {n} numbers for the shape {list(sizes)}")
    return reader.memory.reshape(sizes)
