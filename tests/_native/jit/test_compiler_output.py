"""Which line of a compiler's output comes first (the environments' tests ask a real compiler), and what it has read."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_tinyrl._native.jit.compiler import find_compiler
from sb3_tinyrl._native.jit.compiler_output import first_error, prerequisites

MINE = Path("/home/me/my env")
OUR_CHECK = "/lib/rl_tools/rl/environment_wrappers/complete/complete.h:1:1: error:"


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("", "no error message"),
        ("Killed\n", "Killed"),
        ("a.h:1:2: warning: odd\na.h:3:4: error: bad\na.h:5:6: error: worse\n", "a.h:3:4: error: bad"),
        ("In function `f':\na.o: undefined reference to `g'\n", "a.o: undefined reference to `g'"),
        # what the user wrote comes first
        ("/lib/a.h:1:1: error: noise\n/home/me/my env/environment.h:9:1: error: bad\n",
         "/home/me/my env/environment.h:9:1: error: bad"),
        # as does the line of the user's that leads to an error elsewhere
        ("/lib/a.h: In instantiation of 'f':\n/home/me/my env/environment.h:9:1:   required from 'g'\n"
         "/lib/b.cpp:2:1:   required from here\n/lib/a.h:1:1: error: bad\n",
         "/home/me/my env/environment.h:9: leads to /lib/a.h:1:1: error: bad"),
        ("In file included from /home/me/my env/environment.h:3,\n                 from /lib/x.cpp:1:\n"
         "/lib/a.h:1:1: error: bad\n",
         "/home/me/my env/environment.h:3: leads to /lib/a.h:1:1: error: bad"),
        # our own checks: GCC, Clang, and Clang before version 16
        (f"/lib/a.h:1:1: error: noise\n{OUR_CHECK} static assertion failed: add a State\n",
         "/home/me/my env/environment.h: add a State"),
        (f"{OUR_CHECK} static assertion failed due to requirement 'X<Y>::Z': add a State; now\n",
         "/home/me/my env/environment.h: add a State; now"),
        (f'{OUR_CHECK} static_assert failed due to requirement \'X<Y>::Z\' "add a State"\n',
         "/home/me/my env/environment.h: add a State"),
        (f"{OUR_CHECK} static assertion failed: one\n{OUR_CHECK} static assertion failed: two\n"
         f"{OUR_CHECK} static assertion failed: one\n",
         "/home/me/my env/environment.h: one; two"),
        # checks of others are errors like any
        ("/usr/include/random:1:1: error: static assertion failed: not a number\n",
         "/usr/include/random:1:1: error: static assertion failed: not a number"),
    ],
)  # fmt: skip
def test_the_most_telling_line_comes_first(output: str, expected: str) -> None:
    assert first_error(output, MINE) == expected


def test_a_kernel_has_no_folder_of_the_users() -> None:
    assert first_error("/lib/a.h:1:1: error: bad\n", None) == "/lib/a.h:1:1: error: bad"


def test_a_wall_of_templates_is_cut() -> None:
    assert len(first_error("a.h:1:1: error: " + "x<" * 5000, MINE)) == 500


# A file's name that may stand in an #include.
NAMES = st.text(st.sampled_from("aZ0.-_ #$'~&()"), min_size=1, max_size=12).filter(
    lambda name: name.strip(" .") == name
)


@settings(max_examples=15)
@given(names=st.lists(NAMES, min_size=1, max_size=5, unique_by=str.lower))
def test_names_that_a_compiler_wrote(names: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("my sources")
    headers = [folder / f"{name}.h" for name in names]
    for header in headers:
        header.touch()
    (folder / "main.cpp").write_text("".join(f'#include "{header.name}"\n' for header in headers))
    command = [*find_compiler().command, "-fsyntax-only", "-MMD", "-MF", "rule", "-MT", "out", "main.cpp"]
    subprocess.run(command, cwd=folder, check=True, timeout=60)
    rule = (folder / "rule").read_text()
    assert [Path(name).name for name in prerequisites(rule)] == ["main.cpp", *(header.name for header in headers)]
