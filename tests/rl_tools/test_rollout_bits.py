"""An environment computes the same bits wherever it is compiled: in its own library or in a training loop."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from fast_loop import slow_but

from sb3_tinyrl._native.abi.env_batch import Autoreset, Environments
from sb3_tinyrl._native.jit.compiler import compile_flags, find_compiler
from sb3_tinyrl._native.jit.headers import find_headers

SOURCE = Path(__file__).with_name("rollout.cpp")
ZOO = Path(__file__).parents[2] / "rl_tools" / "rl" / "zoo"
STEP_LIMIT, SEED = 100, 3  # as in rollout.cpp


@pytest.mark.parametrize("name", slow_but(["pendulum"], ["pendulum", "car_track", "l2f"]))
def test_the_same_bits_in_another_program(name, tmp_path):
    compiler, headers = find_compiler(), find_headers()
    if name == "l2f" and compiler.kind != "gcc":
        pytest.skip("Clang fuses other multiplications and additions of a step that it inlines elsewhere")
    command = [
        *compiler.command,
        *(flag for flag in compile_flags() if flag not in ("-shared", "-fPIC")),
        *compiler.processor_flags(),
        *("-iquote", str(ZOO / name), f"-I{headers.include_root}", "-isystem", str(headers.rltools)),
        *(str(SOURCE), "-o", str(tmp_path / "rollout")),
    ]
    subprocess.run(command, check=True, timeout=300)
    output = subprocess.run([tmp_path / "rollout"], capture_output=True, text=True, check=True).stdout

    environment = Environments(ZOO / name)
    environment.seed(0, SEED)
    environment.reset()
    n_ended = 0
    for step, line in enumerate(output.splitlines()):
        action = [0.25 * ((7 * step + 3 * i) % 9 - 4) for i in range(environment.action_dim)]
        environment.step([action], STEP_LIMIT, Autoreset.SAME_STEP)
        ended = bool(environment.terminated[0] or environment.truncated[0])
        n_ended += ended
        seen = environment.final_observations if ended else environment.observations
        expected = [float.fromhex(number) for number in line.split()]
        np.testing.assert_array_equal([environment.rewards[0], *seen[0]], expected)
    assert n_ended
