"""A kernel that compiles in a moment, in an overlay of its own."""

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KERNEL = """\
#include "kernel_spec.h"
#include <rl_tools/answer.h>

#if !__has_include(<rl_tools/rl_tools.h>)
#error "RLtools' own headers are out of reach"
#endif

extern "C" __attribute__((visibility("default"))) int answer() {
    return 1000 * ANSWER + static_cast<int>(rl_tools::kernel_spec::OBSERVATION_DIM);
}
"""
ANSWER = "#define ANSWER 42\n"


@pytest.fixture
def overlay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for `rl_tools/`: the first folder of that name on sys.path with a kernel in it is used."""
    overlay = tmp_path / "my code" / "rl_tools"
    shutil.copytree(ROOT / "rl_tools", overlay)  # for what the header of a spec includes
    (overlay / "interface" / "sb3" / "sac.cpp").write_text(KERNEL)
    (overlay / "answer.h").write_text(ANSWER)
    monkeypatch.syspath_prepend(overlay.parent)
    return overlay
