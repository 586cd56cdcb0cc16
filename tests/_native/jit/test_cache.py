import errno
import json
import os
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_tinyrl._native.errors import CacheError, KernelBuildError, UntrustedCacheError
from sb3_tinyrl._native.jit.cache import (
    KernelCache,
    cache_key,
    cache_size_limit,
    content_key,
    note_use,
    parse_size,
    remove_unless_used,
    require_trusted_library,
)
from sb3_tinyrl._native.jit.cache_directory import cache_directory

NEVER = threading.Event()
LIBRARY_SUFFIX = ".dll" if sys.platform == "win32" else ".so"
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
    with kernels.lock(key, NEVER, 20), kernels.workspace(key, {}) as folder:
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
@pytest.mark.parametrize("contents", [b"", b"libra", b"librarz", b"[" * 10**5, b"{" * 10**5, b"5", b"\xff", None])
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
        with kernels.lock("a", NEVER, 20), kernels.workspace("a", {"a file": "text"}) as folder:
            assert (folder / "a file").read_text() == "text"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not list(kernels.directory.glob("*.build"))


def workspace_of(kernels: KernelCache, key: str, machine: str, age: float = 0) -> Path:
    """What a builder left behind that was killed."""
    folder = kernels.directory / f"{key}.{machine}.random.build"
    folder.mkdir(parents=True)
    (folder / "kernel.so").touch()
    os.utime(folder, (time.time() - age,) * 2)
    return folder


def test_abandoned_workspaces_are_removed_but_not_those_in_use(kernels: KernelCache) -> None:
    with kernels.lock("c" * 64, NEVER, 20), kernels.workspace("c" * 64, {}) as in_use:
        machine = in_use.name.split(".")[1]
        abandoned = [workspace_of(kernels, key, machine) for key in ("a" * 64, "b" * 64)]
        publish(kernels, "a" * 64, b"library")
        assert in_use.exists()
    assert not any(folder.exists() for folder in abandoned)


def test_workspaces_of_other_machines_are_left_alone_for_a_day(kernels: KernelCache) -> None:
    """As their locks may not be seen here."""
    abandoned = workspace_of(kernels, "a" * 64, "another", age=90000)
    in_use = workspace_of(kernels, "b" * 64, "another")
    publish(kernels, "b" * 64, b"library")
    assert in_use.exists()
    assert not abandoned.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="locks of other systems")
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_where_nothing_can_be_locked_two_build_the_same(
    kernels: KernelCache, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """As some network file systems are mounted without locks; this stands in for one."""
    import fcntl

    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    key = "a" * 64
    with kernels.lock(key, NEVER, 20), kernels.workspace(key, {}) as workspace:
        library = publish(kernels, key, b"library")
        assert workspace.exists()
    assert kernels.find(key) == library
    kernels.clear()
    assert not list(kernels.directory.iterdir())


def test_files_of_the_users_own_stay(kernels: KernelCache) -> None:
    """As a folder that the user chose may hold other things."""
    own = [kernels.directory / name / "precious" for name in ("project.build", "another.x.build")]
    own += [kernels.directory / "notes.held", kernels.directory / f"{'a' * 64}.txt"]
    for path in own:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    publish(kernels, "a" * 64, b"library")
    assert all(path.exists() for path in own)


def test_the_wait_for_another_process_ends(kernels: KernelCache) -> None:
    with (
        kernels.lock("a", NEVER, 20),
        pytest.raises(KernelBuildError, match=r"another process .* for 0\.3 s.* fuser .*a\.lock"),
        kernels.lock("a", NEVER, 0.3),
    ):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has access lists instead of modes")
def test_other_users_can_not_hold_the_lock(kernels: KernelCache) -> None:
    with kernels.lock("a", NEVER, 20):
        assert (kernels.directory / "a.lock").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("place", ["a file/cache", "a file", "/proc/cache"])
def test_an_unusable_folder_is_named_with_the_remedy(tmp_path: Path, place: str) -> None:
    (tmp_path / "a file").touch()
    folder = tmp_path / place
    with pytest.raises(CacheError, match=r"Expected .*set SB3_TINYRL_CACHE_DIR to another") as error:
        publish(KernelCache(folder), "a", b"library")
    assert str(folder) in str(error.value)


# --- files that Windows lets no one replace ---


class Windows:
    """Its rules for renaming: refused while a program reads one of the two files, or has loaded the target.

    :param reads: renames that are refused because a program, such as a virus scanner, reads a file meanwhile
    :param loaded: a library that a process has loaded, which can be renamed but neither replaced nor removed
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, reads: int = 0, loaded: Path | None = None) -> None:
        self.reads, self.loaded = reads, loaded
        self._replace, self._unlink = os.replace, Path.unlink
        monkeypatch.setattr(os, "replace", self.replace)
        monkeypatch.setattr(Path, "unlink", lambda path, missing_ok=False: self.unlink(path, missing_ok))

    def replace(self, source: Path, target: Path) -> None:
        self.reads -= 1
        if self.reads >= 0 or target == self.loaded:
            raise PermissionError(errno.EACCES, "Access is denied", str(source), 5, str(target))
        self._replace(source, target)
        if source == self.loaded:
            self.loaded = target

    def unlink(self, path: Path, missing_ok: bool) -> None:
        if path == self.loaded or path.suffix == ".lock":  # the latter is open as long as it is locked
            raise PermissionError(errno.EACCES, "Access is denied", str(path), 5)
        self._unlink(path, missing_ok)


def test_a_file_that_is_read_for_a_moment_is_waited_for(kernels: KernelCache, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(kernels, "a", b"library")
    windows = Windows(monkeypatch, reads=3)
    publish(kernels, "a", b"another")
    assert windows.reads < 0
    assert kernels.find("a")
    assert sorted(path.suffix for path in kernels.directory.iterdir()) == [".json", ".lock", LIBRARY_SUFFIX]


def test_a_file_that_is_read_for_ever_is_an_error_soon(kernels: KernelCache, monkeypatch: pytest.MonkeyPatch) -> None:
    Windows(monkeypatch, reads=1000)
    start = time.monotonic()
    with pytest.raises(CacheError, match="Access is denied"):
        publish(kernels, "a", b"library")
    assert time.monotonic() - start < 10
    assert kernels.find("a") is None


def test_a_library_that_is_loaded_makes_way_for_another(kernels: KernelCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose description is damaged, say, while a process trains with it."""
    key = "a" * 64
    loaded = publish(kernels, key, b"library")
    (kernels.directory / f"{key}.json").write_text("{")
    windows = Windows(monkeypatch, loaded=loaded)
    assert kernels.find(key) is None
    assert publish(kernels, key, b"another") == kernels.find(key) == loaded
    assert loaded.read_bytes() == b"another"
    [held] = kernels.directory.glob("*.held")
    assert held == windows.loaded
    assert held.read_bytes() == b"library"
    publish(kernels, "b", b"library")
    assert held.exists()
    windows.loaded = None  # the process has ended
    publish(kernels, "b", b"library")
    assert not held.exists()


def test_clearing_leaves_what_is_loaded_on_windows(filled: KernelCache, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = filled.find(KEYS[0])
    with monkeypatch.context() as patches:
        Windows(patches, loaded=loaded)
        with pytest.raises(CacheError, match="Access is denied"):
            filled.clear()
        patches.setattr(sys, "platform", "win32")
        filled.clear()
    assert {path for path in filled.directory.iterdir() if path.suffix != ".lock"} == {loaded}


# --- what is there, and what has to go ---

KEYS = [cache_key({"content": n // 2}, {"compiler": n}) for n in range(4)]
LONG_AGO = time.time() - 1e6


@pytest.fixture
def filled(kernels: KernelCache) -> KernelCache:
    """Four libraries of 100 bytes, built long ago in this order; two of the same content after another."""
    for age, key in enumerate(KEYS):
        library = publish(kernels, key, bytes(100))
        os.utime(library, (LONG_AGO + age, LONG_AGO + age))
    return kernels


def use(kernels: KernelCache, key: str, when: float) -> None:
    """Load a library at that moment."""
    library = kernels.find(key)
    assert library
    note_use(library)
    os.utime(library.with_suffix(".json"), (when, when))


def keys(kernels: KernelCache) -> list[str]:
    return [key for key in KEYS if kernels.find(key)]


def test_entries_tell_what_a_library_is_for_and_when_it_was_loaded(filled: KernelCache) -> None:
    use(filled, KEYS[1], LONG_AGO + 77)
    entries = {entry.key: entry for entry in filled.entries()}
    assert entries.keys() == set(KEYS)
    assert entries[KEYS[0]].used == 0
    assert entries[KEYS[1]].used == pytest.approx(LONG_AGO + 77)
    assert (entries[KEYS[0]].size, entries[KEYS[0]].purpose) == (100, "a test")
    assert entries[KEYS[0]].built == pytest.approx(LONG_AGO)
    (filled.directory / f"{KEYS[0]}.json").write_text("[]")
    assert "damaged" in next(entry.purpose for entry in filled.entries() if entry.key == KEYS[0])
    assert KernelCache(filled.directory / "none").entries() == []


def test_any_compilers_library_of_the_same_content_is_found_the_last_used_first(filled: KernelCache) -> None:
    content = KEYS[0].partition("-")[0]
    assert filled.find_any(content) == filled.find(KEYS[1])  # none was loaded, so the one built last
    use(filled, KEYS[0], LONG_AGO + 5)
    assert filled.find_any(content) == filled.find(KEYS[0])
    (filled.directory / f"{KEYS[0]}.json").unlink()
    assert filled.find_any(content) == filled.find(KEYS[1])
    assert filled.find_any(content_key({"content": "another"})) is None


def test_what_was_not_used_for_the_longest_time_makes_room(filled: KernelCache) -> None:
    use(filled, KEYS[0], LONG_AGO + 9)
    assert filled.prune(max_bytes=400) == []
    assert [entry.key for entry in filled.prune(max_bytes=399)] == [KEYS[1]]
    filled.prune(max_bytes=100)
    assert keys(filled) == [KEYS[0]]
    assert not (filled.directory / f"{KEYS[1]}.json").exists()


def test_a_clock_that_was_wrong_keeps_no_library_for_ever(filled: KernelCache) -> None:
    in_a_century = time.time() + 100 * 365 * 86400
    use(filled, KEYS[0], in_a_century)
    os.utime(filled.directory / f"{KEYS[0]}.so", (in_a_century, in_a_century))
    filled.prune(max_bytes=0)
    assert keys(filled) == []


def test_pruning_spares_what_is_in_use(filled: KernelCache) -> None:
    use(filled, KEYS[2], time.time())
    os.utime(filled.directory / f"{KEYS[3]}.so")  # just built
    filled.prune(max_bytes=0, keep=KEYS[1])
    assert keys(filled) == KEYS[1:]


def test_pruning_by_age(filled: KernelCache) -> None:
    use(filled, KEYS[3], time.time() - 5000)
    filled.prune(max_seconds=6000)
    assert keys(filled) == [KEYS[3]]
    filled.prune(max_seconds=4000)
    assert keys(filled) == []


def test_clearing_leaves_files_of_others_and_builds_under_way(filled: KernelCache) -> None:
    mine = filled.directory / "notes.json"
    mine.touch()
    with filled.lock(KEYS[0], NEVER, 20), filled.workspace(KEYS[0], {}) as in_use:
        filled.clear()
        assert keys(filled) == KEYS[:1]
        assert in_use.exists()
    filled.clear()
    assert [path.name for path in filled.directory.iterdir()] == ["notes.json"]
    KernelCache(filled.directory / "none").clear()


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("1000", 1000), ("2K", 2048), ("1.5 GiB", 3 * 2**29), ("500m", 500 * 2**20)]
)
def test_sizes_have_units(monkeypatch: pytest.MonkeyPatch, text: str, size: int) -> None:
    assert parse_size(text) == size
    monkeypatch.setenv("SB3_TINYRL_CACHE_SIZE", text)
    assert cache_size_limit() == size


@pytest.mark.parametrize("text", ["much", "-1", "1X", "G", "1e9", "9" * 400])
def test_a_size_that_is_none_names_the_variable(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SB3_TINYRL_CACHE_SIZE", text)
    with pytest.raises(CacheError, match=r"^\$SB3_TINYRL_CACHE_SIZE is .*, expected a number of bytes"):
        cache_size_limit()


def test_only_a_library_that_was_never_loaded_is_removed_for_being_of_no_use(filled: KernelCache) -> None:
    first, second = (filled.directory / f"{key}.so" for key in KEYS[:2])
    note_use(second)
    assert not remove_unless_used(second)
    assert remove_unless_used(first)
    assert not remove_unless_used(first)
    assert keys(filled) == KEYS[1:]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has access lists instead of modes")
@pytest.mark.parametrize("place", ["folder", "library", "description"])
def test_what_others_can_write_is_an_error_with_the_way_out(filled: KernelCache, place: str) -> None:
    library = filled.directory / f"{KEYS[0]}.so"
    path = {"folder": filled.directory, "library": library, "description": library.with_suffix(".json")}[place]
    path.chmod(0o777)
    with pytest.raises(UntrustedCacheError, match=rf"chmod go-w {path}.*SB3_TINYRL_CACHE_DIR"):
        filled.find(KEYS[0])
    if place != "description":
        with pytest.raises(UntrustedCacheError, match=rf"chmod go-w {path}"):
            require_trusted_library(library)
    if place == "folder":
        with pytest.raises(UntrustedCacheError), filled.lock(KEYS[0], NEVER, 20):
            pass
    path.chmod(0o700)
    assert filled.find(KEYS[0])


def test_a_library_that_is_gone_is_an_error_with_the_way_out(filled: KernelCache) -> None:
    with pytest.raises(CacheError, match="try again"):
        require_trusted_library(filled.directory / "gone.so")


def test_a_description_is_json(filled: KernelCache) -> None:
    description = json.loads((filled.directory / f"{KEYS[0]}.json").read_text())
    assert description["for"] == "a test"
    assert len(description["sha256"]) == 64
