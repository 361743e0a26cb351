"""database/indexes.py: standing partitions get their indexes, and no tick waits for them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg

from region_operator.database.indexes import build_indexes, find_missing_indexes
from tests.database.schema import run, value
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

TICK = (
    "INSERT INTO region_tick.job_run (source, region_id, tick_at, region_code, cron, state)"
    " VALUES ('s', '{}', '2020-01-01', '', '', 'succeeded')"
)
BUILT = ["job_run_default_failed", "job_run_default_ended", "job_run_default_uncounted"]
INVALID = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
UNDER_WAY = "SELECT count(*) FROM pg_stat_progress_create_index WHERE datname = current_database()"
LEFTOVER = (
    "CREATE INDEX job_run_default_ended ON region_tick.job_run_default (finished_at)",
    "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'region_tick.job_run_default_ended'::regclass",
)


async def missing(engine: AsyncEngine) -> set[str]:
    return {index.name for index in await find_missing_indexes(engine)}


async def test_a_partition_that_stood_before_gets_what_it_lacks(engine: AsyncEngine, database: str) -> None:
    run(database, TICK.format(1))
    assert value(database, INVALID) == 3  # the three of job_run itself: a partition lacks them
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
