"""What computes the kernel's matrix products is a choice that survives all that a model may go through."""

import os
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from backends import EACH_LIBRARY
from models import assert_trained, differences, kernel_of, make, state
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import BaseCallback

from sb3_tinyrl import TinySAC
from sb3_tinyrl._native.abi import blas
from sb3_tinyrl._native.errors import KernelError

#: A library for tests of what does not depend on which it is.
ONE = next(iter(blas.installed()), None)
needs_one = pytest.mark.skipif(ONE is None, reason="no BLAS is installed here")


def library_of(model: TinySAC) -> str | None:
    """The library that the model's kernel has been given."""
    loaded = kernel_of(model).blas
    return loaded and loaded.name


@EACH_LIBRARY
def test_a_model_trains_with_each_library(library: str) -> None:
    before = state(model := make(backend=library))
    assert_trained(model.learn(60), before)
    assert library_of(model) == library


@needs_one
def test_blas_is_the_first_library_that_is_there() -> None:
    assert library_of(make(backend="blas").learn(40)) == ONE


@pytest.mark.skipif(sys.platform == "darwin", reason="there, Accelerate is the default")
@pytest.mark.parametrize("backend", [None, "simd"])
def test_no_library_is_used_unasked(backend: Any) -> None:
    assert library_of(make(backend=backend).learn(40)) is None


@needs_one
def test_the_backend_may_change_on_the_way() -> None:
    model = make(backend="simd").learn(40)
    for backend, library in ((ONE, ONE), ("simd", None)):
        model.backend = backend
        before = state(model)
        assert_trained(model.learn(30, reset_num_timesteps=False), before)
        assert library_of(model) == library


@needs_one
def test_the_backend_is_saved_and_may_be_another_at_load(tmp_path: Path) -> None:
    make(backend=ONE).learn(40).save(tmp_path / "model")
    assert SAC.load(tmp_path / "model").num_timesteps == 40
    for arguments, library in (({}, ONE), ({"backend": "simd"}, None)):
        loaded = TinySAC.load(tmp_path / "model", env=gym.make("Pendulum-v1"), **arguments)
        assert loaded.backend == arguments.get("backend", ONE)
        loaded.learn(40, reset_num_timesteps=False)
        assert library_of(loaded) == library


class Each(BaseCallback):
    """Wants to see each step, and so keeps the loop in Python."""

    def _on_step(self) -> bool:
        return True


@EACH_LIBRARY
def test_the_native_loop_gives_the_bits_of_the_loop_in_python(library: str) -> None:
    arguments = {"env": "sb3_tinyrl:rl_tools/Pendulum-v0", "backend": library}
    natively, in_python = make(**arguments).learn(80), make(**arguments).learn(80, callback=Each())
    assert not differences(state(natively), state(in_python))


@EACH_LIBRARY
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_trains_and_so_does_its_parent(library: str) -> None:
    model = make(backend=library, n_threads=2).learn(40)
    child = os.fork()
    if child == 0:
        try:
            model.train(5, 32)
            os._exit(library_of(model) != library)
        except BaseException:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    before = state(model)
    model.train(5, 32)
    assert_trained(model, before)


@pytest.mark.parametrize("backend", ["gpu", "MKL", "", 1])
def test_a_backend_that_does_not_exist_is_refused_with_those_that_do(backend: Any) -> None:
    with pytest.raises(ValueError, match=r"backend=.*expected one of 'simd', 'blas', .*'mkl', 'openblas'"):
        make(backend=backend)


@pytest.mark.skipif(sys.platform == "darwin", reason="there it exists")
@pytest.mark.parametrize("kernel", ["auto", "native"])
def test_a_library_that_is_missing_is_an_error_and_nothing_takes_its_place(kernel: str, tmp_path: Path) -> None:
    with pytest.raises(KernelError, match="Accelerate needs macOS"):
        make(backend="accelerate", kernel=kernel)
    make(kernel=kernel).save(tmp_path / "model")
    loaded = TinySAC.load(tmp_path / "model", env=gym.make("Pendulum-v1"), backend="accelerate")
    assert loaded.predict(loaded.observation_space.sample(), deterministic=True)[0].shape == (1,)
    with pytest.raises(KernelError, match="Accelerate needs macOS"):
        loaded.learn(40)


@pytest.mark.skipif(sys.platform == "darwin", reason="there it exists")
def test_sb3s_update_needs_no_library() -> None:
    before = state(model := make(backend="accelerate", kernel="torch"))
    assert_trained(model.learn(40), before)
