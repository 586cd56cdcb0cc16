"""What the author of an environment reads when something is wrong with it."""

import os
import sys
from pathlib import Path

import pytest
from fast_loop import slow_after

from sb3_tinyrl._native.abi.env_batch import Environments
from sb3_tinyrl._native.errors import KernelBuildError, NativeEnvironmentError
from sb3_tinyrl._native.jit.compiler import find_compiler


def first_line(folder: Path) -> str:
    with pytest.raises(KernelBuildError) as error:
        Environments(folder)
    line = str(error.value).splitlines()[0]
    prefix = f"the C++ compiler failed: {folder / 'environment.h'}:"
    assert line.startswith(prefix)
    return line.removeprefix(prefix).strip()


@pytest.mark.parametrize(
    ("function", "call"),
    slow_after(
        1,
        [
            ("sample_initial_state", "sample_initial_state(device, environment, parameters, state, rng)"),
            ("step", "step(device, environment, parameters, const state, const action, next_state, rng)"),
            ("reward", "reward(device, environment, parameters, const state, const action, const next_state, rng)"),
            ("observe", "observe(device, environment, parameters, const state, observation_type, observation, rng)"),
            ("terminated", "terminated(device, environment, parameters, const state, rng)"),
        ],
    ),
)
def test_a_missing_function_is_named(changed_example, function, call):
    message = first_line(changed_example((f" {function}(", f" another_{function}(")))
    assert message.startswith(f"the environment lacks a function that can be called as {call}")
    assert message.count("lacks") == 1


@pytest.mark.parametrize(
    ("replacements", "message"),
    slow_after(
        2,
        [
            ([("bool terminated", "void terminated"), ("return false;", "")], "terminated(device, environment, param"),
            ([("struct State", "struct Estado")], "declares no State; add a struct State"),
            ([("TI ACTION_DIM = 1", "TI N = 1"), ("[ACTION_DIM]", "[1]")], "declares no action; add: static constexpr"),
            ([("T angle;", "std::string name; T angle;")], "State is no plain struct; keep numbers and arrays"),
            ([("{-MAX_TORQUE}", "{MAX_TORQUE}")], "each ACTION_LOW must be below its ACTION_HIGH, and both finite"),
            ([("ACTION_LOW[ACTION_DIM]", "ACTION_LOW[2]")], "ACTION_LOW and ACTION_HIGH must be arrays of ACTION_DIM"),
            (
                [("T ACTION_HIGH[", "T HIGHEST_ACTION[")],
                "declares one of ACTION_LOW and ACTION_HIGH; declare the other",
            ),
            ([("T OBSERVATION_LOW[", "T LOWEST[")], "declares one of OBSERVATION_LOW and OBSERVATION_HIGH; declare"),
            (
                [("{-1, -1, -MAX_VELOCITY}", "{-1, 2, -MAX_VELOCITY}")],
                "no OBSERVATION_LOW may be above its OBSERVATION_",
            ),
            ([("STEP_LIMIT = 200", "STEP_LIMIT = -1")], "EPISODE_STEP_LIMIT must be a whole number of steps, or 0"),
            (
                [("TI EPISODE_STEP_LIMIT = 200", "T EPISODE_STEP_LIMIT = 2.5")],
                "EPISODE_STEP_LIMIT must be a whole number",
            ),
            (
                [("T angle;", "T map[500][600]; T angle;")],
                "State or its action is larger than 1 MiB, too large for the",
            ),
            (
                [("bool terminated", "T terminated")],
                "terminated(device, environment, parameters, const state, rng) and",
            ),
            (
                [("State& next_state, RNG&", "State next_state, RNG&")],
                "what step writes to `next_state` is lost; take it",
            ),
            (
                [("State& state, RNG& rng", "State state, RNG& rng")],
                "what sample_initial_state writes to `state` is lost",
            ),
            (
                [("State& state) {", "State state) {")],
                "what initial_state writes to `state` is lost; take it as State&",
            ),
        ],
    ),
)
def test_a_wrong_declaration_is_explained(changed_example, replacements, message):
    assert message in first_line(changed_example(*replacements))


def test_an_error_comes_with_file_and_line_first(changed_example):
    folder = changed_example(("state.velocity + acceleration", "state.velocty + acceleration"))
    lines = (folder / "environment.h").read_text().splitlines()
    number = next(i for i, line in enumerate(lines, 1) if "velocty" in line)
    message = first_line(folder)
    assert message.startswith(f"{number}:")
    assert "velocty" in message


def test_an_error_in_rltools_is_told_with_the_line_that_leads_there(changed_example):
    folder = changed_example(("T(-1), T(1), rng", "-1, 1, rng"))  # numbers of a type that can't be drawn
    number = next(
        i for i, line in enumerate((folder / "environment.h").read_text().splitlines(), 1) if "-1, 1, rng" in line
    )
    assert first_line(folder).startswith(f"{number}: leads to ")


def test_a_missing_factory_is_explained(changed_example):
    folder = changed_example(("using ENVIRONMENT_FACTORY", "using FACTORY"))
    with pytest.raises(KernelBuildError, match="ENVIRONMENT_FACTORY") as error:
        Environments(folder)
    assert "using ENVIRONMENT_FACTORY = ...;" in str(error.value)
    assert 'kernel="torch"' not in str(error.value)


@pytest.mark.parametrize(
    ("declared", "last", "flaw"),
    [
        (4, "2", "leaves elements of the observation unset"),
        (2, "2 + TI(state.velocity / 100)", "writes beyond the observation"),  # which no compiler can know
        (2, "30'000'000 + TI(state.velocity / 100)", "writes beyond the observation"),
    ],
)
def test_an_observation_of_another_size_is_found_without_harm(changed_example, declared, last, flaw):
    folder = changed_example(
        ("set(observation, 0, 2, ", f"set(observation, 0, {last}, "),
        ("OBSERVATION_DIM = 3", f"OBSERVATION_DIM = {declared}"),
        ("OBSERVATION_LOW[OBSERVATION_DIM]", "LOW[3]"),
        ("OBSERVATION_HIGH[OBSERVATION_DIM]", "HIGH[3]"),
    )
    with pytest.raises(ValueError, match=rf"{flaw}.*It declares {declared}; make OBSERVATION_DIM"):
        Environments(folder)


def test_an_action_of_another_size_is_found_without_harm(changed_example):
    """In the first step, which is taken when an environment is made."""
    torque = "get(action, 0, {});\n        const T gravity"
    folder = changed_example((torque.format(0), torque.format("2 + TI(state.velocity / 100)")))
    with pytest.raises(
        NativeEnvironmentError, match=r"^step\(\) in .*: the index \(0, 2\) is beyond .*, which has 1 in row 0"
    ):
        Environments(folder)


def test_an_observation_may_be_larger_than_the_stack(changed_example):
    folder = changed_example(
        ("OBSERVATION_DIM = 3", "OBSERVATION_DIM = 3'000'000"),
        ("OBSERVATION_LOW[OBSERVATION_DIM]", "LOW[3]"),
        ("OBSERVATION_HIGH[OBSERVATION_DIM]", "HIGH[3]"),
        ("set(observation, 0, 2, ", "for (TI i = 2; i < 3'000'000; i++) set(observation, 0, i, "),
    )
    environments = Environments(folder)
    environments.reset()
    assert environments.observations[0, 2] == environments.observations[0, -1]


@pytest.mark.skipif(find_compiler().kind != "gcc", reason="Clang does not say where the call stands")
@pytest.mark.parametrize(
    ("old", "new"),
    slow_after(
        1,
        [
            ("get(action, 0, 0);\n        const T gravity", "get(action, 0, 1);\n        const T gravity"),
            ("set(observation, 0, 2, ", "set(observation, 0, 3, "),
            ("get(action, 0, 0);\n        const T gravity", "rl_tools::get(action, 0, 1);\n        const T gravity"),
            ("set(observation, 0, 2, ", "set(observation, 1, 0, "),
            ("set(observation, 0, 2, ", "for (TI i = 0; i < 5; i++) set(observation, 0, i, "),
        ],
    ),
)
def test_a_constant_index_beyond_the_elements_does_not_compile(changed_example, old, new):
    folder = changed_example((old, new))
    number = next(
        i for i, line in enumerate((folder / "environment.h").read_text().splitlines(), 1) if new.split(";")[0] in line
    )
    message = first_line(folder)
    assert message.startswith(f"{number}: leads to ")
    assert "an index of an action or observation is beyond its elements (ACTION_DIM, OBSERVATION_DIM)" in message


def test_an_edit_is_noticed(changed_example):
    lows = []
    for low in ("-MAX_VELOCITY", "-9"):
        folder = changed_example(
            ("OBSERVATION_LOW[OBSERVATION_DIM] = {-1, -1, -MAX_VELOCITY}", f"OBSERVATION_LOW[3] = {{-1, -1, {low}}}")
        )
        lows.append(Environments(folder).observation_low.tolist())
    assert lows == [[-1, -1, -8], [-1, -1, -9]]


def test_a_header_elsewhere_is_refused_as_its_edits_would_go_unnoticed(changed_example, tmp_path: Path):
    include = '#pragma once\n#include "{}"'
    (tmp_path / "my $other #1.h").touch()
    folder = changed_example(("#pragma once", include.format("../my $other #1.h")))
    with pytest.raises(KernelBuildError, match=r"includes .*my \$other #1\.h, expected C\+\+ headers in that folder"):
        Environments(folder)
    (folder / "my parts").mkdir()
    (folder / "my parts" / "$a #2.h").touch()
    changed_example(("#pragma once", include.format("my parts/$a #2.h")))
    assert Environments(folder).observation_dim == 3


def test_file_names_hide_no_system_headers(changed_example):
    folder = changed_example()
    (folder / "math.h").write_text("#error hidden\n")
    assert Environments(folder).action_dim == 1


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pipes among files there")
def test_what_is_no_file_is_no_source(changed_example):
    folder = changed_example()
    os.mkfifo(folder / "pipe.h")
    (folder / "lock.h").symlink_to("nothing")
    assert Environments(folder).action_dim == 1
    (folder / "environment.h").unlink()
    os.mkfifo(folder / "environment.h")
    with pytest.raises(FileNotFoundError, match=r"environment\.h is no file, expected a C\+\+ header"):
        Environments(folder)
