"""Each name that is accepted compiles as a namespace, beside the headers that programs include."""

import os
import re
import subprocess

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import TIMEOUT

from sb3_tinyrl._native.jit.compiler import find_compiler
from sb3_tinyrl.reserved_names import reason_against

STANDARD = (
    *("assert", "ctype", "errno", "fenv", "float", "inttypes", "limits", "locale", "math", "setjmp", "stddef"),
    *("stdint", "stdio", "stdlib", "string", "time"),
)
HEADERS = "".join(f"#include <{name}.h>\n" for name in STANDARD)
# Of <signal.h> the two functions that are C's, and what Arduino, Windows and other processors bring.
HEADERS += """
extern "C" { void (*signal(int, void (*)(int)))(int); int raise(int); }
typedef unsigned char byte, boolean;
typedef unsigned int word;
typedef long long hyper;
void setup();
void loop();
#define mips 1
#define sparc 1
#define sun 1
#define vax 1
"""

pytestmark = pytest.mark.skipif(find_compiler().kind != "gcc", reason="other compilers say their errors in another way")


@pytest.fixture(scope="module")
def names_of_headers(tmp_path_factory):
    """All identifiers and macros that the compiler sees in them."""
    path = tmp_path_factory.mktemp("headers") / "headers.cpp"
    path.write_text(HEADERS)
    command = [*find_compiler().command, "-std=gnu++17", "-E", str(path)]
    outputs = [subprocess.run([*command, *more], capture_output=True, check=True, text=True) for more in ([], ["-dM"])]
    return sorted({word for output in outputs for word in re.findall(r"\b[A-Za-z]\w*\b", output.stdout, re.ASCII)})


def refused_by_the_compiler(names, folder):
    """Those of the names that do not compile as namespaces."""
    path = folder / "names.cpp"
    lines = (f'namespace {name} {{ inline constexpr int X = 1; }} static_assert({name}::X == 1, "");' for name in names)
    path.write_text(f"{HEADERS}#line 1\n" + "\n".join(lines) + "\n")
    command = [*find_compiler().command, "-std=gnu++17", "-fsyntax-only", "-fmax-errors=0", str(path)]
    environment = {**os.environ, "LC_ALL": "C"}
    compiled = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, env=environment)
    errors = {
        int(line) for line in re.findall(rf"^{re.escape(str(path))}:(\d+):\d+: error", compiled.stderr, re.MULTILINE)
    }
    assert bool(errors) == bool(compiled.returncode)
    return [names[line - 1] for line in sorted(errors)]


def test_what_is_accepted_of_the_headers_names_compiles(names_of_headers, tmp_path):
    accepted = [name for name in names_of_headers if reason_against(name) is None]
    assert len(accepted) > 100
    assert refused_by_the_compiler(accepted, tmp_path) == []


WORDS = ("linux", "unix", "NAN", "main", "assert", "and", "xor", "std", "policy", "exp", "sin", "abs", "INT8_MAX")
NAMES = st.one_of(
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}", fullmatch=True),
    st.sampled_from(WORDS).flatmap(
        lambda word: st.sampled_from(
            [word, f"_{word}", f"{word}_", f"{word}f", f"my_{word}", word.upper(), word.title()]
        )
    ),
)


@hypothesis.settings(max_examples=5, phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate])
@given(names=st.lists(NAMES, min_size=60, max_size=60, unique=True))
def test_what_is_accepted_compiles(names, tmp_path_factory):
    accepted = [name for name in names if reason_against(name) is None]
    assert refused_by_the_compiler(accepted, tmp_path_factory.mktemp("names")) == []


def test_the_compiler_refuses_what_it_is_asked_about(tmp_path):
    assert refused_by_the_compiler(["linux", "mine", "exp", "and"], tmp_path) != []
