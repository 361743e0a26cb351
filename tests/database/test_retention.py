"""database/retention.py on a real Postgres: old days go, a few at once, recent days stay, and no reader has to wait."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from region_operator.database.partitions import DEFAULT_PARTITION, ensure_partitions, list_days, partition_name
from region_operator.database.retention import BATCH, OldDay, find_old_days, forget, is_passing

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

TODAY = datetime.now(UTC).date()
CUTOFF = TODAY - timedelta(days=30)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


async def run(engine: AsyncEngine, statement: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(statement))


async def value(engine: AsyncEngine, query: str) -> object:
    async with engine.begin() as connection:
        return (await connection.execute(text(query))).scalar_one()


async def partition(engine: AsyncEngine, day: date, days: int) -> None:
    async with engine.begin() as connection:
        await ensure_partitions(connection, day, days_ahead=days)


async def days_of(engine: AsyncEngine) -> set[date]:
    async with engine.begin() as connection:
        return set(await list_days(connection))


async def add_rows(engine: AsyncEngine, day: date, *, made: datetime, rows: int = 1) -> None:
    """Add rows whose ticks were at midnight of `day`."""
    await run(
        engine,
        "INSERT INTO region_tick.job_run (source, region_id, tick_at, region_code, cron, state, created_at)"
        f" SELECT 's', n::text, timestamptz '{day} 00:00Z', '', '', 'succeeded', '{made.isoformat()}'"
        f" FROM generate_series(1, {rows}) n",
    )


def before_cutoff(days: int) -> OldDay:
    day = CUTOFF - timedelta(days=days)
    return OldDay(day, partition_name(day))


async def test_old_days_are_dropped_and_recent_ones_stay(engine: AsyncEngine) -> None:
    await partition(engine, CUTOFF - timedelta(days=2), 2)
    assert (await forget(engine, before=CUTOFF)).dropped == [before_cutoff(2), before_cutoff(1)]
    assert min(await days_of(engine)) == CUTOFF
    forgotten = await forget(engine, before=CUTOFF)
    assert (forgotten.dropped, forgotten.kept, forgotten.waiting) == ([], [], [])


async def test_no_more_days_go_at_once_than_allowed_the_oldest_first(engine: AsyncEngine) -> None:
    await partition(engine, CUTOFF - timedelta(days=5), 4)
    forgotten = await forget(engine, before=CUTOFF)
    assert forgotten.dropped == [before_cutoff(5), before_cutoff(4)]
    assert forgotten.waiting == [before_cutoff(3), before_cutoff(2), before_cutoff(1)]
    assert (await forget(engine, before=CUTOFF, at_most=100)).dropped == forgotten.waiting


@pytest.mark.parametrize("own_partition", [True, False])
async def test_a_day_with_a_row_that_was_made_within_the_retention_stays(
    engine: AsyncEngine, own_partition: bool
) -> None:
    days = [CUTOFF - timedelta(days=number) for number in (3, 2, 1)]
    if own_partition:
        await partition(engine, days[0], 2)
    for day in days:
        await add_rows(engine, day, made=LONG_AGO)
    await add_rows(engine, days[0] + timedelta(days=1), made=LONG_AGO, rows=0)
    await run(
        engine,
        f"UPDATE region_tick.job_run SET created_at = now() WHERE tick_at = timestamptz '{days[0]} 00:00Z'",
    )
    forgotten = await forget(engine, before=CUTOFF)
    assert [day.day for day in forgotten.kept] == days[:1]
    assert [day.day for day in forgotten.dropped] == days[1:]  # a day that stays holds up no other
    assert await value(engine, "SELECT count(*) FROM region_tick.job_run") == 1


async def test_a_suspended_tick_that_was_run_again_within_the_retention_keeps_no_day(engine: AsyncEngine) -> None:
    """Its row is made by its rerun."""
    day = CUTOFF - timedelta(days=1)
    await partition(engine, day, 0)
    await add_rows(engine, day, made=datetime.now(UTC))
    assert [each.day for each in (await forget(engine, before=CUTOFF)).kept] == [day]
    await run(engine, "UPDATE region_tick.job_run SET rerun_uid = 'rerun-1'")
    assert [each.day for each in (await forget(engine, before=CUTOFF)).dropped] == [day]


async def test_the_last_moment_of_the_day_before_the_retention_is_old(engine: AsyncEngine) -> None:
    await partition(engine, CUTOFF - timedelta(days=2), 1)
    midnight = datetime(CUTOFF.year, CUTOFF.month, CUTOFF.day, tzinfo=UTC)
    await add_rows(engine, CUTOFF - timedelta(days=2), made=midnight - timedelta(microseconds=1))
    await add_rows(engine, CUTOFF - timedelta(days=1), made=midnight)
    forgotten = await forget(engine, before=CUTOFF)
    assert (forgotten.dropped, forgotten.kept) == ([before_cutoff(2)], [before_cutoff(1)])


async def test_old_rows_without_a_partition_go_too_day_by_day(engine: AsyncEngine) -> None:
    days = [CUTOFF - timedelta(days=number) for number in (3, 2, 1, 0)]
    for day in days:
        await add_rows(engine, day, made=LONG_AGO, rows=BATCH + 1 if day == days[0] else 1)
    forgotten = await forget(engine, before=CUTOFF)
    assert forgotten.dropped == [OldDay(day, DEFAULT_PARTITION) for day in days[:2]]
    assert await value(engine, "SELECT count(*) FROM region_tick.job_run") == 2
    assert await find_old_days(engine, before=CUTOFF) == forgotten.waiting


async def test_rows_and_tables_that_are_nobodys_day_stay(engine: AsyncEngine) -> None:
    await run(
        engine,
        "INSERT INTO region_tick.job_run (source, region_id, tick_at, region_code, cron, state)"
        " VALUES ('s', '1', '-infinity', '', '', 'succeeded')",
    )
    await run(
        engine,
        "CREATE TABLE region_tick.job_run_20209999 PARTITION OF region_tick.job_run"
        " FOR VALUES FROM ('2020-01-01') TO ('2020-01-02')",
    )
    forgotten = await forget(engine, before=CUTOFF)
    assert (forgotten.dropped, forgotten.kept, forgotten.waiting) == ([], [], [])


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
        await run(engine, SUSPENSION.format(region, last))
    await forget(engine, before=CUTOFF)
    assert await value(engine, "SELECT string_agg(region_id, '' ORDER BY 1) FROM region_tick.suspension") == "2"


async def test_what_else_is_old_stays_as_long_as_the_days_of_its_time(engine: AsyncEngine) -> None:
    await partition(engine, CUTOFF - timedelta(days=4), 3)
    for number in (4, 3, 2, 1):
        last = f"timestamptz '{CUTOFF - timedelta(days=number)} 12:00Z'"
        await run(engine, SUSPENSION.format(number, last))
        await run(
            engine,
            "INSERT INTO region_tick.region_schedule VALUES"
            f" ('s', '{number}', '@daily', '', '2020-01-01', {last}, 'c', 100)",
        )
        await run(engine, f"INSERT INTO region_tick.tick_hour VALUES ('s', 'ours', {last}, 'missed', '{number}', 1)")
    await forget(engine, before=CUTOFF)
    for table, name in (("suspension", "region_id"), ("region_schedule", "region_id"), ("tick_hour", "reason")):
        left = await value(engine, f"SELECT string_agg({name}, '' ORDER BY {name}) FROM region_tick.{table}")
        assert left == "12", table


SUSPENSION = (
    "INSERT INTO region_tick.suspension (source, region_id, suspended_from, region_code, cron, first_tick_at,"
    " last_tick_at, ticks, counted_until) VALUES ('s', '{}', '2020-01-01', '', '', '2020-01-01', {}, 1, now())"
)


async def test_a_long_reader_is_given_way_to(engine: AsyncEngine) -> None:
    await partition(engine, CUTOFF - timedelta(days=1), 0)
    async with engine.connect() as reader:
        await reader.execute(text("SELECT count(*) FROM region_tick.job_run"))
        with pytest.raises(OperationalError) as caught:
            await forget(engine, before=CUTOFF)
        assert is_passing(caught.value)
    assert before_cutoff(1).day in await days_of(engine)
