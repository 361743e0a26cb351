"""Fixtures of pytest for tests of handlers. A project that wants them says so in its conftest.py:

    pytest_plugins = ["region_tick.pytest_plugin"]

The plugin is not loaded by itself, so nobody else's pytest pays for it.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from region_tick.testing import tick_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from region_tick.handlers import Tick


@pytest.fixture
def tick_database() -> str:
    """The URL of the tests' Postgres, from TEST_DATABASE_URL. Define a fixture of this name for another one."""
    url = os.environ.get("TEST_DATABASE_URL", "")
    if not url:
        pytest.fail("TEST_DATABASE_URL is missing: set it, or define the fixture tick_database", pytrace=False)
    return url


@pytest.fixture
def make_tick(tick_database: str) -> Iterator[Callable[..., Tick]]:
    """Makes Ticks on `tick_database`. The arguments are those of region_tick.testing.tick_on, without the database."""
    with ExitStack() as ticks:

        def make(**arguments: Any) -> Tick:
            return ticks.enter_context(tick_on(tick_database, **arguments))

        yield make
