"""The table of what the kernel takes: complete, true, and the one in the documentation."""

import importlib.util
import inspect
from pathlib import Path

import pytest
from cases import SUPPORTED, UNSUPPORTED
from models import make
from stable_baselines3 import SAC
from stable_baselines3.sac.policies import SACPolicy

from sb3_tinyrl._native.errors import UnsupportedByKernelError
from sb3_tinyrl.capabilities import ARGUMENTS

DOCS = Path(__file__).parents[1] / "docs"


def test_each_argument_of_sb3_has_its_row():
    # What SB3 itself hands to the policy or to the constructor.
    internal = {"self", "_init_setup_model", "observation_space", "action_space", "lr_schedule"}
    names = [*inspect.signature(SAC.__init__).parameters, *inspect.signature(SACPolicy.__init__).parameters]
    expected = [name for name in dict.fromkeys(names) if name not in internal]
    assert [argument.name for argument in ARGUMENTS] == expected


def test_what_a_row_says_is_what_it_decides_by():
    for argument in ARGUMENTS:
        assert bool(argument.torch) == (argument.require is not None), argument.name
        assert bool(argument.sampled) == (argument.sampled_because is not None), argument.name


def test_each_reason_to_train_through_torch_is_tried():
    """Each row that knows such a reason finds it in one of the models of ``cases.py``."""
    found = set()
    for arguments, _, _ in UNSUPPORTED.values():
        model = make(**arguments())
        for argument in ARGUMENTS:
            if argument.require is not None:
                try:
                    argument.require(model)
                except UnsupportedByKernelError:
                    found.add(argument.name)
    # The others need a model that changes after its construction, or a space on which SB3 itself fails.
    elsewhere = {"env", "replay_buffer_class", "device"}
    assert found | elsewhere == {argument.name for argument in ARGUMENTS if argument.require is not None}


@pytest.mark.parametrize("name", [argument.name for argument in ARGUMENTS if argument.sampled_because is not None])
def test_each_reason_to_sample_in_python_is_tried(name):
    argument = next(argument for argument in ARGUMENTS if argument.name == name)
    reasons = [argument.sampled_because(make(**arguments())) for arguments in SUPPORTED.values()]
    assert any(reasons)
    assert not all(reasons)


def test_the_documentation_has_the_tables():
    spec = importlib.util.spec_from_file_location("support_tables", DOCS / "support_tables.py")
    support_tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(support_tables)
    page = (DOCS / "guide" / "compatibility.md").read_text()
    for path in support_tables.TABLES:
        assert path.read_text() == support_tables.render(path), "run: python docs/support_tables.py"
        assert f"_static/{path.name}" in page
