"""tests/harness/side_by_side.py: tests that must not run beside each other are known by their group."""

from __future__ import annotations

import os

import pytest


@pytest.mark.xdist_group("together")
def test_the_name_of_a_test_that_runs_beside_others_has_its_group(request: pytest.FixtureRequest) -> None:
    assert request.node.nodeid.endswith("@together") is ("PYTEST_XDIST_WORKER" in os.environ)
