"""What the pages say of files and names beside them, and that references which lead nowhere are found.

``.ci/run`` builds the pages with warnings as errors.
"""

import json
import re
import runpy
import subprocess
import sys
from importlib import import_module
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import pytest
from models import TIMEOUT

ROOT = Path(__file__).parents[1]
DOCS, EXAMPLES = ROOT / "docs", ROOT / "examples"
sys.path.insert(0, str(DOCS))

from colab import badge, repository  # noqa: E402
from gallery import PICTURES, commands  # noqa: E402

GALLERY = (DOCS / "examples.md").read_text(encoding="utf-8")
PROJECT_URLS = metadata("sb3-tinyrl").get_all("Project-URL", [])
CODE = re.compile(r"```sh\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def conf() -> dict[str, Any]:
    """The settings of Sphinx, by their names."""
    pytest.importorskip("sphinx")
    return runpy.run_path(str(DOCS / "conf.py"))


def test_each_example_is_in_the_gallery_with_its_command():
    sections = dict(re.findall(r"^### (\S+)\n(.*?)(?=^##|\Z)", GALLERY, re.MULTILINE | re.DOTALL))
    names = {path.name + "/" * path.is_dir() for path in EXAMPLES.iterdir() if not path.name.startswith((".", "__"))}
    assert sections.keys() == names
    for name, section in sections.items():
        [command] = CODE.findall(section)
        assert f"examples/{name.rstrip('/')}" in command


@pytest.mark.parametrize("command", CODE.findall(GALLERY))
def test_commands_of_the_gallery_name_files_that_there_are(command: str):
    for path in re.findall(r"examples/[\w/.]+", command):
        assert (ROOT / path).exists()


def test_each_picture_of_the_gallery_has_a_command_and_is_small():
    pictures = {path.stem: path for path in PICTURES.iterdir()}
    assert commands(GALLERY).keys() == pictures.keys()
    assert len(re.findall(r"_static/gallery/", GALLERY)) == len(pictures)
    assert [name for name, path in pictures.items() if path.stat().st_size > 50_000] == []


def test_the_front_page_has_the_ratio_of_the_documented_run(conf: dict[str, Any]):
    page = (DOCS / "index.md").read_text(encoding="utf-8")
    assert "[{{ speedup }}]" in page
    assert "(_static/benchmark.png)" in page
    assert re.findall(r"\d\s?x\b", page) == [], "a ratio that was written by hand"
    tables = (DOCS / "_static" / "benchmark.md").read_text(encoding="utf-8")
    header, row = (re.search(rf"^\| *{label} *\|.*", tables, re.MULTILINE)[0] for label in ("", "steps/s, end to end"))
    column = header.split(" | ").index("SB3 (PyTorch)")
    assert f"({conf['myst_substitutions']['speedup']})" in row.split(" | ")[column]
    assert f"**{conf['myst_substitutions']['settings']}**" in tables


def test_each_public_name_has_a_page(conf: dict[str, Any]):
    pages = re.findall(r"^   ~([\w.]+)$", (DOCS / "api.md").read_text(encoding="utf-8"), re.MULTILINE)
    listed = {name: getattr(import_module(name.rpartition(".")[0]), name.rpartition(".")[2]) for name in pages}
    assert len(pages) == len(listed)
    public = {
        getattr(package, name)
        for package in map(import_module, ("sb3_tinyrl", "sb3_tinyrl.export", "sb3_tinyrl.tinyrl"))
        for name in package.__all__
    }
    assert public <= {*listed.values()}
    classes = {name for name, value in listed.items() if isinstance(value, type) and not issubclass(value, Exception)}
    assert classes == {*conf["CLASSES"]}


def test_a_class_has_the_members_that_are_ours(conf: dict[str, Any]):
    members = conf["autosummary_context"]["public_members"]["sb3_tinyrl.TinySAC"]
    assert {"learn", "load", "predict", "kernel_status"} <= {*members}
    assert not {"get_parameters", "set_env", "_setup_model"} & {*members}


def test_the_badge_has_the_address_of_the_repository():
    assert badge([]) == ""
    urls = ["Documentation, https://example.org", "Repository, https://github.com/owner/name/"]
    assert repository(urls) == "https://github.com/owner/name/"
    assert badge(urls).endswith("/github/owner/name/blob/main/examples/quickstart.ipynb)")
    with pytest.raises(ValueError, match=r"'https://example\.org/name', expected .*github\.com"):
        badge(["Repository, https://example.org/name"])
    assert "{{ colab }}" in GALLERY


def test_the_notebook_installs_from_the_address_of_the_repository():
    """In Colab nothing is installed; without an address there is nothing to install from, and no badge."""
    cells = json.loads((EXAMPLES / "quickstart.ipynb").read_text(encoding="utf-8"))["cells"]
    [first, *_] = ("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    installs = re.findall(r"^%pip install .*git\+(\S+?)\"?$", first, re.MULTILINE)
    address = repository(PROJECT_URLS)
    assert installs == ([] if address is None else [address])


@pytest.mark.slow
def test_a_reference_that_leads_nowhere_is_found(tmp_path: Path):
    for package in ("furo", "myst_parser", "sphinx_design"):
        pytest.importorskip(package)
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "index.md").write_text(
        "# A heading\n\n[a](#a-heading) {class}`stable_baselines3.SAC`\n\n"
        "[b](#no-heading) [c](missing.md) {class}`sb3_tinyrl.TinyPPO` {doc}`nowhere`\n"
    )
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-c",
        DOCS,
        tmp_path / "pages",
        tmp_path / "out",
    ]
    process = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=TIMEOUT)
    warnings = re.findall(r"WARNING: (.*)", process.stderr)
    assert process.returncode == 1
    assert len(warnings) == 4, process.stderr
    for missing in ("no-heading", "missing.md", "sb3_tinyrl.TinyPPO", "nowhere"):
        assert len([warning for warning in warnings if missing in warning]) == 1
