"""database/retention.py on a real Postgres: old days go, recent days stay, and no reader has to wait."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from region_operator.database.partitions import ensure_partitions, list_partitions, partition_name
from region_operator.database.retention import BATCH, PASSING_FOR_SECONDS, forget, is_passing
from region_operator.database.store import Store

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

TODAY = datetime.now(UTC).date()
CUTOFF = TODAY - timedelta(days=30)


async def run(engine: AsyncEngine, statement: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(statement))


async def value(engine: AsyncEngine, query: str) -> object:
    async with engine.begin() as connection:
        return (await connection.execute(text(query))).scalar_one()


async def partition(engine: AsyncEngine, day: date, days: int) -> None:
    async with engine.begin() as connection:
        await ensure_partitions(connection, day, days_ahead=days)


async def test_old_days_are_dropped_and_recent_ones_stay(engine: AsyncEngine) -> None:
    await partition(engine, CUTOFF - timedelta(days=2), 2)
    assert await forget(engine, before=CUTOFF) == [partition_name(CUTOFF - timedelta(days=n)) for n in (2, 1)]
    async with engine.begin() as connection:
        left = await list_partitions(connection)
    assert min(left - {"job_run_default"}) == partition_name(CUTOFF)
    assert await forget(engine, before=CUTOFF) == []


async def test_old_rows_without_a_partition_go_too(engine: AsyncEngine) -> None:
    insert = (
        "INSERT INTO region_tick.job_run (source, region_id, tick_at, region_code, cron, state)"
        f" SELECT 's', n::text, timestamptz '{{}} 00:00Z', '', '', 'succeeded' FROM generate_series(1, {BATCH + 1}) n"
    )
    await run(engine, insert.format(CUTOFF - timedelta(days=1)))
    await run(engine, insert.format(CUTOFF))
    await forget(engine, before=CUTOFF)
    assert await value(engine, "SELECT count(*) FROM region_tick.job_run") == BATCH + 1


async def test_schedules_that_ended_go_and_those_in_force_stay(engine: AsyncEngine) -> None:
    for region, end in (("1", f"'{CUTOFF}'::timestamptz - interval '1 hour'"), ("2", "NULL"), ("3", "now()")):
        await run(
            engine,
            "INSERT INTO region_tick.region_schedule VALUES"
            f" ('s', '{region}', '@daily', '', '2020-01-01', {end}, 'c', 100)",
        )
    await forget(engine, before=CUTOFF)
    assert await value(engine, "SELECT string_agg(region_id, '' ORDER BY 1) FROM region_tick.region_schedule") == "23"


async def test_suspensions_go_when_their_last_tick_is_old(engine: AsyncEngine) -> None:
    for region, last in (("1", f"'{CUTOFF}'::timestamptz - interval '1 hour'"), ("2", "now()")):
        await run(
            engine,
            "INSERT INTO region_tick.suspension (source, region_id, suspended_from, region_code, cron, first_tick_at,"
            f" last_tick_at, ticks, counted_until) VALUES ('s', '{region}', '2020-01-01', '', '', '2020-01-01',"
            f" {last}, 1, now())",
        )
    await forget(engine, before=CUTOFF)
    assert await value(engine, "SELECT string_agg(region_id, '' ORDER BY 1) FROM region_tick.suspension") == "2"


async def test_a_long_reader_is_given_way_to(engine: AsyncEngine, database: str) -> None:
    await partition(engine, CUTOFF - timedelta(days=1), 0)
    async with engine.connect() as reader:
        await reader.execute(text("SELECT count(*) FROM region_tick.job_run"))
        with pytest.raises(OperationalError) as caught:
            await forget(engine, before=CUTOFF)
        assert is_passing(caught.value)
        now = 1000.0
        async with Store(lambda: database, may_migrate=True, clock=lambda: now) as store:
            await store.open()
            await reader.rollback()
            now += PASSING_FOR_SECONDS - 1
            await store.open()
            old = f"SELECT to_regclass('region_tick.{partition_name(CUTOFF - timedelta(days=1))}')"
            assert await value(engine, old) is not None  # all ticks would queue up for nothing, again and again
            now += 1
            await store.open()
    assert await value(engine, old) is None
