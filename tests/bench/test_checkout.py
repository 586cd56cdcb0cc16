"""Another revision's files: provided, taken away, and not found."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sb3_tinyrl.bench import checkout
from sb3_tinyrl.bench.checkout import RevisionError, find_revision

Git = Callable[..., str]


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """A repository with a package in it from the second commit on, that stands in for the one of TinySAC."""
    root = (tmp_path / "repository").resolve()

    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
        command = ["git", "-C", str(root), *identity, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    package = root / "sb3_tinyrl"
    package.mkdir(parents=True)
    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "--message", "nothing")
    for content in ("old = True\n", "old = False\n"):
        (package / "__init__.py").write_text(content)
        git("add", ".")
        git("commit", "--quiet", "--message", content)
    monkeypatch.setattr(checkout, "_PACKAGE", package)
    return git


def test_files_are_those_of_the_revision_and_the_repository_stays_as_it_is(git: Git, tmp_path: Path) -> None:
    (checkout._PACKAGE / "staged.py").write_text("")
    git("add", ".")
    before = git("status", "--porcelain"), git("worktree", "list"), git("rev-parse", "HEAD")
    revision = find_revision("HEAD~1")
    assert (revision.name, revision.label) == ("HEAD~1", "TinySAC HEAD~1")
    assert git("rev-parse", "HEAD~1").startswith(revision.commit)
    revision.write_files(tmp_path / "checkout")
    assert (tmp_path / "checkout" / "sb3_tinyrl" / "__init__.py").read_text() == "old = True\n"
    assert not (tmp_path / "checkout" / "sb3_tinyrl" / "staged.py").exists()
    assert (git("status", "--porcelain"), git("worktree", "list"), git("rev-parse", "HEAD")) == before


def test_a_folder_that_is_taken_is_left_alone(git: Git, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("")
    with pytest.raises(RevisionError, match="already exists"):
        find_revision("HEAD").write_files(tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["no-such-branch", "--all", "", "HEAD~99", "HEAD:sb3_tinyrl"])
def test_unknown_revision(name: str, git: Git) -> None:
    with pytest.raises(RevisionError, match="there is no revision"):
        find_revision(name)


def test_revision_without_the_package(git: Git) -> None:
    with pytest.raises(RevisionError, match="'HEAD~2' is too old: it has no package sb3_tinyrl"):
        find_revision("HEAD~2")


def test_no_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkout, "_PACKAGE", tmp_path / "site-packages" / "sb3_tinyrl")
    (tmp_path / "site-packages").mkdir()
    with pytest.raises(RevisionError, match=r"which is no git checkout .*pip install -e"):
        find_revision("HEAD")


def test_part_of_another_checkout(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkout, "_PACKAGE", checkout._PACKAGE / "venv" / "sb3_tinyrl")
    (checkout._PACKAGE.parent).mkdir()
    with pytest.raises(RevisionError, match="no git checkout of its own, but part of"):
        find_revision("HEAD")


def test_no_git(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RevisionError, match=r"git can't be run: .*; install it"):
        find_revision("HEAD")
