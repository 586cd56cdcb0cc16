"""Structures that Python and C++ share have one layout, or nothing compiles."""

import ctypes
import shutil

import pytest

from sb3_tinyrl._native.abi import structs
from sb3_tinyrl._native.abi.specs import KernelSpec
from sb3_tinyrl._native.abi.structs import Shared
from sb3_tinyrl._native.errors import KernelBuildError
from sb3_tinyrl._native.jit import build as build_module
from sb3_tinyrl._native.jit.build import build
from sb3_tinyrl._native.jit.headers import Headers, find_headers

SPEC = KernelSpec(3, 1, (8,), (8,), batch_size=4)


def test_every_shared_structure_is_asserted_somewhere():
    declared = {cls for cls in vars(structs).values() if isinstance(cls, type) and issubclass(cls, Shared)} - {Shared}
    assert declared == {*structs.KERNEL, *structs.ENVIRONMENT, *structs.CHECKPOINT}


def test_a_layout_has_size_and_offsets():
    layout = structs.Engine.layout()
    assert (layout.name, layout.size, layout.offsets) == ("Engine", 16, {"key": 0, "counter": 8})


@pytest.mark.parametrize("scalar_type", ["float32", "float64"])
@pytest.mark.parametrize("observation_type", ["float32", "uint8"])
def test_structures_of_any_data_type_have_the_layout_that_python_believes_in(scalar_type, observation_type):
    spec = KernelSpec(3, 1, (8,), (8,), batch_size=4, scalar_type=scalar_type, observation_type=observation_type)
    for cls in structs.KERNEL:
        assert f"sizeof({cls.__name__}) == {ctypes.sizeof(cls)}" in spec.header()
    build(spec)


@pytest.mark.parametrize(
    ("header", "old", "new", "structure"),
    [
        (
            "rl/algorithms/sb3_sac/sb3_sac.h",
            "        double gamma;\n        double tau;\n",
            "        double tau;\n        double gamma;\n",
            "HyperParameters",
        ),
        (
            "rl/components/off_policy_loop/off_policy_loop.h",
            "        std::int64_t n_updates;\n",
            "",
            "LoopResult",
        ),
    ],
    ids=["swapped", "missing"],
)
def test_a_stale_folder_does_not_compile_and_the_message_says_so(
    header, old, new, structure, tmp_path, monkeypatch: pytest.MonkeyPatch
):
    ours = find_headers()
    stale = tmp_path / "rl_tools"
    shutil.copytree(ours.overlay, stale)
    text = (stale / header).read_text()
    assert old in text
    (stale / header).write_text(text.replace(old, new))
    monkeypatch.setattr(build_module, "find_headers", lambda: Headers(stale, ours.rltools))
    with pytest.raises(KernelBuildError) as failed:
        build(SPEC)
    message = str(failed.value)
    assert "remove the stale copy" in message
    assert str(stale) in message
    if structure == "HyperParameters":
        assert "its structure HyperParameters is not that of Python" in message
