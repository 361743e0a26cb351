"""ledger/period_queries.py: how far a source is accounted for, and which schedule versions are still needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from sqlalchemy import text

from region_operator.ledger.period_queries import Period, advance, read_periods
from region_operator.ledger.region_schedule_queries import save_versions
from region_operator.ledger.schedule_versions import ScheduleSpec, ScheduleVersion
from region_operator.regions.slots import slot_of

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
    await save_versions(engine, {row.key: row}, installation=scheduler)
    if end is not None:
        await execute(
            engine,
            "UPDATE region_tick.region_schedule SET valid_to = :end WHERE source = :source",
            end=end,
            source=source,
        )


async def periods(engine: AsyncEngine, *, retention: timedelta = MONTH) -> list[Period]:
    return (await read_periods(engine, installation="uid", retention=retention))[1]


async def test_the_account_begins_with_the_first_schedule_and_not_long_ago(engine: AsyncEngine, ago: Ago) -> None:
    assert await periods(engine) == []
    await save_version(engine, ago(60))
    now, [period] = await read_periods(engine, installation="uid", retention=MONTH)
    assert timedelta(minutes=9) < now - period.after <= timedelta(minutes=11)
    assert [row.spec for row in period.versions] == [SPEC]
    [again] = await periods(engine)
    assert again.after == again.finalized_until == period.after


async def test_what_is_read_is_in_utc_whatever_the_zone_of_the_session(engine: AsyncEngine, ago: Ago) -> None:
    """By a zone's own minutes and hours no schedule is to be counted."""
    await save_version(engine, ago(9), end=ago(3))
    now, [period] = await read_periods(engine, installation="uid", retention=MONTH)
    [row] = period.versions
    moments = (now, period.finalized_until, period.after, row.valid_from, row.valid_to)
    assert [moment and moment.tzinfo for moment in moments] == [UTC] * len(moments)


async def test_an_account_that_is_older_than_the_retention_is_cut(engine: AsyncEngine, ago: Ago) -> None:
    await save_version(engine, ago(5))
    now, [period] = await read_periods(engine, installation="uid", retention=timedelta(minutes=1))
    assert period.finalized_until == ago(5) < period.after == now - timedelta(minutes=1)


async def test_a_source_that_was_left_is_accounted_for_to_its_end(engine: AsyncEngine, ago: Ago) -> None:
    await save_version(engine, ago(9), source="public.left", end=ago(3))
    await save_version(engine, ago(3))
    await save_version(engine, ago(9), source="public.other", scheduler="another")
    left, current = await periods(engine)
    assert (left.source, current.source) == ("public.left", SOURCE)
    assert [row.valid_to for row in left.versions] == [ago(3)]
    await advance(engine, left, ago(2), installation="uid")
    assert [period.source for period in await periods(engine)] == [SOURCE]


async def test_the_account_never_goes_back(engine: AsyncEngine, ago: Ago) -> None:
    await save_version(engine, ago(60))
    [period] = await periods(engine)
    for minutes in (2, 3):
        await advance(engine, period, ago(minutes), installation="uid")
    [period] = await periods(engine)
    assert period.after == ago(2)


async def own(engine: AsyncEngine, slot: int, installation: str, *, until: datetime | None) -> None:
    """Let an installation own a slot since a minute, which brings its account with it, unless `until` is None."""
    await execute(
        engine,
        "INSERT INTO region_tick.slot_owner (source, slot, installation, epoch, accounted_until)"
        " VALUES (:source, :slot, :installation, 2, :until) ON CONFLICT (source, slot)"
        " DO UPDATE SET installation = excluded.installation, epoch = 2, accounted_until = excluded.accounted_until",
        source=SOURCE,
        slot=slot,
        installation=installation,
        until=until,
    )


async def whole_account(engine: AsyncEngine) -> datetime:
    """Return up to when all owners have accounted for the source."""
    [(until,)] = await execute(engine, "SELECT accounted_until FROM region_tick.ledger WHERE source = :s", s=SOURCE)
    assert isinstance(until, datetime)
    return until


async def test_a_slot_that_was_taken_over_is_accounted_for_apart_until_it_has_caught_up(
    engine: AsyncEngine, ago: Ago
) -> None:
    await save_version(engine, ago(9))
    await own(engine, 7, "uid", until=ago(6))
    whole, _ = await periods(engine)
    await advance(engine, whole, ago(2), installation="uid")
    assert await whole_account(engine) == ago(6)
    whole, taken = await periods(engine)
    assert (whole.slots, whole.own_account, whole.finalized_until) == ((slot_of("1"),), False, ago(2))
    assert (taken.slots, taken.own_account, taken.finalized_until) == ((7,), True, ago(6))
    assert (taken.versions, set(taken.taken_over_at), set(whole.taken_over_at)) == ([], {7}, set())
    await advance(engine, taken, ago(4), installation="uid")
    assert await whole_account(engine) == ago(4)
    await advance(engine, taken, ago(2), installation="uid")
    [period] = await periods(engine)
    assert (period.slots, period.own_account) == (tuple(sorted((7, slot_of("1")))), False)
    assert await whole_account(engine) == ago(2)


async def test_each_owner_accounts_for_its_own_and_the_source_is_as_far_as_the_last(
    engine: AsyncEngine, ago: Ago
) -> None:
    await save_version(engine, ago(9))
    [period] = await periods(engine)
    await execute(
        engine,
        "INSERT INTO region_tick.installation (source, installation, namespace, interval_seconds, accounted_until)"
        " VALUES (:source, 'another', 'n', 300, :until)",
        source=SOURCE,
        until=ago(8),
    )
    await own(engine, 7, "another", until=None)
    await advance(engine, period, ago(2), installation="uid")
    assert [period.finalized_until for period in await periods(engine)] == [ago(2)]
    assert await whole_account(engine) == ago(8)


@pytest.mark.parametrize("own_account", [True, False])
async def test_an_account_of_slots_that_another_owns_by_now_is_not_written(
    own_account: bool, engine: AsyncEngine, ago: Ago
) -> None:
    """The new owner would otherwise believe that it has nothing to judge."""
    await save_version(engine, ago(9))
    if own_account:
        await own(engine, slot_of("1"), "uid", until=ago(8))
    [period] = await periods(engine)
    assert period.own_account is own_account
    await own(engine, slot_of("1"), "another", until=ago(7))
    await advance(engine, period, ago(2), installation="uid")
    query = "SELECT accounted_until FROM region_tick.slot_owner"
    assert await execute(engine, query) == [(ago(7),)]
