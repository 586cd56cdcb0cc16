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
    """GCC's address sanitizer and its C++ library, whose exceptions it has to know; ``None`` without them."""
    libraries = []
    for name in ("libasan.so", "libstdc++.so.6"):
        command = [*find_compiler().command, f"-print-file-name={name}"]
        libraries.append(subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip())
    return " ".join(libraries) if all(Path(library).is_absolute() for library in libraries) else None


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IsolatedJudge]:
    """A judge whose kernels check each address, in the heap of Python, too."""
    library = sanitizer()
    if library is None:
        pytest.skip("needs GCC with its address sanitizer")
    judge = IsolatedJudge(
        {
            "LD_PRELOAD": library,
            "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:allocator_may_return_null=1",
            "PYTHONMALLOC": "malloc",
            # Kernels that only load where the sanitizer is must not serve other processes.
            "SB3_TINYRL_CACHE_DIR": str(tmp_path_factory.mktemp("sanitized")),
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
@pytest.mark.parametrize(("name", "moment"), [(name, MUTATORS[name].moments[-1]) for name in CORRUPTING])
def test_no_address_but_the_models(sanitized: IsolatedJudge, name: str, moment: str, loop: str) -> None:
    case = Example(((moment, name),), loop, base=MUTATORS[name].base)
    wrong = sanitized(case)
    assert wrong is None, f"{case}: {wrong}"
