"""What the exporters do about the files that they write."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from policies import PolicyKind

from sb3_tinyrl.export import export_cpp, export_cpp_int8, export_onnx, export_policy

in_integers = partial(export_cpp_int8, calibration=np.random.default_rng(0).normal(size=(100, 3)))
EVERY_FORMAT = pytest.mark.parametrize("export", [export_cpp, in_integers, export_policy, export_onnx])


@EVERY_FORMAT
def test_folders_are_created_and_files_replaced(export, tmp_path: Path) -> None:
    path = tmp_path / "a" / "b c" / "policy"
    export(PolicyKind(seed=1).model(), str(path))
    first = path.read_bytes()
    export(PolicyKind(seed=2).model(), path)
    assert path.read_bytes() != first
    assert [*path.parent.iterdir()] == [path]


@EVERY_FORMAT
def test_a_folder_is_no_file(export, tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a folder; expected the name of a file"):
        export(PolicyKind().model(), tmp_path)
