"""The kernel's own tests in C++, compiled with warnings as errors and run under the sanitizers."""

import subprocess
from pathlib import Path

import pytest
from fast_loop import slow_but
from models import make
from stable_baselines3 import SAC

from sb3_tinyrl._native.abi.specs import Activation, CheckpointSpec, EnvironmentSpec, KernelSpec
from sb3_tinyrl._native.jit.compiler import compile_flags, find_compiler
from sb3_tinyrl._native.jit.headers import find_headers
from sb3_tinyrl.export.rltools import stochastic_policy

SOURCES = Path(__file__).parent
STRICT = ["-std=c++17", "-O1", "-g", "-pthread", "-Wall", "-Wextra", "-Werror"]
# Not optimised: nothing disappears before the sanitizers see it, and it compiles in a third of the time.
SANITIZED = ["-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-ffp-contract=fast"]

SPECS = {
    "odd sizes": KernelSpec(5, 3, (17, 33), (31, 18), n_critics=2, batch_size=21, observation_type="float64"),
    "activation": KernelSpec(3, 2, (17,), (16, 5), batch_size=21, activation=Activation("Silu")),
    "no hidden layers": KernelSpec(2, 9, (), (), n_critics=3, batch_size=1, scalar_type="float64"),
    "state-dependent noise": KernelSpec(7, 2, (35,), (19,), n_critics=2, batch_size=40, use_sde=True),
    "images without hidden layers": KernelSpec(
        9, 3, (), (8,), batch_size=17, observation_type="uint8", use_sde=True, observation_divisor=255
    ),
    "several panels": KernelSpec(20, 1, (32,), (16, 16, 16), n_critics=1, batch_size=50),
    "ten critics": KernelSpec(3, 1, (8,), (8,), n_critics=10, batch_size=20),
    # Weights too large for the second-level cache are read for several lines of samples at a time.
    "wide panels": KernelSpec(3, 1, (4,), (368, 368), n_critics=1, batch_size=12, scalar_type="float64"),
    "BLAS": KernelSpec(5, 3, (17, 70), (31, 18), n_critics=2, batch_size=150, use_blas=True),
    "BLAS and state-dependent noise": KernelSpec(
        7, 2, (35,), (19,), n_critics=2, batch_size=75, use_sde=True, use_blas=True, scalar_type="float64"
    ),
    "BLAS without hidden layers": KernelSpec(2, 9, (), (), n_critics=3, batch_size=1, use_blas=True),
}


ROOT = SOURCES.parents[1]
EXAMPLES = [ROOT / "examples" / name for name in ("cartpole", "custom_environment", "point_mass")]
ENVIRONMENTS = [*sorted((ROOT / "rl_tools" / "rl" / "zoo").iterdir()), *EXAMPLES]


def compile_and_run(source: str, folder: Path, *flags: str, arguments: tuple[str, ...] = ()) -> None:
    headers = find_headers()
    program = folder / "program"
    compiler = find_compiler()
    command = [
        *compiler.command,
        *compiler.processor_flags(),
        *STRICT,
        *flags,
        f"-I{folder}",
        f"-I{headers.include_root}",
        *("-isystem", str(headers.rltools)),
        str(SOURCES / source),
        *("-o", str(program)),
    ]
    compiled = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert compiled.returncode == 0, compiled.stderr
    finished = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stdout == "ok\n"


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECS)
def test_kernel_under_address_and_undefined_behaviour_sanitizers(name, tmp_path):
    (tmp_path / "kernel_spec.h").write_text(SPECS[name].header())
    compile_and_run("sac_test.cpp", tmp_path, *SANITIZED)


@pytest.mark.slow
@pytest.mark.parametrize("folder", ENVIRONMENTS, ids=lambda folder: folder.name)
def test_environment_under_address_and_undefined_behaviour_sanitizers(folder, tmp_path):
    (tmp_path / "kernel_spec.h").write_text(EnvironmentSpec(folder).header())
    compile_and_run("environment_test.cpp", tmp_path, "-iquote", str(folder), *SANITIZED)


@pytest.mark.slow
def test_checkpoint_under_address_and_undefined_behaviour_sanitizers(tmp_path):
    """What ``load_checkpoint(..., trust=True)`` compiles."""
    model = make(SAC, policy_kwargs={"net_arch": [5, 4]}, buffer_size=1)
    (tmp_path / "kernel_spec.h").write_text(CheckpointSpec(stochastic_policy(model), "policy::module").header())
    compile_and_run("checkpoint_test.cpp", tmp_path, *SANITIZED)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["several panels", "BLAS", "state-dependent noise", "BLAS and state-dependent noise", "no hidden layers"]
)
def test_kernel_under_thread_sanitizer(name, tmp_path):
    (tmp_path / "kernel_spec.h").write_text(SPECS[name].header())
    compile_and_run("sac_test.cpp", tmp_path, "-fsanitize=thread")


def test_thread_pool_under_thread_sanitizer(tmp_path):
    compile_and_run("thread_pool_test.cpp", tmp_path, "-fsanitize=thread")


@pytest.mark.slow
def test_thread_pool_whose_threads_fail_to_start_under_thread_sanitizer(tmp_path):
    compile_and_run("thread_pool_test.cpp", tmp_path, "-fsanitize=thread", arguments=("limited",))


@pytest.mark.parametrize("kernel_flags", slow_but([True], [False, True]))
@pytest.mark.parametrize("reference", slow_but(["long double"], ["long double", "double"]))
def test_math_is_as_accurate_as_documented(kernel_flags, reference, tmp_path):
    """A kernel's flags contract and vectorise, the strict ones do not. On Apple's ARM, long double is double."""
    flags = [flag for flag in compile_flags() if flag.startswith(("-O", "-f"))]
    compile_and_run("math_test.cpp", tmp_path, f"-DREFERENCE_TYPE={reference}", *(flags if kernel_flags else []))
