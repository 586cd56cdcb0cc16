"""Another revision of TinySAC, in a folder of its own."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


class RevisionError(Exception):
    """There is no such revision."""


@dataclass(frozen=True)
class Revision:
    """A commit of the repository that this package lies in.

    :param name: as the user calls it
    :param commit: its hash, short
    :param repository: the folder of the checkout
    """

    name: str
    commit: str
    repository: Path

    @property
    def label(self) -> str:
        """What it is called in tables."""
        return f"TinySAC {self.name}"

    def write_files(self, folder: Path) -> None:
        """Write its files into a new folder; the repository does not get to know of it.

        :param folder: it must not exist
        :raises RevisionError: when git can't, or the folder is taken
        """
        try:
            folder.mkdir()
        except FileExistsError as error:
            raise RevisionError(f"{folder} already exists") from error
        # An index of its own: the user's has what they are about to commit.
        index = {"GIT_INDEX_FILE": str(folder.resolve() / ".index")}
        _git(self.repository, "read-tree", self.commit, **index)
        _git(self.repository, "checkout-index", "--all", f"--prefix={folder.resolve()}/", **index)


def find_revision(name: str) -> Revision:
    """Return a revision of this package's repository.

    :param name: anything that git takes for a commit
    :raises RevisionError: without git, when the package is not in a checkout, or when there is no such revision
    """
    root = _PACKAGE.parent
    try:
        repository = Path(_git(root, "rev-parse", "--show-toplevel"))
    except RevisionError as error:
        raise RevisionError(
            f"TinySAC is in {root}, which is no git checkout ({error}); expected one, installed with pip install -e"
        ) from error
    if repository.resolve() != root:
        raise RevisionError(f"TinySAC is in {root}, which is no git checkout of its own, but part of {repository}")
    try:
        commit = _git(root, "rev-parse", "--verify", "--short", "--end-of-options", f"{name}^{{commit}}")
    except RevisionError as error:
        raise RevisionError(f"there is no revision {name!r} in {root}: {error}") from error
    try:
        _git(root, "cat-file", "-e", f"{commit}:{_PACKAGE.name}/__init__.py")
    except RevisionError as error:
        raise RevisionError(f"revision {name!r} is too old: it has no package {_PACKAGE.name}") from error
    return Revision(name, commit, root)


def _git(folder: Path, *arguments: str, **variables: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, errors="replace", env={**os.environ, **variables}
        )
    except OSError as error:
        raise RevisionError(f"git can't be run: {error.strerror}; install it") from error
    if answer.returncode != 0:
        raise RevisionError((answer.stderr.strip().splitlines() or ["git said nothing"])[-1])
    return answer.stdout.strip()
