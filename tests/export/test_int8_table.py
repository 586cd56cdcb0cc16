"""The table of headers in float and in integers in docs/guide/export.md."""

import re
import sys
from pathlib import Path

import pytest
from models import make
from stable_baselines3 import SAC

from sb3_tinyrl.export import export_cpp, export_cpp_int8

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))
import int8_policies as table

CELLS = [re.findall(r"[^|\s][^|]*[^|\s]", line) for line in table.TABLE.read_text().splitlines()]


def test_the_page_has_the_table() -> None:
    page = (table.TABLE.parents[1] / "guide" / "export.md").read_text()
    assert f"_static/{table.TABLE.name}" in page
    assert "python docs/int8_policies.py" in page
    assert [row[0] for row in CELLS[2:]] == [*map(str, table.NETWORKS)]
    assert table.render(CELLS[2:]) == table.TABLE.read_text()


@pytest.mark.parametrize("i", [0, 1, pytest.param(2, marks=pytest.mark.slow)])
def test_sizes_are_those_of_the_table(i, tmp_path: Path) -> None:
    """Which depend on the network alone; another release of the compiler may make some per cent of code more."""
    model = make(SAC, policy_kwargs={"net_arch": table.NETWORKS[i]}, buffer_size=1)
    export_cpp(model, tmp_path / "float.h")
    export_cpp_int8(model, tmp_path / "int8.h")
    sizes = [table.flash_size(tmp_path / "float.h", "float"), table.flash_size(tmp_path / "int8.h", "int32_t")]
    assert sizes == pytest.approx([int(re.sub(r"\D", "", cell)) for cell in CELLS[2 + i][1:3]], rel=0.03)
    layers = [*zip([3, *table.NETWORKS[i]], [*table.NETWORKS[i], 1], strict=True)]
    in_float = sum(4 * (n_inputs + 1) * n_outputs for n_inputs, n_outputs in layers)
    # Beside the weights: bias, multiplier and shift of each row, and a table for the tanh at the end.
    in_integers = sum((n_inputs + 4 + 2 + 1) * n_outputs for n_inputs, n_outputs in layers) + 2 * 257
    assert in_float < sizes[0] < in_float + 1024
    assert in_integers < sizes[1] < in_integers + 1024


@pytest.mark.slow
def test_a_row_is_measured() -> None:
    cells = table.row([16, 16], timesteps=300)
    assert cells[0] == "[16, 16]"
    assert float(cells[3].rstrip("%")) < 10
    assert 0 < float(cells[4].rstrip("%")) < 1
