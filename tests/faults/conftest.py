"""A Postgres whose failures cost no other test anything, and what stands on the way to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from devcluster.postgres import Postgres
from tests.faults.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def mortal() -> Iterator[Postgres]:
    """A server for databases that come to harm. Each fault ends with its test."""
    with Postgres.temporary() as server:
        yield server


@pytest.fixture
def site(mortal: Postgres, tmp_path: Path) -> Iterator[Site]:
    """A database of the test's own there, with 20 regions, as somebody without a superuser's rights has one."""
    with Site.on(mortal, tmp_path / "DATABASE_URL") as site:
        yield site
