"""Which cases of a test run with ``-m "not slow"``: a few of each, so that what a change breaks shows there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def slow_but(quick: Iterable[Any], cases: Iterable[Any]) -> list[Any]:
    """Return the cases of one argument of ``parametrize``, each marked ``slow`` unless it is in ``quick``."""
    quick, cases = [*quick], [*cases]
    missing = [case for case in quick if case not in cases]
    assert not missing, f"{missing} are no cases, expected some of {cases}"
    return [case if case in quick else pytest.param(case, marks=pytest.mark.slow) for case in cases]


def slow_after(n: int, cases: Iterable[tuple[Any, ...]]) -> list[Any]:
    """Return the cases of several arguments of ``parametrize``, marked ``slow`` after the first ``n``."""
    cases = [*cases]
    return cases[:n] + [pytest.param(*case, marks=pytest.mark.slow) for case in cases[n:]]
