"""The ONNX graph, run by ONNX Runtime."""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from policies import ALL_ACTIVATIONS, PolicyKind, largest_difference, observations_and_actions, policy_kinds

from sb3_tinyrl.export import export_onnx


@settings(max_examples=20)
@given(kind=policy_kinds(ALL_ACTIVATIONS))
def test_onnx_runtime_computes_what_predict_does(kind, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "policy.onnx"
    model = kind.model()
    assert export_onnx(model, path) <= 1e-5
    observations, expected = observations_and_actions(model)
    session = onnxruntime.InferenceSession(path)
    (actions,) = session.run(["action"], {"observation": observations})
    assert actions.shape == expected.shape
    assert actions.dtype == np.float32
    assert largest_difference(model, actions, expected) <= 1e-5
    (single,) = session.run(None, {"observation": observations[:1]})
    assert np.allclose(single, actions[:1], rtol=0, atol=1e-5)


def test_file_tells_shapes_and_origin(tmp_path: Path) -> None:
    export_onnx(PolicyKind((4, 2), (3,), (5,)).model(), tmp_path / "policy.onnx")
    model = onnx.load(tmp_path / "policy.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert model.producer_name == "sb3_tinyrl"
    assert model.graph.doc_string == "observation [4, 2] -> 5 relu -> action [3]"
    for value, shape in ((model.graph.input[0], ["batch", 4, 2]), (model.graph.output[0], ["batch", 3])):
        assert [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim] == shape


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_missing_packages_are_named_with_the_extra(package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf'pip install "sb3-tinyrl\[onnx\]" \(.*{package}'):
        export_onnx(PolicyKind().model(), tmp_path / "policy.onnx")
    assert not [*tmp_path.iterdir()]
