"""What made the kernel touch memory that is not the model's, under the address sanitizer."""

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from isolated import IsolatedJudge
from judge import COMPILED, PYTHON, Example
from mutators import MUTATORS

from sb3_tinyrl._native.jit.compiler import find_compiler

CORRUPTING = [name for name, mutator in MUTATORS.items() if mutator.corrupts]


def sanitizer() -> str | None:
    """The library of GCC's address sanitizer; ``None`` without one."""
    command = [*find_compiler().command, "-print-file-name=libasan.so"]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return found if Path(found).is_absolute() else None


@pytest.fixture(scope="module")
def sanitized() -> Iterator[IsolatedJudge]:
    """A judge whose kernels check each address, in the heap of Python, too."""
    library = sanitizer()
    if library is None:
        pytest.skip("needs GCC with its address sanitizer")
    judge = IsolatedJudge(
        {
            "LD_PRELOAD": library,
            "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:allocator_may_return_null=1",
            "PYTHONMALLOC": "malloc",
            "CXX": f"{shlex.join(find_compiler().command)} -fsanitize=address -g",
        }
    )
    yield judge
    judge.close()


@pytest.mark.slow
def test_the_sanitizer_sees_a_kernel(sanitized: IsolatedJudge) -> None:
    assert sanitized(Example((), COMPILED, "native")) is None


@pytest.mark.slow
@pytest.mark.parametrize("loop", [PYTHON, COMPILED])
@pytest.mark.parametrize(
    ("name", "moment"), [(name, moment) for name in CORRUPTING for moment in MUTATORS[name].moments]
)
def test_no_address_but_the_models(sanitized: IsolatedJudge, name: str, moment: str, loop: str) -> None:
    case = Example(((moment, name),), loop, base=MUTATORS[name].base)
    wrong = sanitized(case)
    assert wrong is None, f"{case}: {wrong}"
