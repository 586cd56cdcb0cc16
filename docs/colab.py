"""The badge that opens the notebook in Colab, which fetches it from the repository's public address.

There is none yet. The address is to be filled in at one place, ``Repository`` in ``[project.urls]`` of pyproject.toml:
then the badge appears, and ``tests/test_documentation.py`` asks for the address in the notebook's first line of code.
"""

from collections.abc import Iterable

NOTEBOOK = "examples/quickstart.ipynb"
_HOST = "https://github.com/"


def repository(project_urls: Iterable[str]) -> str | None:
    """Return the address of the repository, if there is one.

    :param project_urls: of a package's metadata, such as ``"Repository, https://..."``
    """
    addresses = dict(url.split(", ", 1) for url in project_urls)
    return addresses.get("Repository")


def badge(project_urls: Iterable[str]) -> str:
    """Return the badge in Markdown, or nothing where the repository has no address.

    :param project_urls: see :func:`repository`
    :raises ValueError: for a repository that Colab can't open
    """
    address = repository(project_urls)
    if address is None:
        return ""
    if not address.startswith(_HOST):
        raise ValueError(f"the repository is {address!r}, expected an address that starts with {_HOST}, as Colab does")
    name = address.removeprefix(_HOST).strip("/")
    colab = "https://colab.research.google.com"
    return f"[![Open in Colab]({colab}/assets/colab-badge.svg)]({colab}/github/{name}/blob/main/{NOTEBOOK})"
