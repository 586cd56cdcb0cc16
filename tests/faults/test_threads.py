"""Threads and memory that the operating system does not give."""

import re
from pathlib import Path
from typing import Any

import pytest
from models import make
from small_model import as_root, run


@as_root
@pytest.mark.slow
def test_training_goes_on_with_the_threads_that_could_start(built: Path) -> None:
    """From no thread to all of them: same numbers, one warning that says how many there are."""
    output = run(
        """
model = make(8)
become_another_user()
for limit in (1, 2, 3, 5, 9, 50):
    if (child := os.fork()) == 0:
        resource.setrlimit(resource.RLIMIT_NPROC, (limit, limit))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.learn(60)
            model.learn(30)
        print("limit", limit, "warnings", [str(one.message) for one in caught])
        print("weights", float(sum(p.detach().double().abs().sum() for p in model.policy.parameters())), flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
""",
        built,
    )
    said = dict(re.findall(r"limit (\d+) warnings (.*)", output))
    assert said["50"] == "[]"
    for limit in ("1", "2", "3", "5"):
        started = re.search(r"started (\d) of 8 threads", said[limit])
        assert started  # The thread that has looked for the library may still have been there.
        assert 1 <= int(started[1]) <= int(limit)
        assert said[limit].count("started") == 1
        assert "ulimit -u" in said[limit]
    assert len(set(re.findall("weights .*", output))) == 1


@pytest.mark.slow
def test_address_space_from_tight_to_enough_ends_in_no_crash(built: Path) -> None:
    output = run(
        """
import traceback
model = make(8)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
for megabytes in (0, 1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 1024, 4096):
    if (child := os.fork()) == 0:
        resource.setrlimit(resource.RLIMIT_AS, (used + megabytes * 2**20, resource.RLIM_INFINITY))
        try:
            model.learn(60)
            outcome = "learned"
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}".splitlines()[0]
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)  # so that it can be told
        print(megabytes, outcome, flush=True)
        os._exit(0)
    print(megabytes, "status", os.waitpid(child, 0)[1], flush=True)
""",
        built,
    )
    statuses = re.findall(r"status (\d+)", output)
    assert statuses == ["0"] * 16, output
    assert "4096 learned" in output
    assert "Error" in output


@pytest.mark.parametrize("nonsense", [0, -1, 2**32 + 1, "many", 1.5])
def test_nonsense_after_construction_is_an_error(nonsense: Any) -> None:
    model = make().learn(30)
    model.n_threads = nonsense
    with pytest.raises(ValueError, match="expected 1 to 16, or None"):
        model.train(1)
    model.n_threads = 2
    model.train(1)
