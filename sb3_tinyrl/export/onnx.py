"""The policy as an ONNX graph, for everything that runs ONNX."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from stable_baselines3 import SAC

from sb3_tinyrl.activations import Activation
from sb3_tinyrl.export.check import largest_difference, predicted_samples
from sb3_tinyrl.export.description import PolicyDescription, describe
from sb3_tinyrl.files import atomic_write

if TYPE_CHECKING:
    from onnx import ModelProto

_OPSET = 20  # the first with Gelu
_IR_VERSION = 9  # the one that came with this opset


def export_onnx(model: SAC, path: str | os.PathLike[str]) -> float:
    """Write the deterministic policy as an ONNX model.

    Input ``observation``, shape ``(batch, *observation_shape)``, and output ``action``, shape
    ``(batch, *action_shape)``, are float32 in the environment's units: the statistics of ``VecNormalize`` and the
    scaling to the action's bounds are part of the graph.

    :param model: a SAC or TinySAC with ``MlpPolicy``; where it was trained with ``VecNormalize``, that wrapper has to
        be part of its environment (``load(path, env=VecNormalize.load(...))``)
    :param path: the file; missing folders are created
    :return: the largest difference of ONNX Runtime's actions from ``predict(deterministic=True)`` on 1000 random
        observations, as a fraction of the action's range
    :raises ExportError: when the policy can't be expressed, or differs from ``predict``
    :raises ImportError: when the extra ``onnx`` is not installed
    :raises OSError: when the file can't be written; an earlier one is left alone
    """
    try:
        import onnx
        import onnxruntime  # type: ignore[import-untyped]
    except ImportError as error:
        raise ImportError(f'export_onnx needs the extra "onnx": pip install "sb3-tinyrl[onnx]" ({error})') from error
    description = describe(model)
    graph = _graph(description)
    onnx.checker.check_model(graph, full_check=True)
    content = graph.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    samples = predicted_samples(model, description)
    observations = samples.observations.reshape(-1, *description.observation_shape)
    (actions,) = session.run(None, {"observation": observations})
    difference = largest_difference(description, samples, actions.reshape(len(actions), -1).astype(np.float64))
    with atomic_write(path) as file:
        file.write(content)
    return difference


class _GraphBuilder:
    """Collects the nodes of a graph that is one chain."""

    def __init__(self, value: str) -> None:
        self.value = value
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, values: Any, dtype: type = np.float32) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def append(self, operator: str, *inputs: str, **attributes: Any) -> None:
        """Apply an operator to the value of the chain and to further inputs."""
        from onnx import helper

        output = f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, [self.value, *inputs], [output], **attributes))
        self.value = output

    def append_activation(self, activation: Activation) -> None:
        argument = self.value
        for node in activation.function.onnx:
            attributes = {name: activation.constants.get(value, value) for name, value in node.attributes.items()}
            self.append(node.operator, *([argument] if node.with_argument else []), **attributes)

    def append_clip(self, name: str, bound: float | None) -> None:
        if bound is not None:
            self.append("Clip", self.constant(f"{name}_low", -bound), self.constant(f"{name}_high", bound))


def _graph(description: PolicyDescription) -> ModelProto:
    from onnx import TensorProto, helper

    chain = _GraphBuilder("observation")
    if len(description.observation_shape) != 1:
        chain.append("Flatten")
    if (normalization := description.normalization) is not None:
        chain.append("Sub", chain.constant("observation_mean", normalization.mean))
        chain.append("Div", chain.constant("observation_std", normalization.std))
        chain.append_clip("observation", normalization.bound)
    for i, layer in enumerate(description.layers):
        weight, bias = chain.constant(f"weight_{i}", layer.weight), chain.constant(f"bias_{i}", layer.bias)
        chain.append("Gemm", weight, bias, transB=1)
        chain.append_activation(layer.activation)
    chain.append_clip("mean", description.mean_bound)
    low, high = description.action_low, description.action_high
    chain.append("Tanh")
    chain.append("Add", chain.constant("one", 1.0))
    chain.append("Mul", chain.constant("half_action_range", 0.5 * (high - low)))
    chain.append("Add", chain.constant("action_low", low))
    if len(description.action_shape) != 1:
        chain.append("Reshape", chain.constant("action_shape", (-1, *description.action_shape), np.int64))
    chain.nodes[-1].output[0] = "action"
    graph = helper.make_graph(
        chain.nodes,
        "policy",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, ["batch", *description.observation_shape])],
        [helper.make_tensor_value_info("action", TensorProto.FLOAT, ["batch", *description.action_shape])],
        chain.constants,
        doc_string=description.summary(),
    )
    return helper.make_model(
        graph,
        producer_name="sb3_tinyrl",
        ir_version=_IR_VERSION,
        opset_imports=[helper.make_opsetid("", _OPSET)],
    )
