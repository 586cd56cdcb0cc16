"""Threads and memory that the operating system does not give, and a model that several threads use."""

import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import TIMEOUT, make, state, step_counts
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
margins = (0, 0.02, 0.05, 0.1, 0.5, 1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 1024, 4096)
learn_in_children(make(8), margins, Exception, 60)
""",
        built,
    )
    statuses = re.findall(r"status (\d+)", output)
    assert statuses == ["0"] * 20, output
    assert "4096 learned" in output
    assert "Error" in output


@pytest.mark.slow
def test_no_memory_for_many_environments_in_cpp_is_an_error(built: Path) -> None:
    """Their steps need some megabytes, which either Python or the kernel asks for in vain."""
    output = run(
        """
n = 100_000
from sb3_tinyrl.environments.vec_env import NativeVecEnv
env = NativeVecEnv("rl_tools/Pendulum-v0", n)
model = make(1, env=env, learning_starts=n, buffer_size=5 * n).learn(2 * n)
learn_in_children(model, [n / 2 for n in range(40)], MemoryError, 2 * n, reset_num_timesteps=False)
""",
        built,
    )
    assert re.findall(r"status (\d+)", output) == ["0"] * 40, output
    assert "19.5 learned" in output
    assert "MemoryError" in output


@pytest.mark.slow
def test_no_memory_for_many_actions_leaves_a_model_that_predicts(built: Path) -> None:
    output = run(
        """
n = 1_000_000
model = make(1).learn(60)
observations = np.ones((n, 3), np.float32)
expected, _ = model.predict(observations[:1], deterministic=True)
used = bytes_used()
failed = 0
for megabytes in range(0, 40, 2):
    limit_memory(used + megabytes * 2**20)
    try:
        model.predict(observations, deterministic=True)
    except MemoryError:
        failed += 1
limit_memory(resource.RLIM_INFINITY)
actions, _ = model.predict(observations, deterministic=True)
print("failed", failed, "same", bool((actions == expected).all()))
""",
        built,
        MALLOC_ARENA_MAX="1",  # else there may be room that a thread has reserved
    )
    failed = re.search(r"failed (\d+) same True", output)
    assert failed, output
    assert 0 < int(failed[1]) < 20


@pytest.mark.parametrize("overlap", [False, True])
def test_threads_that_train_one_model_take_turns(overlap: bool) -> None:
    model = make(n_threads=2, overlap=overlap, gradient_steps=2).learn(60)
    observations = np.zeros((7, 3), np.float32)

    def predict() -> None:
        for n in range(2000):
            model.predict(observations[: 1 + n % 7])

    calls = [lambda: model.train(1000, 32), lambda: model.train(1000, 32), predict, lambda: model.learn(400)]
    threads = [threading.Thread(target=call, daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
        assert not thread.is_alive(), "a thread hangs"
    assert {*step_counts(model).values()} == {2 * 40 + 2000 + 2 * 380}
    assert all(tensor.isfinite().all() for tensor in state(model).values())


@pytest.mark.parametrize("nonsense", [0, -1, 2**32 + 1, "many", 1.5])
def test_nonsense_after_construction_is_an_error(nonsense: Any) -> None:
    model = make().learn(30)
    model.n_threads = nonsense
    with pytest.raises(ValueError, match="expected 1 to 16, or None"):
        model.train(1)
    model.n_threads = 2
    model.train(1)
