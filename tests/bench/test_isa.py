"""``--isa``: what is compiled, and what can't be."""

import os
import platform
import subprocess
from pathlib import Path

import pytest

from sb3_tinyrl._native.jit.compiler import find_compiler
from sb3_tinyrl.bench.fma_peak import FmaPeak
from sb3_tinyrl.bench.isa import ISAS, IsaError, choose_isa
from sb3_tinyrl.bench.machine import instruction_sets

pytestmark = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="x86-64 has these")


@pytest.fixture(autouse=True)
def compiler_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "g++")  # restored after the test, whatever it is by then


@pytest.mark.parametrize("isa", ISAS)
def test_the_fma_peak_is_of_that_instruction_set(isa: str, tmp_path: Path) -> None:
    name = ISAS[isa][1]
    if name not in instruction_sets():
        with pytest.raises(IsaError, match=f"expected one with {name}"):
            choose_isa(isa)
        return
    choose_isa(isa)
    assert find_compiler().instruction_set() == name
    assert FmaPeak(tmp_path, 1)() > 1e8
    code = subprocess.run(
        ["objdump", "-d", tmp_path / "fma_peak.so"], capture_output=True, text=True, check=True
    ).stdout
    registers = ("%zmm", "%ymm", "%xmm")
    widest = next(register for register in registers if register in code)
    assert widest == {"sse2": "%xmm", "avx2": "%ymm", "avx512": "%zmm"}[isa]


def test_a_processor_that_cxx_chooses_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "g++ -march=x86-64")
    with pytest.raises(IsaError, match="already chooses a processor"):
        choose_isa("avx2")
    assert os.environ["CXX"] == "g++ -march=x86-64"


def test_the_widest_comes_first() -> None:
    order = ["AVX-512", "AVX2", "AVX", "SSE2"]
    assert instruction_sets() == order[-len(instruction_sets()) :]
