import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_tinyrl._native.errors import CacheError
from sb3_tinyrl._native.jit.cache import KernelCache, cache_directory, cache_key, content_key

NEVER = threading.Event()
INGREDIENTS = st.dictionaries(st.text(), st.one_of(st.text(), st.lists(st.text())))


def test_the_directory_is_the_users_unless_the_variable_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SB3_TINYRL_CACHE_DIR", "here")
    assert cache_directory() == tmp_path / "here"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SB3_TINYRL_CACHE_DIR", "~/there")
    assert cache_directory() == tmp_path / "there"
    monkeypatch.delenv("SB3_TINYRL_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert tmp_path in cache_directory().parents
    assert cache_directory().name == "sb3_tinyrl"


@given(INGREDIENTS, INGREDIENTS)
def test_keys_are_equal_exactly_if_the_ingredients_are(one: dict[str, object], other: dict[str, object]) -> None:
    assert (content_key(one) == content_key(other)) == (one == other)
    assert (cache_key({}, one) == cache_key({}, other)) == (one == other)
    reordered = dict(reversed(one.items()))
    assert cache_key(one, one) == cache_key(reordered, reordered)
    assert cache_key(one, other).startswith(content_key(one))


@pytest.fixture
def kernels(tmp_path: Path) -> KernelCache:
    return KernelCache(tmp_path / "not" / "there" / "yet")


def publish(kernels: KernelCache, key: str, contents: bytes) -> Path:
    with kernels.lock(key, NEVER), kernels.workspace(key, {}) as folder:
        (folder / "built").write_bytes(contents)
        return kernels.publish(key, folder / "built", "a test")


def test_finds_what_was_published_and_nothing_else(kernels: KernelCache) -> None:
    assert kernels.find("a") is None
    path = publish(kernels, "a", b"library")
    assert kernels.find("a") == path
    assert path.read_bytes() == b"library"
    assert kernels.find("b") is None
    assert publish(kernels, "a", b"another") == path
    assert path.read_bytes() == b"another"


@pytest.mark.parametrize("file", ["a.so", "a.json"])
@pytest.mark.parametrize("contents", [b"", b"libra", b"librarz", None])
def test_does_not_find_what_is_damaged(kernels: KernelCache, file: str, contents: bytes | None) -> None:
    publish(kernels, "a", b"library")
    if contents is None:
        (kernels.directory / file).unlink()
    else:
        (kernels.directory / file).write_bytes(contents)
    assert kernels.find("a") is None
    publish(kernels, "a", b"library")
    assert kernels.find("a")


def test_a_workspace_goes_away_even_after_an_error(kernels: KernelCache) -> None:
    def fail() -> None:
        with kernels.lock("a", NEVER), kernels.workspace("a", {"a file": "text"}) as folder:
            assert (folder / "a file").read_text() == "text"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not list(kernels.directory.glob("*.build"))


def test_abandoned_workspaces_are_removed_but_not_those_in_use(kernels: KernelCache) -> None:
    abandoned = [kernels.directory / f"{key}.random.build" for key in ("mine", "another")]
    for folder in abandoned:
        folder.mkdir(parents=True)
        (folder / "kernel.so").touch()
    with kernels.lock("in use", NEVER), kernels.workspace("in use", {}) as in_use:
        publish(kernels, "mine", b"library")
        assert in_use.exists()
    assert not any(folder.exists() for folder in abandoned)


@pytest.mark.parametrize("place", ["a file/cache", "a file", "/proc/cache"])
def test_an_unusable_folder_is_named_with_the_remedy(tmp_path: Path, place: str) -> None:
    (tmp_path / "a file").touch()
    folder = tmp_path / place
    with pytest.raises(CacheError, match=r"Expected .*set SB3_TINYRL_CACHE_DIR to another") as error:
        publish(KernelCache(folder), "a", b"library")
    assert str(folder) in str(error.value)
