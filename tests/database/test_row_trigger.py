"""database/row_trigger.py on a real Postgres: the trigger is in nobody's way, whatever becomes of the table."""

from __future__ import annotations

import asyncio
import os
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest

from devcluster.postgres import Postgres
from devcluster.postgres_programs import chosen_major, find_programs
from region_operator.database.migrate import migrate
from region_operator.database.region_table import Trigger
from region_operator.database.row_trigger import RowTrigger
from region_operator.scheduler import Columns
from region_tick.database_url import DatabaseUrl
from tests.conftest import new_database
from tests.database.notifying import heard, make_triggers, state_of_triggers
from tests.database.schema import run, value
from tests.harness.regions import add_regions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devcluster.server import Server

OURS = "public.region_index"
COLUMNS = Columns(handler="does", timeout="may_take")
MAPPED = RowTrigger.of(COLUMNS)
CHANGES = {"TYPE": "ALTER COLUMN {0} TYPE {1}", "DROP": "DROP COLUMN {0}", "RENAME": "RENAME COLUMN {0} TO other"}
ALTERED = {"id": "text USING id::text", "active": "text USING active::text", "bbox_min_lon": "float8"}
"""The types that columns get; all others get varchar(99)."""


@pytest.fixture
def hot(database: str) -> Iterator[psycopg.Connection]:
    """A session that writes to region_index all the time, and so remembers plans of the trigger's function."""
    run(database, "ALTER TABLE region_index ADD seen_at timestamptz")
    add_regions(database, 3)
    with closing(psycopg.connect(database, autocommit=True)) as session:
        see(session, "region_index", times=10)
        yield session


def see(session: psycopg.Connection, table: str, *, times: int) -> None:
    """Write to a column that nobody maps."""
    for _ in range(times):
        session.execute(f"UPDATE {table} SET seen_at = clock_timestamp()".encode())


@pytest.mark.parametrize("change", ["TYPE", "DROP", "RENAME"])
def test_each_mapped_column_can_be_altered_dropped_and_renamed(
    database: str, listener: psycopg.Connection, change: str
) -> None:
    """Then writes go on in a session from before and in a new one. The hot column says nothing. An edit is told of,
    unless nobody can read the table by these columns.
    """
    run(database, "ALTER TABLE region_index ADD seen_at timestamptz, ADD does text, ADD may_take interval")
    add_regions(database, 3)
    with psycopg.connect(database, autocommit=True) as hot, psycopg.connect(database, autocommit=True) as other:
        for column in MAPPED.columns:
            table = f"of_{column}"
            run(database, f"CREATE TABLE {table} AS TABLE region_index")
            assert make_triggers(database, table=table, columns=COLUMNS) is Trigger.CREATED
            see(hot, table, times=10)
            run(database, f"ALTER TABLE {table} {CHANGES[change].format(column, ALTERED.get(column, 'varchar(99)'))}")
            edited = "name" if column == "cron_schedule" else "cron_schedule"
            for session in (hot, other):
                heard(listener)
                see(session, table, times=2)
                assert heard(listener) == []
                session.execute(f"UPDATE {table} SET {edited} = {edited} || 'x'".encode())
                assert heard(listener) == ([f"public.{table}"] if change == "TYPE" else [])
                session.execute(f"DELETE FROM {table} WHERE ctid = (SELECT min(ctid) FROM {table})".encode())
                session.execute(f"INSERT INTO {table} (seen_at) VALUES (now())".encode())


def test_a_session_from_before_a_change_of_type_still_tells_of_edits(
    database: str, hot: psycopg.Connection, listener: psycopg.Connection
) -> None:
    run(database, "ALTER TABLE region_index ALTER COLUMN name TYPE varchar(99)")
    heard(listener)
    hot.execute("UPDATE region_index SET cron_schedule = '@hourly' WHERE code = 'R1'")
    assert heard(listener) == [OURS]
    hot.execute("UPDATE region_index SET name = 'x' WHERE code = 'R1'")
    assert heard(listener) == [OURS]


def test_a_column_that_is_back_is_told_of_again(
    database: str, hot: psycopg.Connection, listener: psycopg.Connection
) -> None:
    run(
        database,
        "ALTER TABLE region_index DROP COLUMN name",
        "UPDATE region_index SET cron_schedule = '@hourly'",
        "ALTER TABLE region_index ADD name varchar(9)",
    )
    heard(listener)
    hot.execute("UPDATE region_index SET name = 'x'")
    assert heard(listener) == [OURS]


HOSTILE = """
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.wrong(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT 1 / 0 = 0';
CREATE FUNCTION hostile.wrong(oid, oid) RETURNS boolean LANGUAGE sql AS 'SELECT 1 / 0 = 0';
CREATE FUNCTION hostile.wrong(float8, float8) RETURNS boolean LANGUAGE sql AS 'SELECT 1 / 0 = 0';
CREATE OPERATOR hostile.= (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile.wrong);
CREATE OPERATOR hostile.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = hostile.wrong);
CREATE OPERATOR hostile.< (LEFTARG = float8, RIGHTARG = float8, FUNCTION = hostile.wrong);
CREATE TABLE areas (LIKE region_index INCLUDING DEFAULTS) PARTITION BY LIST (code);
CREATE TABLE areas_a PARTITION OF areas FOR VALUES IN ('A');
"""


def test_the_search_path_of_whoever_writes_does_not_matter(database: str, listener: psycopg.Connection) -> None:
    run(database, *HOSTILE.strip().split(";\n"))
    assert make_triggers(database, table="areas") is Trigger.CREATED
    with psycopg.connect(database, autocommit=True) as session:
        session.execute("SET search_path = hostile, public, pg_catalog")
        for statement in (
            "INSERT INTO areas (code, name, cron_schedule) VALUES ('A', 'N', '@daily')",
            "UPDATE areas SET name = 'x'",
            "DELETE FROM areas",
            "TRUNCATE areas_a",
        ):
            session.execute(statement.encode())
            assert sorted(heard(listener)) == ["public.areas", "public.areas_a"]


def test_a_drop_of_our_schema_takes_the_triggers_along(database: str, hot: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.DependentObjectsStillExist):
        run(database, "DROP SCHEMA region_tick")
    run(database, "DROP SCHEMA region_tick CASCADE")
    assert value(database, "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'region_index'::regclass") == 0
    hot.execute("UPDATE region_index SET name = 'x'")


@pytest.mark.parametrize("whole", [True, False], ids=["with our schema", "without our schema"])
def test_a_restored_table_can_be_written_to(postgres: Server, database: str, whole: bool) -> None:
    add_regions(database, 3)
    bin_folder = find_programs(chosen_major(os.environ))
    options = [] if whole else ["--schema=public"]
    dump = subprocess.run(
        [bin_folder.path("pg_dump"), *options, database], capture_output=True, check=True, text=True, timeout=60
    ).stdout
    with new_database(postgres) as name:
        url = postgres.url(name)
        restored = subprocess.run(
            [bin_folder.path("psql"), "--quiet", "--no-psqlrc", url],
            input=dump, capture_output=True, check=True, text=True, timeout=60,
        )  # fmt: skip
        assert ('schema "region_tick" does not exist' in restored.stderr) is not whole
        assert state_of_triggers(url) is (Trigger.FOUND if whole else Trigger.MISSING)
        run(url, "UPDATE region_index SET name = 'x'", "DELETE FROM region_index", "TRUNCATE region_index")


def test_a_full_queue_of_notifications_lets_writes_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that listens and never ends its transaction fills the queue, and then the COMMIT of a NOTIFY fails."""
    monkeypatch.delenv("POSTGRES", raising=False)  # before version 17 the queue has 8 GB
    with Postgres.temporary() as server:
        url = server.url()
        run(url, "ALTER SYSTEM SET max_notify_queue_pages = 64")
        server.stop()
        server.start()
        asyncio.run(migrate(DatabaseUrl.parse(url)))
        add_regions(url, 3)
        with psycopg.connect(url) as idle, psycopg.connect(url, autocommit=True) as writer:
            idle.execute("LISTEN elsewhere")
            idle.commit()
            idle.execute("SELECT 1")
            fill = "SELECT pg_notify('elsewhere', rpad(n::text, 7000)) FROM generate_series(1, 30) n"
            while value(url, "SELECT pg_notification_queue_usage() < 0.9"):
                writer.execute(fill)
            with pytest.raises(psycopg.errors.ProgramLimitExceeded, match="too many notifications"):
                writer.execute(fill)
            for statement in (
                "UPDATE region_index SET name = 'x'",
                "DELETE FROM region_index",
                "TRUNCATE region_index",
            ):
                writer.execute(statement.encode())
