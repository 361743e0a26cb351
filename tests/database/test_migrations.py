"""Databases of every kind are brought to the schema of this release, once, whoever asks and however often."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import DBAPIError

from region_operator.database.engine import make_engine, transaction
from region_operator.database.migrate import MigrationError, SchemaState, migrate, newest_revision, schema_state
from region_operator.database.partitions import ensure_partitions, partition_name
from region_operator.database.region_table import RegionTable, Trigger
from region_operator.database.tables import job_run
from region_tick.contract import State
from region_tick.database_url import DatabaseUrl

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

DAYS = 15


def run(database: str, *statements: str) -> None:
    """Run statements as the database's owner."""
    with psycopg.connect(database, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def value(database: str, query: str) -> object:
    """Return the one value of a query."""
    with psycopg.connect(database) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


async def state(database: str) -> SchemaState:
    """Return the state of a database's schema."""
    engine = make_engine(DatabaseUrl.parse(database))
    try:
        return await schema_state(engine)
    finally:
        await engine.dispose()


async def test_an_empty_database(empty_database: str) -> None:
    assert await state(empty_database) is SchemaState.MISSING
    report = await migrate(DatabaseUrl.parse(empty_database))
    assert (report.before, report.region_table, report.trigger) == (None, RegionTable.CREATED, Trigger.CREATED)
    assert len(report.partitions) == DAYS
    assert await state(empty_database) is SchemaState.CURRENT


async def test_a_second_migration_changes_nothing(database: str) -> None:
    last_write = "SELECT max(xmin::text::bigint) FROM pg_class"
    before = value(database, last_write)
    report = await migrate(DatabaseUrl.parse(database))
    assert (report.before, report.region_table, report.trigger) == (report.after, RegionTable.FOUND, Trigger.FOUND)
    assert report.partitions == []
    assert value(database, last_write) == before


async def test_concurrent_migrations_wait_for_each_other(empty_database: str) -> None:
    reports = await asyncio.gather(*(migrate(DatabaseUrl.parse(empty_database)) for _ in range(4)))
    assert sorted(report.before is None for report in reports) == [False, False, False, True]
    assert sorted(len(report.partitions) for report in reports) == [0, 0, 0, DAYS]


@pytest.fixture
def next_revision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """One revision more, as the next release may have it, made by calling this with a statement of it."""
    shutil.copytree(files("region_operator.database") / "migrations", tmp_path / "migrations")  # type: ignore[arg-type]
    monkeypatch.setattr("region_operator.database.migrate.MIGRATIONS", str(tmp_path / "migrations"))

    def write(statement: str) -> None:
        revision = REVISION.format(newest=newest_revision(), statement=statement)
        (tmp_path / "migrations/versions/9999_next.py").write_text(revision)

    return write


REVISION = """
from alembic import op
revision, down_revision = "9999", {newest!r}
def upgrade() -> None:
    op.execute("CREATE TABLE region_tick.next ()")
    op.execute({statement!r})
"""


async def test_an_older_schema(database: str, next_revision: Callable[[str], None]) -> None:
    run(database, "ALTER TABLE region_index RENAME TO away")
    before = newest_revision()
    next_revision("SELECT 1")
    assert await state(database) is SchemaState.OLDER
    report = await migrate(DatabaseUrl.parse(database))
    assert (report.before, report.after, report.region_table) == (before, "9999", RegionTable.MISSING)
    assert await state(database) is SchemaState.CURRENT


async def test_a_failed_migration_leaves_nothing(empty_database: str, next_revision: Callable[[str], None]) -> None:
    next_revision("SELECT 1 / 0")
    with pytest.raises(DBAPIError, match="division by zero"):
        await migrate(DatabaseUrl.parse(empty_database))
    assert await state(empty_database) is SchemaState.MISSING
    assert value(empty_database, "SELECT count(*) FROM pg_namespace WHERE nspname = 'region_tick'") == 0


async def test_a_newer_schema(database: str) -> None:
    run(database, "UPDATE region_tick.alembic_version SET version_num = 'of the future'")
    assert await state(database) is SchemaState.NEWER
    with pytest.raises(MigrationError, match=r"revision of the future.*run a newer release"):
        await migrate(DatabaseUrl.parse(database))


@pytest.mark.parametrize(
    ("relation", "trigger"),
    [
        ("CREATE TABLE region_index (id bigint PRIMARY KEY, cron_schedule text)", Trigger.CREATED),
        ("CREATE TABLE region_index (id bigint) PARTITION BY HASH (id)", Trigger.CREATED),
        ("CREATE VIEW region_index AS SELECT 1::bigint AS id", Trigger.NO_TABLE),
        ("CREATE MATERIALIZED VIEW region_index AS SELECT 1::bigint AS id", Trigger.NO_TABLE),
    ],
)
async def test_a_table_that_is_there_is_left_as_it_is(empty_database: str, relation: str, trigger: Trigger) -> None:
    run(empty_database, relation)
    report = await migrate(DatabaseUrl.parse(empty_database))
    assert (report.region_table, report.trigger) == (RegionTable.FOUND, trigger)
    assert value(empty_database, "SELECT pg_typeof((SELECT max(id) FROM region_index))::text") == "bigint"


@pytest.mark.parametrize("schema", ["app", 'Odd " name: %s'])
async def test_the_schema_of_the_url(empty_database: str, schema: str) -> None:
    report = await migrate(replace(DatabaseUrl.parse(empty_database), schema=schema))
    assert (report.region_table, report.trigger) == (RegionTable.CREATED, Trigger.CREATED)
    assert value(empty_database, "SELECT schemaname FROM pg_tables WHERE tablename = 'region_index'") == schema


async def test_a_dropped_table_is_not_made_again(database: str) -> None:
    run(database, "ALTER TABLE region_index RENAME TO away")
    report = await migrate(DatabaseUrl.parse(database))
    assert (report.region_table, report.trigger) == (RegionTable.MISSING, Trigger.NO_TABLE)


async def test_a_locked_table_gets_its_trigger_another_time(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("region_operator.database.migrate.LOCK_TIMEOUT_SECONDS", 0.1)
    run(database, "DROP TRIGGER region_tick_notify ON region_index")
    with psycopg.connect(database) as writer:
        writer.execute("UPDATE region_index SET active = active")
        assert (await migrate(DatabaseUrl.parse(database))).trigger is Trigger.REFUSED
    assert (await migrate(DatabaseUrl.parse(database))).trigger is Trigger.CREATED


async def test_without_any_right(stranger: Callable[[str], str], empty_database: str) -> None:
    url = stranger(empty_database)
    with pytest.raises(MigrationError, match=r"may not make the schema region_tick.*Grant it CREATE") as caught:
        await migrate(DatabaseUrl.parse(url))
    assert url.partition("@")[0] not in str(caught.value)
    assert await state(url) is SchemaState.MISSING


async def test_without_rights_on_the_users_table(stranger: Callable[[str], str], empty_database: str) -> None:
    url = stranger(empty_database)
    run(
        empty_database,
        "CREATE TABLE region_index (id bigint PRIMARY KEY)",
        f"CREATE SCHEMA region_tick AUTHORIZATION {urlsplit(url).username}",
    )
    report = await migrate(DatabaseUrl.parse(url))
    assert (report.region_table, report.trigger) == (RegionTable.FOUND, Trigger.REFUSED)
    run(empty_database, f"GRANT TRIGGER ON region_index TO {urlsplit(url).username}")
    assert (await migrate(DatabaseUrl.parse(url))).trigger is Trigger.CREATED


async def test_without_the_right_to_make_the_users_table(stranger: Callable[[str], str], empty_database: str) -> None:
    url = stranger(empty_database)
    run(empty_database, f"CREATE SCHEMA region_tick AUTHORIZATION {urlsplit(url).username}")
    report = await migrate(DatabaseUrl.parse(url))
    assert (report.region_table, report.trigger) == (RegionTable.MISSING, Trigger.NO_TABLE)
    assert await state(url) is SchemaState.CURRENT


def row(at: datetime) -> dict[str, object]:
    """Return a job_run row."""
    return {
        "source": "s",
        "region_id": "1",
        "tick_at": at,
        "region_code": "c",
        "cron": "* * * * *",
        "state": State.MISSED,
    }


async def test_rows_go_to_the_partition_of_their_utc_day(engine: AsyncEngine) -> None:
    midnight = datetime(2030, 3, 31, tzinfo=UTC)
    async with transaction(engine) as connection:
        assert await ensure_partitions(connection, midnight.date(), 0) == [midnight.date()]
        moments = [
            midnight - timedelta(seconds=1),
            midnight,
            midnight + timedelta(days=1, seconds=-1),
            midnight + timedelta(days=1),
        ]
        await connection.execute(insert(job_run), [row(at) for at in moments])
        partitions = await connection.execute(
            text("SELECT tableoid::regclass::text FROM region_tick.job_run ORDER BY tick_at")
        )
        ours = f"region_tick.{partition_name(midnight.date())}"
        assert list(partitions.scalars()) == ["region_tick.job_run_default", ours, ours, "region_tick.job_run_default"]


async def test_only_missing_partitions_are_made(engine: AsyncEngine) -> None:
    today = date(2030, 1, 1)
    async with transaction(engine) as connection:
        assert await ensure_partitions(connection, today, 1) == [today, today + timedelta(days=1)]
        assert await ensure_partitions(connection, today, 2) == [today + timedelta(days=2)]
        assert await ensure_partitions(connection, today, 2) == []


async def test_a_day_whose_rows_are_in_the_default_partition_keeps_them_there(engine: AsyncEngine) -> None:
    today = date(2030, 1, 1)
    async with transaction(engine) as connection:
        await connection.execute(insert(job_run), row(datetime(2030, 1, 2, 12, tzinfo=UTC)))
        assert await ensure_partitions(connection, today, 2) == [today, today + timedelta(days=2)]
    async with transaction(engine) as connection:
        assert (await connection.execute(text("SELECT count(*) FROM region_tick.job_run"))).scalar_one() == 1
        assert await ensure_partitions(connection, today, 2) == []


async def test_a_long_reader_is_given_way_to(engine: AsyncEngine) -> None:
    day = date(2030, 1, 1)
    async with transaction(engine, lock_timeout_seconds=0.1) as connection:
        async with transaction(engine) as reader:
            await reader.execute(text("SELECT FROM region_tick.job_run"))
            assert await ensure_partitions(connection, day, 3) == []
        assert await ensure_partitions(connection, day, 0) == [day]


async def test_partitions_are_made_beside_a_running_tick(engine: AsyncEngine) -> None:
    now = datetime.now(UTC)
    async with transaction(engine) as tick:
        await tick.execute(insert(job_run), row(now))
        async with transaction(engine, lock_timeout_seconds=0.5) as connection:
            assert await ensure_partitions(connection, date(2030, 1, 1), 0) == [date(2030, 1, 1)]
