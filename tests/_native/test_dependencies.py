import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_tinyrl._native.compiler import find_compiler
from sb3_tinyrl._native.dependencies import prerequisites

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
