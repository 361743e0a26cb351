"""ledger/suspension_queries.py: one row for each suspension, and no tick counted twice, whoever counts beside."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from region_operator.ledger.period_queries import advance, read_periods
from region_operator.ledger.region_schedule_queries import save_versions
from region_operator.ledger.schedule_versions import ScheduleSpec, ScheduleVersion
from region_operator.ledger.suspension_queries import BATCH, count_ticks
from region_operator.ledger.suspensions import SuspendedTicks, Suspension

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

SOURCE = "public.region_index"
NOW = datetime.now(UTC).replace(second=0, microsecond=0)
SPEC = ScheduleSpec(cron="* * * * *", code="a", cronjob="a-0123456789ab", start_deadline_seconds=20, suspended=True)


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


VERSION = ScheduleVersion(
    source=SOURCE, region_id="1", spec=SPEC, valid_from=ago(60), suspended_by="paused by kubectl-annotate"
)


def ticks(since: float, until: float, *, new: bool = False, ended: bool = False, region: str = "1") -> SuspendedTicks:
    """Return the ticks from `since` to `until`, in minutes before NOW, at whole minutes."""
    times = [ago(minutes) for minutes in range(int(since) - 1, int(until) - 1, -1)]
    version = replace(VERSION, region_id=region, valid_to=ago(until) if ended else None)
    return SuspendedTicks(version=version, since=ago(since), until=ago(until), times=times, new=new, ended=ended)


async def execute(engine: AsyncEngine, statement: str, **values: Any) -> list[tuple[Any, ...]]:
    async with engine.begin() as connection:
        result = await connection.execute(text(statement), values)
        return [tuple(row) for row in result] if result.returns_rows else []


async def run(engine: AsyncEngine, at: datetime, *, manual_uid: str = "", source: str = SOURCE) -> None:
    await execute(
        engine,
        "INSERT INTO region_tick.job_run (source, region_id, tick_at, manual_uid, region_code, cron, state)"
        " VALUES (:source, '1', :at, :manual_uid, 'a', '', 'succeeded')",
        at=at,
        manual_uid=manual_uid,
        source=source,
    )


async def count(engine: AsyncEngine, suspensions: Sequence[SuspendedTicks]) -> int:
    return await count_ticks(engine, SOURCE, suspensions, installation="ours")


async def row(engine: AsyncEngine) -> tuple[Any, ...]:
    columns = "first_tick_at, last_tick_at, ticks, counted_until, suspended_until"
    [found] = await execute(engine, f"SELECT {columns} FROM region_tick.suspension WHERE region_id = '1'")
    return found


async def test_a_row_is_begun_carried_on_and_ended(engine: AsyncEngine) -> None:
    assert await count(engine, [ticks(60, 50, new=True)]) == 10
    assert await row(engine) == (ago(59), ago(50), 10, ago(50), None)
    assert await count(engine, [ticks(50, 20)]) == 30
    assert await row(engine) == (ago(59), ago(20), 40, ago(20), None)
    assert await count(engine, [ticks(20, 20, ended=True)]) == 0
    assert await row(engine) == (ago(59), ago(20), 40, ago(20), ago(20))
    said = await execute(engine, "SELECT region_code, cron, suspended_from, suspended_by FROM region_tick.suspension")
    assert said == [("a", "* * * * *", ago(60), "paused by kubectl-annotate")]


async def test_what_was_counted_meanwhile_is_not_counted_again(engine: AsyncEngine) -> None:
    """A process that was frozen goes on with what it read before."""
    for counted in (10, 0):
        assert await count(engine, [ticks(60, 50, new=True)]) == counted
    for counted in (30, 0):
        assert await count(engine, [ticks(50, 20)]) == counted
    assert await count(engine, [ticks(20, 10, ended=True)]) == 10
    assert await count(engine, [ticks(10, 5)]) == 0
    assert (await row(engine))[2:] == (50, ago(10), ago(10))


async def test_a_tick_with_a_row_of_its_own_is_not_counted(engine: AsyncEngine) -> None:
    for minutes in (59, 55, 40):
        await run(engine, ago(minutes))
    await run(engine, ago(54), manual_uid="m")
    await run(engine, ago(53), source="public.other")
    assert await count(engine, [ticks(60, 50, new=True)]) == 8
    assert (await row(engine))[:3] == (ago(58), ago(50), 8)
    assert await count(engine, [ticks(50, 39)]) == 10


async def test_where_all_ticks_have_their_rows_there_is_nothing_to_say(engine: AsyncEngine) -> None:
    for minutes in (2, 1):
        await run(engine, ago(minutes))
    assert await count(engine, [ticks(3, 1, new=True)]) == 0
    assert await execute(engine, "SELECT FROM region_tick.suspension") == []


async def test_many_regions_are_written_in_batches(engine: AsyncEngine) -> None:
    many = [ticks(60, 58, new=True, region=str(number)) for number in range(BATCH + 1)]
    assert await count(engine, many) == 2 * len(many)
    assert await execute(engine, "SELECT count(*), sum(ticks) FROM region_tick.suspension") == [
        (BATCH + 1, 2 * (BATCH + 1))
    ]


async def test_a_period_knows_the_rows_of_its_suspensions(engine: AsyncEngine) -> None:
    await save_versions(engine, {VERSION.key: VERSION}, installation="uid")
    await count(engine, [ticks(60, 50, new=True)])
    _, [period] = await read_periods(engine, installation="uid", retention=timedelta(days=30))
    assert period.versions == [VERSION]
    assert period.suspensions == {("1", ago(60)): Suspension(ago(50), ended=False)}


async def test_a_suspension_whose_end_was_noticed_late_is_ended_all_the_same(engine: AsyncEngine) -> None:
    await save_versions(engine, {VERSION.key: VERSION}, installation="uid")
    await count(engine, [ticks(60, 50, new=True)])
    await execute(engine, "UPDATE region_tick.region_schedule SET valid_to = :end", end=ago(40))
    _, [period] = await read_periods(engine, installation="uid", retention=timedelta(days=30))
    await advance(engine, period, NOW, installation="uid")
    _, [period] = await read_periods(engine, installation="uid", retention=timedelta(days=30))
    assert [version.valid_to for version in period.versions] == [ago(40)]
    await count(engine, [ticks(50, 40, ended=True)])
    assert (await read_periods(engine, installation="uid", retention=timedelta(days=30)))[1] == []
