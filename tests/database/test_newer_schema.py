"""A schema that a newer release made: used where the database says that it may be, else left alone and told of."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from region_operator.database.migrate import SchemaState, newest_revision
from region_operator.database.store import Database, SchemaError, Store
from region_operator.ledger.service import FINALIZE_EVERY_SECONDS, LedgerService
from region_operator.regions.slots import ALL_SLOTS
from region_operator.regions.source import read_regions
from region_operator.scheduler import Source
from region_tick.contract import VERSION
from tests.database.schema import found, run, value
from tests.harness.examples import scheduler
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from region_operator.kube.api import Api

NEWER = "UPDATE region_tick.alembic_version SET version_num = '9999'"
TOO_NEW = "UPDATE region_tick.compatibility SET min_reader = '99.1.0'"
RULES = {
    TOO_NEW: "release 99.1.0 or newer",
    "UPDATE region_tick.compatibility SET min_reader = 'the next'": "release the next or newer",
    "DELETE FROM region_tick.compatibility": "a newer release",
    "DROP TABLE region_tick.compatibility": "a newer release",
}
"""What a newer schema may say of who may use it, and what to run then."""
OLD_PARTITION = (
    "CREATE TABLE region_tick.job_run_20200101 PARTITION OF region_tick.job_run"
    " FOR VALUES FROM ('2020-01-01 00:00Z') TO ('2020-01-02 00:00Z')"
)
NO_PARTITIONS = """
DO $$
DECLARE
    partition regclass;
BEGIN
    FOR partition IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'region_tick.job_run'::regclass
        AND inhrelid <> 'region_tick.job_run_default'::regclass
    LOOP
        EXECUTE format('DROP TABLE %s', partition);
    END LOOP;
END
$$
"""
COUNT_PARTITIONS = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'region_tick.job_run'::regclass"
REGION = "INSERT INTO region_index (code, name, cron_schedule) VALUES ('a', 'A', '@daily')"
USUAL = ("migrated", "database opened", "indexes built")


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [
        (record.levelname, record.message)
        for record in caplog.records
        if record.name.startswith("region_operator.database.") and record.message not in USUAL
    ]


async def codes(database: Database) -> list[str]:
    reading = await read_regions(database.engine, Source(), default_schema=database.schema)
    return [row["code"] for row in reading.rows]


async def test_the_releases_own_schema_may_be_used_by_the_release(database: str) -> None:
    run(database, NEWER)
    schema = await found(database)
    assert (schema.state, schema.revision) == (SchemaState.NEWER, "9999")
    assert schema.may_be_used_by(VERSION)


@pytest.mark.parametrize("may_migrate", [True, False])
@pytest.mark.parametrize(("rule", "remedy"), RULES.items())
async def test_a_schema_that_is_too_new_is_left_alone_and_regions_are_read(
    database: str, rule: str, remedy: str, may_migrate: bool, caplog: pytest.LogCaptureFixture
) -> None:
    run(database, REGION, NEWER, rule, NO_PARTITIONS, OLD_PARTITION)
    caplog.set_level(logging.INFO)
    async with Store(lambda: database, may_migrate=may_migrate) as store:
        opened = [await store.open() for _ in range(3)][-1]
        assert await codes(opened) == ["a"]
        assert opened.schema_conflict == (
            f"the schema region_tick is at revision 9999, which release {VERSION} may not use,"
            f" so no ledger is kept: run {remedy}"
        )
        assert store.description == f"schema revision: 9999\n{opened.schema_conflict}"
    assert told(caplog) == [("WARNING", "schema left alone")]
    assert value(database, COUNT_PARTITIONS) == 2  # the old one and the default: none was made, none dropped
    assert value(database, "SELECT version_num FROM region_tick.alembic_version") == "9999"


async def test_a_schema_that_does_not_let_us_ask_is_left_alone(database: str, stranger: Callable[[str], str]) -> None:
    url = stranger(database)
    role = url.removeprefix("postgresql://").partition(":")[0]
    run(
        database,
        NEWER,
        f"GRANT USAGE ON SCHEMA region_tick TO {role}",
        f"GRANT SELECT ON region_index, region_tick.alembic_version TO {role}",
        REGION,
    )
    async with Store(lambda: url, may_migrate=False) as store:
        opened = await store.open()
        assert opened.schema_conflict.endswith("run a newer release")
        assert await codes(opened) == ["a"]
    run(database, f"DROP OWNED BY {role}")


@pytest.mark.parametrize("may_migrate", [True, False])
async def test_a_newer_schema_that_may_be_used_is_used(
    database: str, may_migrate: bool, caplog: pytest.LogCaptureFixture
) -> None:
    run(database, NEWER, NO_PARTITIONS, OLD_PARTITION)
    caplog.set_level(logging.INFO)
    async with Store(lambda: database, may_migrate=may_migrate) as store:
        opened = [await store.open() for _ in range(3)][-1]
        assert opened.schema_conflict == ""
        assert store.description == "schema revision: 9999"
        used_and_kept = [("INFO", "schema used"), ("INFO", "forgotten")]
        await asyncio.to_thread(eventually, lambda: told(caplog)[:2] == used_and_kept, what="old days go too")
    assert value(database, COUNT_PARTITIONS) == 16  # fifteen days and the default


async def test_an_older_schema_in_the_place_of_a_newer_one_is_no_conflict_any_more(database: str) -> None:
    async with Store(lambda: database, may_migrate=False) as store:
        run(database, NEWER, TOO_NEW)
        assert (await store.open()).schema_conflict
        run(database, "UPDATE region_tick.alembic_version SET version_num = '0001'")
        with pytest.raises(SchemaError, match="older: run `region-operator migrate`"):
            await store.open()
        run(database, f"UPDATE region_tick.alembic_version SET version_num = '{newest_revision()}'")
        assert (await store.open()).schema_conflict == ""


async def test_an_older_schema_that_cannot_be_migrated_is_an_error_and_no_conflict(database: str) -> None:
    async with Store(lambda: database, may_migrate=True) as store:
        run(database, NEWER, TOO_NEW)
        assert (await store.open()).schema_conflict
        run(database, "UPDATE region_tick.alembic_version SET version_num = '0006'")  # but the next table is there
        for _ in range(2):
            with pytest.raises(SchemaError, match='relation "compatibility" already exists'):
                await store.open()


async def test_a_schema_that_is_migrated_under_a_running_operator_is_noticed(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with Store(lambda: database, may_migrate=True) as store:
        first = await store.open()
        assert await store.open() == first
        run(database, NEWER, TOO_NEW)
        second = await store.open()
        assert second.schema_conflict
        assert second.engine is first.engine
        run(database, f"UPDATE region_tick.alembic_version SET version_num = '{newest_revision()}'")
        assert (await store.open()).schema_conflict == ""
    assert told(caplog) == [("WARNING", "schema left alone"), ("INFO", "schema used")]


async def test_a_schema_that_is_lost_under_a_running_operator_is_left_to_who_needs_it(database: str) -> None:
    async with Store(lambda: database, may_migrate=False) as store:
        first = await store.open()
        run(database, "DROP SCHEMA region_tick CASCADE")
        assert await store.open() == first


async def test_the_ledger_leaves_alone_what_is_to_be_left_alone(
    engine: AsyncEngine, database: str, api_of_nobody: Api, caplog: pytest.LogCaptureFixture
) -> None:
    """Both would fail, and be tried again sooner, if they asked for a table."""
    ledger = LedgerService(api_of_nobody, retention=timedelta(days=30))
    await ledger.save_schedules(Database(engine, "public"), scheduler(), [], slots=ALL_SLOTS, look=1)
    run(database, "DROP SCHEMA region_tick CASCADE")
    await ledger.save_schedules(
        Database(engine, "public", schema_conflict="too new"), scheduler(), [], slots=ALL_SLOTS, look=1
    )
    assert await ledger.finalize() == FINALIZE_EVERY_SECONDS
    assert [record.message for record in caplog.records] == []
