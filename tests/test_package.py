"""What ``import sb3_tinyrl`` brings in, and that its names are there all the same."""

import pickle
import sys

import pytest
from fast_loop import slow_but
from imports import HEAVY, imported_by, modules_of
from models import make, run_python

import sb3_tinyrl


@pytest.mark.parametrize(
    "program",
    [
        "import sb3_tinyrl",
        "import sb3_tinyrl._native.abi.specs",
        "import sb3_tinyrl.environments",
        "import gymnasium, sb3_tinyrl; gymnasium.spec('rl_tools/Pendulum-v0')",
        "import gymnasium; gymnasium.make('sb3_tinyrl:rl_tools/Pendulum-v0').reset()",
        "import sb3_tinyrl.__main__",
        "import sb3_tinyrl.bench.worker",
    ],
)
def test_it_takes_no_heavy_package(program: str):
    assert imported_by(program) & HEAVY == set()


def test_it_takes_no_more_of_the_package_than_ids_need():
    assert {name for name in imported_by("import sb3_tinyrl") if name.startswith("sb3_tinyrl")} == {
        "sb3_tinyrl",
        "sb3_tinyrl._native",
        "sb3_tinyrl._native.errors",
        "sb3_tinyrl._native.jit",
        "sb3_tinyrl._native.jit.headers",
        "sb3_tinyrl.environments",
        "sb3_tinyrl.environments.registration",
    }


def test_the_class_takes_little_beyond_stable_baselines3():
    """Modules are counted, not seconds: their number does not depend on what else the machine does."""
    theirs = modules_of("from stable_baselines3 import SAC")
    more = modules_of("from sb3_tinyrl import TinySAC") - theirs
    assert "sb3_tinyrl.sac" in more
    assert len(more) < 0.06 * len(theirs)
    assert {module.partition(".")[0] for module in more} - sys.stdlib_module_names == {"sb3_tinyrl"}


def test_names_are_listed_before_they_are_imported():
    program = "import sb3_tinyrl, sys\nassert {'TinySAC', 'NativeVecEnv', 'register_environment'} <= {*dir(sb3_tinyrl)}"
    assert "torch" not in imported_by(program)
    assert sb3_tinyrl.TinySAC is make().__class__


@pytest.mark.parametrize("package", slow_but(["sb3_tinyrl"], ["sb3_tinyrl", "sb3_tinyrl.environments"]))
def test_every_public_name_is_there(package: str):
    run_python(
        f"import {package} as package\n"
        "assert {*package.__all__} <= {*dir(package)}\n"
        "for name in package.__all__:\n"
        "    assert getattr(package, name).__name__ == name\n"
        f"from {package} import *"
    )


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"module 'sb3_tinyrl' has no attribute 'TinyPPO'"):
        sb3_tinyrl.TinyPPO  # noqa: B018
    with pytest.raises(ImportError, match="TinyPPO"):
        from sb3_tinyrl import TinyPPO  # noqa: F401


@pytest.mark.slow
def test_a_model_is_loaded_and_a_class_unpickled_after_a_bare_import(tmp_path):
    make().save(tmp_path / "model")
    run_python(
        "import pickle, sys\n"
        "import cloudpickle\n"
        "import sb3_tinyrl\n"
        "assert 'torch' not in sys.modules\n"
        "model = sb3_tinyrl.TinySAC.load(sys.argv[1])\n"
        "assert model.policy is not None\n"
        "for dumps in (pickle.dumps, cloudpickle.dumps):\n"
        "    for cls in (sb3_tinyrl.TinySAC, sb3_tinyrl.NativeVecEnv):\n"
        "        assert pickle.loads(dumps(cls)) is cls",
        tmp_path / "model",
    )


@pytest.mark.slow
def test_a_pickled_class_finds_its_module_by_itself():
    pickled = pickle.dumps(sb3_tinyrl.TinySAC)
    run_python(f"import pickle; assert pickle.loads({pickled!r}).__name__ == 'TinySAC'")
