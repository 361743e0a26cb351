"""database/indexes.py: standing partitions get their indexes, and no tick waits for them."""

from __future__ import annotations

import asyncio
import logging
from datetime import date
from typing import TYPE_CHECKING

import psycopg
from sqlalchemy import text

from region_operator.database.indexes import Indexes, build_indexes, find_missing_indexes
from region_operator.database.store import Store
from tests.database.schema import run, value
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest
    from sqlalchemy.ext.asyncio import AsyncEngine

TODAY = date(2026, 11, 29)
TICK = (
    "INSERT INTO region_tick.job_run (source, region_id, tick_at, region_code, cron, state)"
    " VALUES ('s', '{}', '2020-01-01', '', '', 'succeeded')"
)
BUILT = ["job_run_default_failed", "job_run_default_ended"]
INVALID = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
UNDER_WAY = "SELECT count(*) FROM pg_stat_progress_create_index"
LEFTOVER = (
    "CREATE INDEX job_run_default_ended ON region_tick.job_run_default (finished_at)",
    "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'region_tick.job_run_default_ended'::regclass",
)


async def missing(engine: AsyncEngine) -> set[str]:
    return {index.name for index in await find_missing_indexes(engine)}


async def test_a_partition_that_stood_before_gets_what_it_lacks(engine: AsyncEngine, database: str) -> None:
    run(database, TICK.format(1))
    assert value(database, INVALID) == 2  # the two of job_run itself: a partition lacks them
    assert sorted(await build_indexes(engine)) == sorted(BUILT)
    assert await missing(engine) == set()
    assert value(database, INVALID) == 0
    assert await build_indexes(engine) == []


async def test_a_new_partition_has_them_from_the_start(engine: AsyncEngine) -> None:
    """A migrated database has the partitions of the next days."""
    assert await missing(engine) == set(BUILT)


async def test_what_a_build_that_was_cut_off_left_is_built_anew(engine: AsyncEngine, database: str) -> None:
    run(database, *LEFTOVER)
    await build_indexes(engine)
    assert value(database, INVALID) == 0


async def test_a_build_waits_for_a_writer_and_no_writer_for_the_build(engine: AsyncEngine, database: str) -> None:
    with psycopg.connect(database) as writer:
        writer.execute(TICK.format(1).encode())
        build = asyncio.create_task(build_indexes(engine))
        await asyncio.to_thread(eventually, lambda: value(database, UNDER_WAY) == 1, what="it builds")
        run(database, "SET lock_timeout = '1s'", TICK.format(2))
        assert not build.done()
        writer.commit()
    assert sorted(await build) == sorted(BUILT)


async def test_the_store_builds_beside_once_a_day(
    engine: AsyncEngine, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "region_operator.database.indexes")
    async with Store(lambda: database, may_migrate=False) as store:
        await store.open()
    assert await missing(engine) == set(BUILT)
    indexes = Indexes(may_build=True)
    indexes.keep(engine, TODAY)
    await asyncio.to_thread(eventually, lambda: value(database, INVALID) == 0, what="they are built")
    async with engine.begin() as connection:
        await connection.execute(text("DROP INDEX region_tick.job_run_ended"))
        await connection.execute(text("CREATE INDEX job_run_ended ON ONLY region_tick.job_run (finished_at)"))
    indexes.keep(engine, TODAY)
    await indexes.stop()
    assert [record.message for record in caplog.records] == ["indexes built"]
    assert await missing(engine)


async def test_a_build_that_is_refused_is_told(
    stranger: Callable[[str], str], database: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = stranger(database)
    role = url.removeprefix("postgresql://").partition(":")[0]
    run(
        database,
        f"GRANT USAGE ON SCHEMA region_tick TO {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA region_tick TO {role}",
    )
    async with Store(lambda: url, may_migrate=True) as store:
        await store.open()
        said = lambda: "indexes not built" in [record.message for record in caplog.records]  # noqa: E731
        await asyncio.to_thread(eventually, said, what="it is told")
    run(database, f"DROP OWNED BY {role}")


async def test_a_store_that_is_closed_leaves_no_build_behind(engine: AsyncEngine, database: str) -> None:
    with psycopg.connect(database) as writer:
        writer.execute(TICK.format(1).encode())
        async with asyncio.timeout(20):
            async with Store(lambda: database, may_migrate=True) as store:
                await store.open()
                await asyncio.to_thread(eventually, lambda: value(database, UNDER_WAY) == 1, what="it builds")
        writer.commit()
    await build_indexes(engine)
    assert value(database, INVALID) == 0
