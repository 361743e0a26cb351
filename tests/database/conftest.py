"""What several tests of the database need beside it."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest

from region_tick.contract import CHANGES_CHANNEL
from region_tick.database_url import DatabaseUrl
from region_tick.session import connect
from tests.database.tick_process import Ticks
from tests.harness.pgbouncer import PgBouncer
from tests.harness.ticks import Observer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def pooled(empty_database: str) -> Iterator[str]:
    """The URL of `empty_database` through a PgBouncer."""
    with PgBouncer.before(empty_database) as pooler:
        yield pooler.url


@pytest.fixture
def observer(database: str) -> Iterator[Observer]:
    """Sees and changes job_run from outside."""
    observer = Observer(database)
    yield observer
    observer.connection.close()


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection]:
    """A connection as a tick makes it."""
    with closing(connect(DatabaseUrl.parse(database))) as connection:
        yield connection


@pytest.fixture
def listener(database: str) -> Iterator[psycopg.Connection]:
    """A connection that listens for changes of tables of regions."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"LISTEN {CHANGES_CHANNEL}")
        yield connection


@pytest.fixture
def ticks(tmp_path: Path, database: str) -> Iterator[Ticks]:
    """Starts ticks on `database`, and ends them."""
    ticks = Ticks(tmp_path, database)
    yield ticks
    for process in ticks.processes:
        with process.popen:  # closes its pipes
            process.popen.kill()
