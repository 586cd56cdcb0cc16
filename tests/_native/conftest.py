"""A kernel that compiles in a moment, in an overlay of its own."""

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INCLUDED = (
    "nn/torch_activation/torch_activation.h",
    "utils/simd/math.h",
    "utils/simd/vector.h",
    "devices/tuning.h",
)
"""What the header of a spec includes, in our ``rl_tools/``."""

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
    source = overlay / "interface" / "sb3" / "sac.cpp"
    source.parent.mkdir(parents=True)
    source.write_text(KERNEL)
    (overlay / "answer.h").write_text(ANSWER)
    for name in INCLUDED:
        (overlay / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "rl_tools" / name, overlay / name)
    monkeypatch.syspath_prepend(overlay.parent)
    return overlay
