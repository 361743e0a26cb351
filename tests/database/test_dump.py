"""pg_dump and pg_restore: the other database is migrated, its triggers notify, and edits are heard and read."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import psycopg
import pytest

from devcluster.postgres_programs import chosen_major, find_programs
from region_operator.database.default_table import RegionTable
from region_operator.database.migrate import SchemaState, migrate
from region_operator.database.region_table import Trigger
from region_tick.database_url import DatabaseUrl
from tests.conftest import new_database
from tests.database.listening import listening
from tests.database.reading import regions
from tests.database.schema import run, state, value
from tests.harness.regions import add_regions

if TYPE_CHECKING:
    from devcluster.server import Server

EVERYTHING_OF_OURS = (
    "SELECT string_agg(kind || ' ' || name, ', ' ORDER BY kind, name) FROM ("
    "SELECT relkind::text, oid::regclass::text FROM pg_class WHERE relnamespace = 'region_tick'::regnamespace"
    " UNION ALL SELECT 'function', oid::regprocedure::text FROM pg_proc"
    " WHERE pronamespace = 'region_tick'::regnamespace"
    " UNION ALL SELECT 'trigger', tgname FROM pg_trigger WHERE NOT tgisinternal"
    ") AS things (kind, name)"
)


@pytest.mark.parametrize("options", [[], ["--schema=public", "--schema=region_tick"]], ids=["all", "our schemas"])
async def test_a_dump_that_is_restored_is_as_before(
    postgres: Server, database: str, options: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    add_regions(database, 3)
    dump = program("pg_dump", "--format=custom", *options, database)
    with new_database(postgres) as name:
        restored = postgres.url(name)
        run(restored, *(["DROP SCHEMA public"] if options else []))  # the dump of a schema makes the schema
        program("pg_restore", "--exit-on-error", f"--dbname={restored}", stdin=dump)
        assert await state(restored) is SchemaState.CURRENT
        assert value(restored, EVERYTHING_OF_OURS) == value(database, EVERYTHING_OF_OURS)
        report = await migrate(DatabaseUrl.parse(restored))
        assert (report.region_table, report.trigger) == (RegionTable.FOUND, Trigger.FOUND)
        assert await regions(restored) == await regions(database)
        async with (
            await psycopg.AsyncConnection.connect(restored, autocommit=True) as connection,
            listening(restored, caplog) as operator,
        ):
            await operator.until(lambda: operator.wakes == 1, what="a new connection wakes")
            await connection.execute("UPDATE region_index SET cron_schedule = '@hourly'")
            await operator.until(lambda: operator.wakes == 2, what="an edit of a restored row wakes")
        assert await regions(restored) != await regions(database)


def program(name: str, *arguments: str, stdin: bytes = b"") -> bytes:
    """Run a program of the server's version, and return its output."""
    path = find_programs(chosen_major(os.environ)).path(name)
    return subprocess.run([path, *arguments], input=stdin, capture_output=True, check=True, timeout=60).stdout
