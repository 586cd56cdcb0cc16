"""What lies in the cache: planted, shared, without room, and made ahead of time."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from disks import mounted
from small_model import STRANGER, as_root, run

from sb3_tinyrl._native.jit.compiler import find_compiler

pytestmark = pytest.mark.slow

PREDICT_AND_LEARN = """
model = make(1, kernel="auto")
model.predict(model.observation_space.sample())
model.learn(30)
"""


def plant(cache: Path) -> None:
    """Put code of another user in the place of every library, with the description that belongs to it."""
    source = cache / "planted.c"
    source.write_text(
        '#include <stdio.h>\n__attribute__((constructor)) void run(void) { puts("planted code runs"); }\n'
    )
    for library in cache.glob("*.so"):
        planted = cache / "planted.so"
        subprocess.run(["cc", "-shared", "-fPIC", source, "-o", planted], check=True, timeout=60)
        planted.replace(library)
        description = json.loads(library.with_suffix(".json").read_text())
        digest = subprocess.run(["sha256sum", library], capture_output=True, text=True, check=True).stdout.split()[0]
        library.with_suffix(".json").write_text(json.dumps({**description, "sha256": digest}))


@pytest.mark.parametrize("fault", ["world-writable", pytest.param("foreign", marks=as_root), "link"])
def test_a_planted_library_is_not_loaded(cache: Path, tmp_path: Path, fault: str) -> None:
    plant(cache)
    assert "planted code runs" in run(PREDICT_AND_LEARN, cache)  # as it is what this user can do to themselves
    if fault == "world-writable":
        cache.chmod(0o777)
    elif fault == "foreign":
        for path in (cache, *cache.iterdir()):
            os.chown(path, STRANGER, STRANGER)
    else:
        for library in cache.glob("*.so"):
            library.rename(tmp_path / library.name)
            library.symlink_to(tmp_path / library.name)
    output = run(PREDICT_AND_LEARN, cache)
    assert "planted code runs" not in output
    reason = "PyTorch update: .*(?:chmod go-w|belongs to user|remove it).*set SB3_TINYRL_CACHE_DIR"
    assert len(re.findall(reason, output)) == 1


def test_no_umask_makes_a_cache_that_others_can_write(tmp_path: Path) -> None:
    cache = tmp_path / "new" / "cache"
    run("os.umask(0)\nmake(1).learn(30)\nmake(1).learn(30)\n", cache)
    paths = [cache.parent, cache, *cache.iterdir()]
    assert len(paths) == 5
    assert not [path for path in paths if path.stat().st_mode & 0o022]
    assert [path.stat().st_mode & 0o777 for path in paths[:2]] == [0o700, 0o700]


@as_root
def test_a_cache_of_root_serves_another_user(built: Path) -> None:
    before = sorted((path.name, path.stat().st_mtime) for path in built.iterdir())
    run("become_another_user()\nmodel = make(1).learn(30)\n", built)
    run("become_another_user()\nmodel = make(1).learn(30)\n", built, CXX=f"{find_compiler().command[0]} -DANOTHER")
    assert sorted((path.name, path.stat().st_mtime) for path in built.iterdir()) == before


def test_a_machine_without_a_compiler_trains_with_what_was_built_ahead(tmp_path: Path) -> None:
    cache, model = tmp_path / "cache", tmp_path / "model.zip"
    run(f"make(1, kernel='torch').save({str(model)!r})", cache)
    assert not cache.exists()
    arguments = ["sb3_tinyrl", "cache", "build", str(model), "--env", "rl_tools/Pendulum-v0"]
    command = f"import runpy; sys.argv = {arguments}; runpy.run_module('sb3_tinyrl', run_name='__main__')"
    assert "model.zip: " in run(command, cache)
    assert len(list(cache.glob("*.so"))) == 2
    run(
        f"""
assert not [*filter(__import__("shutil").which, ("c++", "g++", "clang++"))]
sys.modules["ziglang"] = None
model = TinySAC.load({str(model)!r}, env=gymnasium.make("Pendulum-v1"), kernel="native")
model.learn(30)
native = gymnasium.make("rl_tools/Pendulum-v0")
native.reset(seed=0)
native.step(native.action_space.sample())
""",
        cache,
        PATH=str(tmp_path),
        CXX=None,
    )


@as_root
def test_a_full_disk_is_an_error_and_later_builds_succeed(tmp_path: Path) -> None:
    """On a file system too small for the compiler's results, then for the library alone."""
    with mounted(tmp_path / "disk", "size=64k") as disk:
        learn = "make(1, kernel='auto').learn(30)"
        output = run(learn, disk / "cache", TMPDIR=str(disk))
        assert len(re.findall("PyTorch update: cannot keep .*[Nn]o space", output)) == 1, output
        for size in ("80k", "120k"):
            subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)
            run(learn, disk / "cache")
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        assert "PyTorch" not in run(learn, disk / "cache")
        assert not list((disk / "cache").glob("*.build"))


@as_root
def test_a_file_system_that_runs_no_programs_is_named(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "noexec") as disk:
        output = run("make(1, kernel='auto').learn(30)", disk / "cache")
        assert len(re.findall(r"PyTorch update: .*\(noexec\); set SB3_TINYRL_CACHE_DIR", output)) == 1, output
        assert output.count("PyTorch") == 1


def test_a_cache_that_is_removed_before_the_kernel_is_loaded(cache: Path) -> None:
    output = run(
        """
import shutil
from stable_baselines3.common.callbacks import BaseCallback

class RemoveCache(BaseCallback):
    def _on_step(self):
        if self.num_timesteps == 10:
            self.model._session._build.result()
            shutil.rmtree(os.environ["SB3_TINYRL_CACHE_DIR"])
        return True

model = make(1, kernel="auto")
model.learn(30, callback=RemoveCache())
assert not model.kernel_status().native
model.learn(30)
assert model.kernel_status().native
""",
        cache,
    )
    assert len(re.findall("PyTorch update: .*try again, which makes it anew", output)) == 1
    assert list(cache.glob("*.so"))
