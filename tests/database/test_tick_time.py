"""ledger/tick_time.py on a real Postgres: which rows of the ledger say how long ticks take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from region_operator.database.engine import make_engine
from region_operator.ledger.tick_time import FEWEST_TICKS, SAMPLED_TICKS, read_tick_time
from region_operator.plan.forecast import TickTime
from region_tick.database_url import DatabaseUrl

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

SOURCE = "public.region_index"

REGION = """
INSERT INTO region_tick.region_schedule (source, region_id, cron, code, valid_from, valid_to, cronjob,
    start_deadline_seconds)
VALUES (:source, :region, '* * * * *', 'a', now() - interval '3 days', CAST(:valid_to AS timestamptz), 'a', 20)
"""
RUNS = """
INSERT INTO region_tick.job_run (source, region_id, tick_at, manual_uid, region_code, cron, state, attempt, created_at,
    started_at, finished_at)
SELECT :source, :region, at, :manual_uid, 'a', '* * * * *', 'succeeded', 1, claimed,
    CASE WHEN :ran THEN claimed END, claimed + :seconds * interval '1 second'
FROM (
    SELECT at, at + (2 + number % 7) * interval '1 second' AS claimed
    FROM (
        SELECT number, date_trunc('minute', now()) - (number + :minutes_ago) * interval '1 minute' AS at
        FROM generate_series(0, :count - 1) AS number) AS ticks) AS claims
"""


async def add_region(engine: AsyncEngine, region: str, *, source: str = SOURCE, valid_to: str | None = None) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(REGION), {"source": source, "region": region, "valid_to": valid_to})


async def add_runs(engine: AsyncEngine, region: str, count: int, *, seconds: float, **values: Any) -> None:
    """Make the rows of a region's latest ticks. Each was claimed 2 to 8 s after its minute, the latest after 2 s."""
    others = {"source": SOURCE, "manual_uid": "", "ran": True, "minutes_ago": 5} | values
    async with engine.begin() as connection:
        await connection.execute(text(RUNS), {"region": region, "count": count, "seconds": seconds} | others)


async def test_the_mean_of_all_ticks_and_the_quickest_start_are_read(engine: AsyncEngine) -> None:
    for region, seconds in (("1", 1), ("2", 4), ("3", 10)):
        await add_region(engine, region)
        await add_runs(engine, region, FEWEST_TICKS, seconds=seconds)
    assert await read_tick_time(engine, SOURCE) == TickTime(start_seconds=2, run_seconds=5, measured=True)


async def test_too_few_ticks_tell_nothing(engine: AsyncEngine) -> None:
    assert await read_tick_time(engine, SOURCE) is None
    await add_region(engine, "1")
    await add_runs(engine, "1", FEWEST_TICKS - 1, seconds=1)
    assert await read_tick_time(engine, SOURCE) is None


async def test_only_scheduled_ticks_that_ran_within_a_day_for_a_region_of_today_count(engine: AsyncEngine) -> None:
    await add_region(engine, "1")
    await add_runs(engine, "1", FEWEST_TICKS, seconds=3)
    for region in ("never ran", "long ago", "by hand"):
        await add_region(engine, region)
    await add_runs(engine, "never ran", FEWEST_TICKS, seconds=99, ran=False)
    await add_runs(engine, "long ago", FEWEST_TICKS, seconds=99, minutes_ago=25 * 60)
    await add_runs(engine, "by hand", FEWEST_TICKS, seconds=99, manual_uid="u")
    await add_region(engine, "gone", valid_to="now")
    await add_runs(engine, "gone", FEWEST_TICKS, seconds=99)
    await add_region(engine, "another table's", source="public.other")
    await add_runs(engine, "another table's", FEWEST_TICKS, seconds=99, source="public.other")
    assert await read_tick_time(engine, SOURCE) == TickTime(start_seconds=2, run_seconds=3)


async def test_of_a_region_the_latest_ticks_count(engine: AsyncEngine) -> None:
    await add_region(engine, "1")
    await add_runs(engine, "1", 300, seconds=99, minutes_ago=5 + SAMPLED_TICKS)
    await add_runs(engine, "1", SAMPLED_TICKS, seconds=1)
    assert await read_tick_time(engine, SOURCE) == TickTime(start_seconds=2, run_seconds=1)


async def test_clocks_that_differ_make_no_start_before_the_minute(engine: AsyncEngine) -> None:
    await add_region(engine, "1")
    await add_runs(engine, "1", FEWEST_TICKS, seconds=1)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE region_tick.job_run SET created_at = tick_at - interval '1 hour'"))
    assert await read_tick_time(engine, SOURCE) == TickTime(start_seconds=0.1, run_seconds=1)


async def test_without_our_schema_postgres_says_so(empty_database: str) -> None:
    engine = make_engine(DatabaseUrl.parse(empty_database))
    with pytest.raises(ProgrammingError, match=r"region_tick\.\w+"):
        await read_tick_time(engine, SOURCE)
    await engine.dispose()
