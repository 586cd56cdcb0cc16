"""What is published beside the code: the source distribution, and the files that hosts and tools look for."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from models import TIMEOUT
from stable_baselines3.common.save_util import load_from_zip_file

yaml = pytest.importorskip("yaml")
tomllib = pytest.importorskip("tomllib")  # Python 3.11
ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
PAGES = sorted(ROOT.glob("*.md"))


def tracked_files() -> list[str]:
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    git = subprocess.run(command, capture_output=True, text=True)
    if git.returncode != 0:
        pytest.skip("this is no checkout of the repository")
    return [name for name in git.stdout.split("\0") if (ROOT / name).is_file()]


@pytest.fixture
def copy(tmp_path):
    """The repository without what only lies about in this checkout, so that nothing of that helps or harms."""
    for name in tracked_files():
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / name).write_bytes((ROOT / name).read_bytes())
    return tmp_path / "copy"


def build(kind: str, copy: Path) -> Path:
    """Make the source distribution, ``"sdist"``, or the ``"wheel"``."""
    program = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(copy.parent)!r}))"
    built = subprocess.run(
        [sys.executable, "-c", program], cwd=copy, check=True, timeout=TIMEOUT, capture_output=True, text=True
    )
    return copy.parent / built.stdout.splitlines()[-1]


def test_the_source_distribution_is_the_repository(copy):
    files = tracked_files()
    # As left behind by `sphinx-build` and by running the tests: not for others.
    for name in ("docs/_build/index.html", "tests/__pycache__/test_x.cpython-311.pyc"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).touch()
    with tarfile.open(build("sdist", copy)) as sdist:
        packed = {member.name.partition("/")[2] for member in sdist if member.isfile()}
    added = {name for name in packed if name.startswith("sb3_tinyrl.egg-info/")} | {"PKG-INFO", "setup.cfg"}
    assert packed - added == set(files)


@pytest.fixture
def installed(copy, tmp_path, monkeypatch):
    """A folder with nothing but the wheel, from where this Python imports it; the current folder is another one."""
    folder = tmp_path / "installed"
    install = ["-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", folder, build("wheel", copy)]
    subprocess.run([sys.executable, *install], check=True, timeout=TIMEOUT)
    shutil.rmtree(copy)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("SB3_TINYRL_CACHE_DIR", str(tmp_path / "cache"))
    return folder


def run(*command: object) -> str:
    finished = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=TIMEOUT)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout + finished.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the commands lie elsewhere")
def test_the_wheel_is_all_that_its_commands_need(installed, monkeypatch):
    program = "from sb3_tinyrl._native.jit.headers import find_headers; print(find_headers().overlay)"
    assert run(sys.executable, "-c", program) == f"{installed / 'rl_tools'}\n", "this tests what was installed"
    command = installed / "bin" / "sb3-tinyrl"
    run(command, "new-env", "crane")
    run(command, "check-env", "crane", "--steps", 100)
    with monkeypatch.context() as patch:
        patch.chdir("crane")
        assert "2 in NativeVecEnv" in run(
            command, "env-speed", "--env", "train:my/Crane-v0", "--num-envs", 2, "--seconds", 0.01
        )

    pytest.importorskip("rl_zoo3")
    assert "TinySAC trains in a kernel" in run(command, "train", "--env", "Pendulum-v1", "-n", 2000)
    saved, _, _ = load_from_zip_file("logs/sac/Pendulum-v1_1/Pendulum-v1.zip")
    assert saved["_n_updates"] == 1900


def test_the_citation_is_of_this_version():
    assert CITATION["version"] == PROJECT["version"]
    assert CITATION["license"] == PROJECT["license"]
    assert CITATION["abstract"].rstrip(".") == PROJECT["description"]
    assert CITATION["keywords"] == PROJECT["keywords"]
    assert [author["name"] for author in CITATION["authors"]] == [author["name"] for author in PROJECT["authors"]]


def test_hooks_run_what_the_extra_for_tests_brings():
    """Then their versions are those of constraints.txt, as in CI."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    ours = {hook["entry"].split()[0] for hook in hooks if hook["language"] == "system"}
    assert ours == {"ruff", "mypy", "clang-format"}
    brought = {re.match(r"[\w-]+", requirement)[0] for requirement in PROJECT["optional-dependencies"]["test"]}
    pinned = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert ours <= brought & pinned


def test_plots_of_the_zoo_have_what_they_import():
    pytest.importorskip("rl_zoo3")
    program = "import rl_zoo3.plots.plot_from_file, sys; print(*sys.modules)"
    environment = os.environ | {"MPLBACKEND": "Agg"}
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=TIMEOUT, env=environment
    )
    assert process.returncode == 0, process.stderr
    assert "seaborn" in process.stdout.split()
    brought = [requirement.partition(">")[0] for requirement in PROJECT["optional-dependencies"]["zoo"]]
    assert "seaborn" in brought


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_forms_for_issues_are_forms(path: Path):
    """What GitHub asks of a form; it shows none that breaks one of these rules."""
    form = yaml.safe_load(path.read_text())
    assert {"name", "description", "body"} <= form.keys() <= {"name", "description", "body", "labels", "title"}
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert fields
    for field in form["body"]:
        assert field["type"] in {"markdown", "textarea", "input", "dropdown", "checkboxes"}
        assert field.keys() <= {"type", "id", "attributes", "validations"}
    for field in fields:
        assert re.fullmatch(r"[\w-]+", field["id"])
        assert field["attributes"]["label"]
    assert len({field["id"] for field in fields}) == len(fields)
    assert len({field["attributes"]["label"] for field in fields}) == len(fields)


def anchors(page: Path) -> set[str]:
    """The places in a page that a link can name, as GitHub makes them from headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ +(.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> list[str]:
    """Links and pictures of a page that lead to no file or to no heading; those to other hosts are not followed."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_outside_of_the_documentation_have_no_broken_link(page: Path):
    """Sphinx looks at those within docs/."""
    assert broken_links(page) == []


def test_a_broken_link_is_found(tmp_path):
    (tmp_path / "other.md").write_text("# A heading: `with` signs\n\n```sh\n# no heading\n```\n")
    page = tmp_path / "page.md"
    page.write_text(
        "# Here\n[a](other.md) [b](other.md#a-heading-with-signs) ![c](https://example.org/c.png) [d](#here)\n"
        "[e](missing.md) [f](other.md#no-heading) ![g](missing.png) [h](#there)\n"
    )
    assert broken_links(page) == ["missing.md", "other.md#no-heading", "missing.png", "#there"]
