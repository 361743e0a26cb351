"""What several tests of the database need beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.pgbouncer import PgBouncer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def pooled(empty_database: str) -> Iterator[str]:
    """The URL of `empty_database` through a PgBouncer."""
    with PgBouncer.before(empty_database) as pooler:
        yield pooler.url
