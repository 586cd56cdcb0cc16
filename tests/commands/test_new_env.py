"""``sb3-tinyrl new-env`` from its arguments to its files. tests/test_first_minute.py runs them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from sb3_tinyrl._native.abi.env_batch import Environments

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_command: Command) -> Command:
    """Runs it in an empty folder; returns status, output and errors."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return partial(run_command, "new-env")


def contents(folder: Path) -> dict[str, str]:
    """Names and texts of all files, hidden ones included."""
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_files_are_named_and_have_the_name(command: Command) -> None:
    status, output, error = command("double_crane")
    assert (status, error) == (0, "")
    names = ["environment.h", "train.py", "test_double_crane.py", "README.md"]
    assert output.splitlines() == [
        *(f"wrote double_crane/{name}" for name in names),
        "",
        "It runs as it is:",
        "  sb3-tinyrl check-env double_crane",
        "  python double_crane/train.py",
    ]
    written = contents(Path())
    assert {*written} == {f"double_crane/{name}" for name in names}
    assert all("$" not in text for text in written.values()), "all placeholders are replaced"
    assert "ENVIRONMENT_FACTORY = my::double_crane::Environment<T, TI>;" in written["double_crane/environment.h"]
    for name in names[1:]:
        assert "my/DoubleCrane-v0" in written[f"double_crane/{name}"]


def test_the_folder_may_have_another_name_and_lie_deeper(command: Command) -> None:
    status, output, _ = command("crane", "my envs/it is a crane")
    assert status == 0
    assert {*contents(Path())} == {
        f"my envs/it is a crane/{name}" for name in ("environment.h", "train.py", "test_crane.py", "README.md")
    }
    assert output.endswith(
        "\n  sb3-tinyrl check-env 'my envs/it is a crane'\n  python 'my envs/it is a crane/train.py'\n"
    )


@pytest.mark.parametrize("folder", ["crane", "taken"])
def test_what_is_there_stays(folder: str, command: Command) -> None:
    Path("crane").mkdir()
    Path("taken").write_text("a file")
    status, output, error = command("crane", folder)
    assert (status, output) == (1, "")
    assert error == f"error: {Path(folder).absolute()} exists already; choose another folder, or remove it first\n"
    assert contents(Path()) == {"taken": "a file"}


@pytest.mark.parametrize("folder", ["taken/crane", "taken/deeper/crane"])
def test_a_file_is_no_place_for_a_folder(folder: str, command: Command) -> None:
    Path("taken").write_text("a file")
    status, output, error = command("crane", folder)
    assert (status, output) == (1, "")
    assert error.startswith("error: can't write ")
    assert " is no folder\n" in error
    assert contents(Path()) == {"taken": "a file"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("double", "it is a word of C++"),
        ("my crane", "C++ knows no such name"),
        ("my-crane", "C++ knows no such name"),
        ("../crane", "C++ knows no such name"),
        ("_crane", "C++ knows no such name"),
        ("my__crane", "C++ knows no such name"),
        ("2d_crane", "C++ knows no such name"),
        ("", "C++ knows no such name"),
        ("kran\N{LATIN SMALL LETTER A WITH DIAERESIS}", "C++ knows no such name"),
        ("linux", "the headers of C, Arduino or Windows, or compilers, have a linux already"),
        ("NAN", "names in capitals"),
        ("rl_tools", "it is that of RLtools"),
    ],
)
def test_names_that_do_not_compile_are_refused(name: str, reason: str, command: Command) -> None:
    status, output, error = command(name)
    assert (status, output) == (2, "")
    assert f"error: argument NAME: {name!r} can't be the name of a C++ namespace: {reason}" in error
    assert "such as double_crane" in error
    assert contents(Path()) == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["my", "environment", "Environment", "episode", "math", "devices", "step", "rl", "device"]
)
def test_names_of_other_things_in_the_sources_compile(name: str, command: Command) -> None:
    assert command(name)[0] == 0
    environments = Environments(name)
    assert (environments.observation_dim, environments.action_dim) == (2, 1)
