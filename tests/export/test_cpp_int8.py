"""The header in integers, compiled and run beside its twin in Python and beside predict."""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from hypothesis import given
from models import TIMEOUT
from policies import (
    ALL_ACTIVATIONS,
    N_OBSERVATIONS,
    PolicyKind,
    compile_program,
    compiles,
    observations_and_actions,
    policy_kinds,
    several,
    write_policies_header,
)
from stable_baselines3 import SAC

from sb3_tinyrl import TinySAC
from sb3_tinyrl.export import calibration, export_cpp_int8
from sb3_tinyrl.export.description import describe
from sb3_tinyrl.export.quantization import INT32_MAX, IntegerPolicy, evaluate, quantize

EVERYTHING = [PolicyKind((5,), (2,), (8,), activation, sde=True, clip_obs=1.0) for activation in ALL_ACTIVATIONS]
SANITIZED = ("-O1", "-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize-recover=all")
EMBEDDED = ("-Os", "-fno-exceptions", "-fno-rtti")


@dataclass(frozen=True)
class Exported:
    """A model, and what its header computes, again in Python."""

    model: SAC
    policy: IntegerPolicy
    errors: calibration.QuantizationErrors


def export(models: Sequence[SAC], folder: Path) -> list[Exported]:
    """Write the headers ``policy_0.h`` and so on, calibrated by random observations."""
    exported = []
    for i, model in enumerate(models):
        observations, _ = observations_and_actions(model, seed=2)
        errors = export_cpp_int8(model, folder / f"policy_{i}.h", f"policy_{i}", observations)
        description = describe(model)
        chosen = calibration.choose(model, description, observations)
        exported.append(Exported(model, quantize(description, chosen.observations), errors))
    write_policies_header([f"policy_{i}" for i in range(len(models))], folder)
    return exported


def float_observations(model: SAC) -> np.ndarray:
    """Usual ones, and then some of all magnitudes, infinite ones among them; shape ``(N_OBSERVATIONS, -1)``."""
    usual = observations_and_actions(model)[0].reshape(N_OBSERVATIONS, -1)
    rng = np.random.default_rng(3)
    with np.errstate(over="ignore"):
        extreme = (rng.choice([-1, 1], usual.shape) * 10.0 ** rng.uniform(-45, 40, usual.shape)).astype(np.float32)
    return np.concatenate([usual[: N_OBSERVATIONS // 2], extreme[N_OBSERVATIONS // 2 :]])


def worst_observations(policy: IntegerPolicy) -> np.ndarray:
    """Of each row of the first layer, the observation with the largest sum."""
    return np.where(policy.layers[0].weight > 0, policy.observation_high, policy.observation_low)


def integer_observations(policy: IntegerPolicy) -> np.ndarray:
    """All that an int32 can be, values about the bounds between which they are clipped, those between, and the worst.

    The worst are those of which the sums of the first layer's rows are largest.
    """
    low, high = policy.observation_low, policy.observation_high
    rng, shape = np.random.default_rng(4), (N_OBSERVATIONS, len(low))
    bounds = np.where(rng.random(shape) < 0.5, low, high)
    kinds = [
        rng.integers(-(2**31), 2**31, shape),
        rng.choice([-(2**31), 2**31 - 1], shape),
        bounds + rng.integers(-1, 2, shape),
        rng.integers(low, high + 1, shape),
        np.resize(worst_observations(policy), shape),
    ]
    return np.choose(np.arange(N_OBSERVATIONS)[:, None] % len(kinds), kinds).astype(np.int32)


def assert_the_twins_agree(command: Sequence[str | Path], exported: Sequence[Exported]) -> None:
    """Run the program; all its actions are those of Python to the last bit, and within the bounds of the space."""
    inputs = [(float_observations(each.model), integer_observations(each.policy)) for each in exported]
    content = b"".join(floats.tobytes() + integers.tobytes() for floats, integers in inputs)
    finished = subprocess.run([*command], input=content, capture_output=True, timeout=TIMEOUT)
    assert finished.returncode == 0, finished.stderr.decode()
    output = finished.stdout
    for each, (floats, integers) in zip(exported, inputs, strict=True):
        policy, space = each.policy, each.model.action_space
        n_actions = N_OBSERVATIONS * len(policy.action_low)
        expected = policy.action_values(evaluate(policy, policy.fixed_point(floats)))
        actions = np.frombuffer(output, np.float32, n_actions).reshape(expected.shape)
        assert np.array_equal(actions, expected)
        assert np.all((space.low.ravel() <= actions) & (actions <= space.high.ravel()))
        integer_actions = np.frombuffer(output, np.int32, n_actions, offset=4 * n_actions).reshape(expected.shape)
        assert np.array_equal(integer_actions, evaluate(policy, integers.astype(np.int64)))
        output = output[8 * n_actions :]
    assert not output


@compiles(3)
@given(kinds=several(policy_kinds(ALL_ACTIVATIONS), 6))
def test_header_computes_what_its_twin_does_and_predict_nearly(kinds, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cpp")
    exported = export([kind.model() for kind in kinds], folder)
    assert_the_twins_agree([compile_program("cpp_int8_test.cpp", folder, *SANITIZED)], exported)
    for each in exported:
        assert each.errors.held_out.mean < 0.005
        assert each.errors.held_out.largest < 0.1


def test_every_activation_function_is_near_predict(tmp_path: Path) -> None:
    for each in export([kind.model() for kind in EVERYTHING], tmp_path):
        assert 0 < each.errors.calibration.mean < 0.004
        assert 0 < each.errors.held_out.largest < 0.03


def with_weights_of_like_size(model: SAC) -> SAC:
    """Spread the weights of the hidden layers between half of the largest and the largest, with either sign."""
    generator = th.Generator().manual_seed(0)
    with th.no_grad():
        for parameter in model.actor.latent_pi.parameters():
            parameter.copy_(0.05 * parameter.sign() * (0.5 + 0.5 * th.rand(parameter.shape, generator=generator)))
    return model


def test_wide_layers_do_not_overflow(tmp_path: Path) -> None:
    """With 16 bits for their inputs they would. Observations with the signs of a row's weights come to the bound."""
    kinds = [PolicyKind((1200,), (1,), (8,)), PolicyKind((3,), (1,), (1200, 8))]
    exported = export([with_weights_of_like_size(kind.model()) for kind in kinds], tmp_path)
    program = compile_program("cpp_int8_test.cpp", tmp_path, *SANITIZED)
    assert_the_twins_agree([program], exported)
    for each, i in zip(exported, (0, 1), strict=True):
        layer = each.policy.layers[i]
        assert np.abs(layer.weight).sum(axis=1).max() * (2**15 - 1) > INT32_MAX
        assert INT32_MAX / 4 < layer.largest_accumulator <= INT32_MAX

    policy = exported[0].policy
    sums = (worst_observations(policy) - policy.observation_offset) @ policy.layers[0].weight.T + policy.layers[0].bias
    assert 0.7 * policy.layers[0].largest_accumulator < sums.max() <= policy.layers[0].largest_accumulator


def test_the_sanitizer_sees_sums_that_overflow(tmp_path: Path) -> None:
    export([PolicyKind().model()], tmp_path)
    header = tmp_path / "policy_0.h"
    header.write_text(re.sub(r"(BIAS_0\[\] = \{\s+)-?\d+", r"\g<1>2147483647", header.read_text()))
    program = compile_program("cpp_int8_test.cpp", tmp_path, *SANITIZED)
    finished = subprocess.run([program], capture_output=True, timeout=TIMEOUT)
    assert finished.returncode != 0
    assert b"signed integer overflow" in finished.stderr


def test_self_test_fails_when_the_code_computes_something_else(tmp_path: Path) -> None:
    export([PolicyKind(seed=2).model()], tmp_path)
    header = tmp_path / "policy_0.h"
    observations = np.zeros((2, N_OBSERVATIONS, 3), np.float32).tobytes()
    right = compile_program("cpp_int8_test.cpp", tmp_path, *EMBEDDED)
    assert subprocess.run([right], input=observations, stdout=subprocess.DEVNULL).returncode == 0
    text = header.read_text()
    assert "fraction + 128" in text
    header.write_text(text.replace("fraction + 128", "fraction + 1280"))
    wrong = compile_program("cpp_int8_test.cpp", tmp_path, *EMBEDDED)
    assert subprocess.run([wrong], input=observations, stdout=subprocess.DEVNULL).returncode == 1


def test_broken_sensors_do_not_give_valid_actions(tmp_path: Path) -> None:
    """NaN in one of the floats makes all actions NaN, in a program of two translation units."""
    export([kind.model() for kind in EVERYTHING], tmp_path)
    (tmp_path / "other.cpp").write_text('#include "policies.h"\n')
    program = compile_program("cpp_int8_test.cpp", tmp_path, *EMBEDDED, str(tmp_path / "other.cpp"))
    observations = np.zeros((len(EVERYTHING), 2, N_OBSERVATIONS, 5), np.float32)  # zero is the same in both types
    observations[:, 0, np.arange(N_OBSERVATIONS), np.arange(N_OBSERVATIONS) % 5] = np.nan
    finished = subprocess.run([program], input=observations.tobytes(), capture_output=True, check=True)
    actions = np.frombuffer(finished.stdout, np.float32).reshape(len(EVERYTHING), 2, N_OBSERVATIONS, 2)
    assert np.isnan(actions[:, 0]).all()
    integers = actions[:, 1].view(np.int32)
    assert np.all(integers == integers[:, :1])


def test_the_errors_are_those_of_predict_and_in_the_header(tmp_path: Path) -> None:
    model = PolicyKind((4,), (2,), clip_obs=5.0, seed=5).model()
    [each] = export([model], tmp_path)
    observations, _ = observations_and_actions(model, seed=2)
    actions = each.policy.action_values(evaluate(each.policy, each.policy.fixed_point(observations)))
    normalized = model.get_vec_normalize_env().normalize_obs(observations)
    expected, _ = model.predict(normalized, deterministic=True)
    differences = np.abs(actions - expected) / (model.action_space.high - model.action_space.low)
    one, other = each.errors.calibration, each.errors.held_out
    assert (one.n_observations, other.n_observations) == (800, 200)
    assert max(one.largest, other.largest) == pytest.approx(differences.max(), rel=1e-3)
    assert 0.8 * one.mean + 0.2 * other.mean == pytest.approx(differences.mean(), rel=1e-3)
    header = (tmp_path / "policy_0.h").read_text()
    assert f"//   {one} it was calibrated by\n//   {other} held out\n" in header
    assert f"{one.largest:.2%} at most and {one.mean:.2%} on average, on 800 observations" in header


# --- targets without a floating-point unit ---

CORTEX_M0 = ("-target", "thumb-freestanding-eabi", "-mcpu=cortex_m0")
#: Of the compiler's library: arithmetic of 64 bits, and nothing of float or double.
INTEGER_HELPERS = {b"__aeabi_lmul", b"__aeabi_llsl", b"__aeabi_lasr"}


def zig(source: str, output: Path, *flags: str) -> bytes:
    """Compile for a Cortex-M0 by Zig, which carries what a C++ compiler needs for it; return the file."""
    path = output.with_suffix(".cpp")
    path.write_text(source)
    command = [sys.executable, "-m", "ziglang", "c++", *CORTEX_M0, "-std=c++17", *EMBEDDED, "-Wall", "-Wextra"]
    command += ["-Werror", *flags, f"-I{output.parent}", str(path), "-o", str(output)]
    compiled = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    assert compiled.returncode == 0, compiled.stderr
    return output.read_bytes()


def helpers(code: bytes) -> set[bytes]:
    """The functions of the compiler's library that an object file calls, by the names in its table of symbols."""
    return {*re.findall(rb"__aeabi_(?!unwind)\w+", code)}


def test_the_layers_call_nothing_of_float_where_there_is_no_unit(tmp_path: Path) -> None:
    models = [PolicyKind(net_arch=(64, 64)).model(), *(kind.model() for kind in EVERYTHING)]
    export(models, tmp_path)

    def called(element: str) -> set[bytes]:
        """What functions that call those of all policies need of the compiler's library."""
        functions = (
            f"void act_{i}(const {element}* observation, {element}* action) {{\n"
            f"    policy_{i}::evaluate(observation, action);\n}}\n"
            for i in range(len(models))
        )
        return helpers(zig('#include "policies.h"\n' + "".join(functions), tmp_path / f"{element}.o", "-c"))

    assert called("int32_t") == INTEGER_HELPERS
    assert called("float") >= {b"__aeabi_fmul", b"__aeabi_f2iz", b"__aeabi_i2f", *INTEGER_HELPERS}


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("qemu-arm"), reason="needs Debian's package qemu-user")
def test_self_test_passes_in_code_for_a_processor_without_floats(tmp_path: Path) -> None:
    """A program that is nothing but the header and a system call of Linux, by which it tells what the test found."""
    models = [kind.model() for kind in EVERYTHING]
    export(models, tmp_path)
    for i in range(len(models)):
        source = f'#include "policy_{i}.h"\n{START}'.replace("POLICY", f"policy_{i}")
        for broken, status in ((False, 0), (True, 1)):
            if broken:
                header = tmp_path / f"policy_{i}.h"
                header.write_text(re.sub(r"(EXAMPLE_ACTIONS\[\] = \{\s+)", r"\g<1>1 + ", header.read_text()))
            zig(source, tmp_path / "program")
            assert subprocess.run(["qemu-arm", tmp_path / "program"], timeout=TIMEOUT).returncode == status


START = """
extern "C" [[noreturn]] void _start() {
    register int status asm("r0") = POLICY::self_test() ? 0 : 1;
    register int exit asm("r7") = 1;
    asm volatile("svc 0" : : "r"(status), "r"(exit));
    __builtin_unreachable();
}
"""


@pytest.mark.skipif(
    not (shutil.which("arm-linux-gnueabihf-g++") and shutil.which("qemu-arm")),
    reason="needs Debian's packages g++-arm-linux-gnueabihf and qemu-user",
)
def test_header_computes_what_its_twin_does_on_arm(tmp_path: Path) -> None:
    exported = export([kind.model() for kind in EVERYTHING], tmp_path)
    compiler = [str(shutil.which("arm-linux-gnueabihf-g++"))]
    program = compile_program("cpp_int8_test.cpp", tmp_path, *EMBEDDED, "-static", compiler=compiler)
    assert_the_twins_agree(["qemu-arm", program], exported)


# --- a policy that has learned something ---


@pytest.mark.slow
def test_a_trained_policy_earns_what_the_float_policy_earns(tmp_path: Path) -> None:
    model = TinySAC("MlpPolicy", "Pendulum-v1", learning_rate=1e-3, policy_kwargs={"net_arch": [64, 64]}, seed=0)
    model.learn(8000)
    errors = model.export_cpp_int8(tmp_path / "policy_0.h", "policy_0")
    assert errors.source == "the replay buffer"
    assert errors.held_out.mean < 0.005
    description = describe(model)
    policy = quantize(description, calibration.choose(model, description, None).observations)

    # The twin, which the other tests hold to the header.
    def act_in_integers(observation: np.ndarray) -> np.ndarray:
        return policy.action_values(evaluate(policy, policy.fixed_point(observation[None])))[0]

    def act_in_floats(observation: np.ndarray) -> np.ndarray:
        return model.predict(observation, deterministic=True)[0]

    env = gym.make("Pendulum-v1")
    returns = np.zeros((2, 20))
    for one, act_in in zip(returns, (act_in_floats, act_in_integers), strict=True):
        for episode in range(20):
            observation, _ = env.reset(seed=episode)
            ended = False
            while not ended:
                observation, reward, _, ended, _ = env.step(act_in(observation))
                one[episode] += reward
    in_floats, in_integers = returns.mean(axis=1)
    assert in_floats > -200
    assert in_integers == pytest.approx(in_floats, rel=0.03)
