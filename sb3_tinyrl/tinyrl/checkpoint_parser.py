"""Checkpoints are read, not run: from the text of RLtools' C++ headers to the layers in it.

The format is that of ``persist_code.h`` of each layer and model in RLtools 2.2, and what ``export/rltools.py`` writes.
A checkpoint is a program in principle, so this knows the sentences that these write and refuses a text with any other:
what it takes, a compiler would take to mean the same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sb3_tinyrl.tinyrl.checkpoint_scopes import (
    INTEGER,
    NUMBER,
    CheckpointSyntaxError,
    Scope,
    quote,
    read_scopes,
    text_of,
)
from sb3_tinyrl.tinyrl.layers import ACTIVATION_FUNCTIONS, Array, Clip, Dense, Distribution, Policy, Standardize
from sb3_tinyrl.tinyrl.layers import PolicyLayer as Layer

#: Namespaces of the model: RLtools' Python interface and ours, and RLtools' training loop.
MODEL_NAMESPACES = ("policy", "rl_tools::checkpoint::actor")

# Text beside the model, which says nothing about it: examples, names, the environment.
_OTHER_NAMESPACES = ("rl_tools::checkpoint::example", "rl_tools::checkpoint::meta")

_MOST_LAYERS = 100

_IS_NUMBER = re.compile(NUMBER, re.ASCII)
_IS_INTEGER = re.compile(INTEGER, re.ASCII)

# Nothing that a compiler would run, or that means something outside of its namespace, can be said without these.
_NO_DATA = frozenset({"(", "std", "template", "extern", "asm"})

# In the patterns below there is no space but between two words, see `text_of`.
_TI = r"(?:TI|(?:unsigned )?(?:int|long|long long|short))"
_FUNCTION = r"nn::activation_functions::ActivationFunction::(\w+)"
_TEMPLATE = r"template<typename T_TYPE(?:=TYPE)?>(?:constexpr )?T_TYPE "

_SIZE = r"[1-9]\d{0,8}"  # with a leading zero it would be octal
_SIZES = rf"({_SIZE}(?:,{_SIZE})*)"
_INITIALIZER = rf"nn::layers::dense::DefaultInitializer<TYPE_POLICY,{_TI}>"
_TYPES = {
    "policy": r"using TYPE_POLICY=numeric_types::Policy<(float|double)>",
    "capability": r"using CAPABILITY=nn::capability::Forward<true,(?:true|false)>",
    "input_shape": rf"using INPUT_SHAPE=tensor::Shape<{_TI},{_SIZE},{_SIZE},({_SIZE})>",
}
_CONSTANT = rf"static constexpr (?:(?:float|double) \w+={NUMBER}|bool \w+=(?:true|false));"
_BOUND = re.compile(rf"static constexpr (float|double) LOG_STD_(LOWER|UPPER)_BOUND=({NUMBER});", re.ASCII)
_PARAMETERS = rf"(?:using PARAMETERS=)?struct PARAMETERS\{{((?:{_CONSTANT})*)\}}"


def parse_checkpoint(text: str) -> Policy:
    """Read a checkpoint.

    :raises CheckpointSyntaxError: when it holds anything but a policy whose layers are known
    """
    root = read_scopes(text)
    names = [name for name in MODEL_NAMESPACES if root.child(name)]
    if len(names) != 1:
        raise CheckpointSyntaxError(
            f"it has the models {names}, expected one namespace of {' and '.join(MODEL_NAMESPACES)}"
        )
    _require_nothing_else(root, "", names[0])
    model = root.child(names[0])
    assert model is not None
    if len(_scalars(model)) == 2:  # a compiler would read the bytes of one as the other, or convert
        raise CheckpointSyntaxError("its model has both float and double, expected one of them")
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
        return _read_model(model)


def _require_nothing_else(scope: Scope, path: str, model: str) -> None:
    """Refuse what lies beside the model, such as global variables, which a compiler would run."""
    if path == model:
        return
    if path in _OTHER_NAMESPACES:
        _require_data(scope, path)
        return
    for statement in scope.statements:
        if not (path == "rl_tools::checkpoint" and text_of(statement) == "namespace actor=policy"):
            raise CheckpointSyntaxError(f"it has {quote(text_of(statement))} outside of its model")
    prefix = f"{path}::" if path else ""
    known = [model, *_OTHER_NAMESPACES]
    for name, child in scope.children.items():
        if not any(other == prefix + name or other.startswith(f"{prefix}{name}::") for other in known):
            raise CheckpointSyntaxError(f"it has the namespace {quote(prefix + name)}")
        _require_nothing_else(child, prefix + name, model)


def _require_data(scope: Scope, where: str) -> None:
    """Refuse statements beside the model that do more than to give numbers and texts a name."""
    for statement in scope.statements:
        for position, token in enumerate(statement):
            is_cast = statement[position : position + 4] in (["(", "float", "*", ")"], ["(", "double", "*", ")"])
            if token in _NO_DATA and not is_cast:
                raise CheckpointSyntaxError(f"its {where} has {quote(text_of(statement))}, which is more than data")
    for name, child in scope.children.items():
        _require_data(child, f"{where}::{name}")


def _scalars(scope: Scope) -> set[str]:
    """Return which of float and double a namespace and those in it name, but for what is not part of the model."""
    scalars = {scalar for scalar in ("float", "double") for statement in scope.statements if scalar in statement}
    return scalars.union(*(_scalars(child) for name, child in scope.children.items() if name != "action"))


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
        scope: Scope,
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
            text = text_of(statement)
            matches = ((key, re.fullmatch(pattern, text, re.ASCII)) for key, pattern in patterns.items())
            key, match = next(((key, match) for key, match in matches if match), ("", None))
            if match is None or key in self._matches:
                raise CheckpointSyntaxError(f"its {where} has {quote(text)}{' twice' if match else ''}")
            self._matches[key] = match
        missing = [key for key in required if key not in self._matches]
        missing += [name for name in children if name not in scope.children]
        unknown = [name for name in scope.children if name not in (*children, *ignored)]
        if missing or unknown:
            raise CheckpointSyntaxError(
                f"its {where} " + (f"lacks {missing[0]}" if missing else f"has the namespace {quote(unknown[0])}")
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
    if not all(map(_IS_NUMBER.fullmatch, numbers)):
        raise CheckpointSyntaxError(f"its {where} holds something that is no number")
    values = np.array([_number(token) for token in numbers])
    values = values.astype(np.float32 if tokens[0] == "float" else np.float64)
    if not np.isfinite(values).all():
        raise CheckpointSyntaxError(f"its {where} holds a number that is not finite as {tokens[0]}")
    return values


def _number(token: str) -> float:
    if _IS_INTEGER.fullmatch(token):
        return int(token)  # -0 has no sign
    digits = token.rstrip("fF")
    try:
        value = float.fromhex(digits) if "x" in digits.lower() else float(digits)
    except OverflowError:
        return math.inf
    return value if digits == token else float(np.float32(value))


def _read_model(scope: Scope) -> Policy:
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
    _require_data(scope.children.get("action", Scope()), "model's namespace action")
    definition = scope.children.get("model_definition")
    if bool(reader["type"][0]) != (definition is not None):
        raise CheckpointSyntaxError("its model has a model_definition that is not its TYPE, or lacks one")
    if definition is not None:
        _Reader(
            definition,
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
        shapes = (re.fullmatch(_TYPES["input_shape"], text_of(statement), re.ASCII) for statement in first.statements)
        input_dims = [int(match[1]) for match in shapes if match]
    else:
        input_dims = [int(reader["input_shape"][0])] if "input_shape" in reader else []
    if len(input_dims) != 1:
        raise CheckpointSyntaxError("its model lacks the INPUT_SHAPE")
    return _policy(input_dims[0], [layer for name in names for layer in _read_layer(scope.children[name], name)])


def _numbered(scope: Scope, prefix: str) -> list[str]:
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


def _read_layer(scope: Scope, where: str) -> list[Layer]:
    statements = {text_of(statement) for statement in scope.statements}
    for kind, read in _KINDS.items():
        if f"using TEMPLATE={kind}::BindConfiguration<CONFIG>" in statements:
            return read(scope, where)
    raise CheckpointSyntaxError(f"its {where} is none of the layers {', '.join(_KINDS)}")


def _read_dense(scope: Scope, where: str) -> list[Layer]:
    reader = _Reader(
        scope,
        where,
        {
            **_layer_patterns("dense", "weights::parameters,biases::parameters"),
            "config": rf"using CONFIG=nn::layers::dense::Configuration<TYPE_POLICY,{_TI},({_SIZE}),{_FUNCTION}"
            rf"(?:,{_INITIALIZER},nn::parameters::groups::\w+)?>",
        },
        required=("config", "template", "factory"),
        children=("weights", "biases"),
    )
    output_dim, activation = reader["config"]
    weight = _read_parameter(scope.children["weights"], f"{where}::weights", 2)
    bias = _read_parameter(scope.children["biases"], f"{where}::biases", 1)
    if activation not in ACTIVATION_FUNCTIONS:
        raise CheckpointSyntaxError(f"its {where} has the activation function {quote(activation)}")
    if not len(weight) == len(bias) == int(output_dim):
        raise CheckpointSyntaxError(
            f"its {where} has weights of shape {weight.shape}, biases of shape {bias.shape} and {output_dim} outputs"
        )
    reader.require_input_dim(weight.shape[1])
    return [Dense(weight, bias, activation)]


def _read_standardize(scope: Scope, where: str) -> list[Layer]:
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


def _read_td3_sampling(scope: Scope, where: str) -> list[Layer]:
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


def _read_sample_and_squash(scope: Scope, where: str) -> list[Layer]:
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
        constants = reader["parameters"][0] if "parameters" in reader else ""
        bounds = {side: float(np.dtype(scalar).type(_number(n))) for scalar, side, n in _BOUND.findall(constants)}
        if len(bounds) != 2:
            raise CheckpointSyntaxError(f"its {where} lacks numbers as bounds of the log standard deviation")
        low, high = bounds["LOWER"], bounds["UPPER"]
    if not -math.inf < low <= high < math.inf:
        raise CheckpointSyntaxError(f"its {where} has a log standard deviation between {low} and {high}")
    return [Distribution(low, high)]


def _read_mlp(scope: Scope, where: str, kind: str = "mlp") -> list[Layer]:
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
            "config": rf"using CONFIG=nn_models::mlp::Configuration<TYPE_POLICY,{_TI},({_SIZE}),({_SIZE}),({_SIZE}),"
            rf"{_FUNCTION},{_FUNCTION},{_INITIALIZER}>",
            "template": f"using TEMPLATE=nn_models::{kind}::BindConfiguration<CONFIG>",
            "type": f"using TYPE=nn_models::{kind}::NeuralNetwork<CONFIG,CAPABILITY,INPUT_SHAPE>",
            "module": f"(?:constexpr )?TYPE module={initializer('factory', 'TYPE')}",
            "factory": f"{_TEMPLATE}factory={factory}",
            "function": rf"{_TEMPLATE}factory_function\(\)\{{return T_TYPE{function};\}}",
        },
        required=("config", "template", "factory"),
        children=(*names, *(() if kind == "mlp" else ("log_std",))),
    )
    if kind != "mlp":
        _read_parameter(scope.children["log_std"], f"{where}::log_std", 1)
    output_dim, n_layers, hidden_dim, hidden_activation, output_activation = reader["config"]
    layers = [layer for name in names for layer in _read_layer(scope.children[name], f"{where}::{name}")]
    # The types of the layers come from the configuration of the whole.
    described = [(len(layer.bias), layer.activation) for layer in layers if isinstance(layer, Dense)]
    expected = [(int(hidden_dim), hidden_activation)] * (int(n_layers) - 1 if len(names) == int(n_layers) else 0)
    if described != [*expected, (int(output_dim), output_activation)]:
        raise CheckpointSyntaxError(f"its {where} has other layers than its configuration says")
    reader.require_input_dim(layers[0].input_dim or 0)
    return layers


def _read_mlp_unconditional_stddev(scope: Scope, where: str) -> list[Layer]:
    """RLtools' PPO; what it draws around the mean is left out."""
    return _read_mlp(scope, where, "mlp_unconditional_stddev")


_KINDS: dict[str, Callable[[Scope, str], list[Layer]]] = {
    "nn::layers::dense": _read_dense,
    "nn::layers::standardize": _read_standardize,
    "nn::layers::td3_sampling": _read_td3_sampling,
    "nn::layers::sample_and_squash": _read_sample_and_squash,
    "nn_models::mlp": _read_mlp,
    "nn_models::mlp_unconditional_stddev": _read_mlp_unconditional_stddev,
}


def _read_parameter(scope: Scope, where: str, n_dimensions: int) -> Array:
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
                "shape": rf"using SHAPE=tensor::Shape<{_TI},{_SIZES}>",
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
                "shape": rf"(?:constexpr )?Parameter<CATEGORY,{_SIZES}> ?parameters=\{{\{{memory\}}\}}",
            },
            required=("category", "shape"),
            has_memory=True,
        )
    sizes = tuple(map(int, reader["shape"][0].split(",")))
    if len(sizes) != n_dimensions:
        raise CheckpointSyntaxError(f"its {where} has {len(sizes)} dimensions, expected {n_dimensions}")
    if reader.memory is None or len(reader.memory) != math.prod(sizes):
        n = 0 if reader.memory is None else len(reader.memory)
        raise CheckpointSyntaxError(f"its {where} has {n} numbers for the shape {list(sizes)}")
    return reader.memory.reshape(sizes)
