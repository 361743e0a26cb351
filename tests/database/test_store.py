"""store.py: a database that comes late, moves, or has the wrong schema."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from region_operator.database.store import SchemaError, Store
from tests.database.schema import value
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine


NOT_BUILT = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
"""An index of job_run is not valid before each partition has it. Its build and a change of job_run would deadlock."""


async def name_of(engine: AsyncEngine) -> str:
    async with engine.connect() as connection:
        return str((await connection.execute(text("SELECT current_database()"))).scalar_one())


async def test_it_migrates_and_keeps_the_engine_as_long_as_the_url(empty_database: str, database: str) -> None:
    urls = [empty_database]
    async with Store(lambda: urls[0], may_migrate=True) as store:
        first = await store.open()
        assert (await store.open()).engine is first.engine
        urls[0] = database
        second = await store.open()
        assert await name_of(first.engine) != await name_of(second.engine)
        await first.engine.dispose()


async def test_without_the_right_to_migrate_a_wrong_schema_is_an_error_that_says_what_to_do(
    empty_database: str,
) -> None:
    async with Store(lambda: empty_database, may_migrate=False) as store:
        with pytest.raises(SchemaError, match=r"missing: run `region-operator migrate`"):
            await store.open()


async def test_a_backup_of_an_older_schema_is_migrated_when_it_is_brought_back(
    database: str, engine: AsyncEngine
) -> None:
    async def bring_back() -> None:
        async with engine.begin() as connection:
            await connection.execute(text("DROP TABLE region_tick.budget"))
            await connection.execute(
                text("ALTER TABLE region_tick.upstream DROP COLUMN fresh_seconds, DROP COLUMN fresh_until")
            )
            dropped = ", ".join(f"DROP COLUMN {name} CASCADE" for name in ("exit_code", "log_lines", "log_attempt"))
            await connection.execute(text(f"ALTER TABLE region_tick.job_run {dropped}"))
            await connection.execute(text("DROP INDEX region_tick.region_schedule_code"))
            await connection.execute(text("UPDATE region_tick.alembic_version SET version_num = '0016'"))

    async with Store(lambda: database, may_migrate=True) as store:
        await store.open()
        await asyncio.to_thread(eventually, lambda: value(database, NOT_BUILT) == 0, what="the store built its indexes")
        await bring_back()
        again = await store.open()
        async with again.engine.connect() as connection:
            assert (await connection.execute(text("SELECT count(*) FROM region_tick.budget"))).scalar_one() == 0
    async with Store(lambda: database, may_migrate=False) as store:
        await store.open()
        await bring_back()
        for _ in range(2):
            with pytest.raises(SchemaError, match=r"older: run `region-operator migrate`"):
                await store.open()


@pytest.mark.parametrize("may_migrate", [False, True])
async def test_a_server_that_cannot_be_written_to_can_be_read(
    database: str, engine: AsyncEngine, may_migrate: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with engine.begin() as connection:
        today = (await connection.execute(text("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')"))).scalar_one()
        await connection.execute(text(f"DROP TABLE region_tick.job_run_{today}"))
        name = (await connection.execute(text("SELECT current_database()"))).scalar_one()
        await connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
    caplog.set_level(logging.INFO)
    async with Store(lambda: database, may_migrate=may_migrate) as store:
        opened = await store.open()
        assert await name_of(opened.engine) == name
        said = lambda: "not forgotten yet" in [record.message for record in caplog.records]  # noqa: E731
        await asyncio.to_thread(eventually, said, what="it is told")
    assert "no partitions" in [record.message for record in caplog.records]
