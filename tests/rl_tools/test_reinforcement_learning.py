"""Policies and the replay buffer, operation by operation, against scalar definitions."""

import pytest
from test_sanitizers import SANITIZED, compile_and_run

SOURCES = ["policies_test.cpp", "replay_test.cpp"]


@pytest.mark.parametrize("source", SOURCES)
def test_operations_equal_their_definitions(source, tmp_path):
    compile_and_run(source, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES)
def test_operations_under_address_and_undefined_behaviour_sanitizers(source, tmp_path):
    compile_and_run(source, tmp_path, *SANITIZED)
