"""database/partitions.py on a real Postgres: a partition for each UTC day, made while others read and write."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import insert, text

from region_operator.database.engine import transaction
from region_operator.database.partitions import ensure_partitions, partition_name
from region_operator.database.tables import job_run
from region_tick.contract import State

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine


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
