"""ledger/period_queries.py: how far a source is accounted for, and which schedule versions are still needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from sqlalchemy import text

from region_operator.ledger.period_queries import Period, advance, read_periods
from region_operator.ledger.region_schedule_queries import save_versions
from region_operator.ledger.schedule_versions import ScheduleSpec, ScheduleVersion

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

SOURCE = "public.region_index"
SPEC = ScheduleSpec(cron="* * * * *", code="a", cronjob="a-0123456789ab", start_deadline_seconds=20)
MONTH = timedelta(days=30)
Ago: TypeAlias = "Callable[[float], datetime]"


@pytest.fixture
def ago() -> Ago:
    """Minutes before the minute in which the test began. The ledger looks back only 10 minutes, so the import's minute
    would be too old.
    """
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    return lambda minutes: now - timedelta(minutes=minutes)


async def execute(engine: AsyncEngine, statement: str, **values: Any) -> list[tuple[Any, ...]]:
    async with engine.begin() as connection:
        result = await connection.execute(text(statement), values)
        return [tuple(row) for row in result] if result.returns_rows else []


async def save_version(
    engine: AsyncEngine, since: datetime, *, source: str = SOURCE, scheduler: str = "uid", end: datetime | None = None
) -> None:
    row = ScheduleVersion(source=source, region_id="1", spec=SPEC, valid_from=since)
    await save_versions(engine, {row.key: row}, source=source, scheduler=scheduler)
    if end is not None:
        await execute(
            engine,
            "UPDATE region_tick.region_schedule SET valid_to = :end WHERE source = :source",
            end=end,
            source=source,
        )


async def periods(engine: AsyncEngine, *, retention: timedelta = MONTH) -> list[Period]:
    return (await read_periods(engine, scheduler="uid", retention=retention))[1]


async def test_the_account_begins_with_the_first_schedule_and_not_long_ago(engine: AsyncEngine, ago: Ago) -> None:
    assert await periods(engine) == []
    await save_version(engine, ago(60))
    now, [period] = await read_periods(engine, scheduler="uid", retention=MONTH)
    assert timedelta(minutes=9) < now - period.after <= timedelta(minutes=11)
    assert [row.spec for row in period.versions] == [SPEC]
    [again] = await periods(engine)
    assert again.after == again.finalized_until == period.after


async def test_what_is_read_is_in_utc_whatever_the_zone_of_the_session(engine: AsyncEngine, ago: Ago) -> None:
    """By a zone's own minutes and hours no schedule is to be counted."""
    await save_version(engine, ago(9), end=ago(3))
    now, [period] = await read_periods(engine, scheduler="uid", retention=MONTH)
    [row] = period.versions
    moments = (now, period.finalized_until, period.after, row.valid_from, row.valid_to)
    assert [moment and moment.tzinfo for moment in moments] == [UTC] * len(moments)


async def test_an_account_that_is_older_than_the_retention_is_cut(engine: AsyncEngine, ago: Ago) -> None:
    await save_version(engine, ago(5))
    now, [period] = await read_periods(engine, scheduler="uid", retention=timedelta(minutes=1))
    assert period.finalized_until == ago(5) < period.after == now - timedelta(minutes=1)


async def test_a_source_that_was_left_is_accounted_for_to_its_end(engine: AsyncEngine, ago: Ago) -> None:
    await save_version(engine, ago(9), source="public.left", end=ago(3))
    await save_version(engine, ago(3))
    await save_version(engine, ago(9), source="public.other", scheduler="another")
    left, current = await periods(engine)
    assert (left.source, current.source) == ("public.left", SOURCE)
    assert [row.valid_to for row in left.versions] == [ago(3)]
    await advance(engine, "public.left", ago(2))
    assert [period.source for period in await periods(engine)] == [SOURCE]


async def test_the_account_never_goes_back(engine: AsyncEngine, ago: Ago) -> None:
    await save_version(engine, ago(60))
    for minutes in (2, 3):
        await advance(engine, SOURCE, ago(minutes))
    [period] = await periods(engine)
    assert period.after == ago(2)
