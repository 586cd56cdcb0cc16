from collections.abc import Iterator

import pytest
from isolated import IsolatedJudge


@pytest.fixture(scope="session")
def judge() -> Iterator[IsolatedJudge]:
    """Judges examples in another interpreter, the same one for all tests as long as it is well."""
    judge = IsolatedJudge()
    yield judge
    judge.close()
