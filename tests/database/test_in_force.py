"""database/in_force.py: region_schedule follows, and nothing is written where nothing changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from region_operator.database.in_force import write_in_force
from region_operator.in_force import Found, Interval, Terms

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

SOURCE = "public.region_index"
AT = datetime(2026, 11, 20, 10, 0, 5, tzinfo=UTC)
TERMS = Terms(cron="*/5 * * * *", code="a", cronjob="a-0123456789ab", start_deadline_seconds=100)


def found(*regions: str, since: datetime = AT, cron: str = TERMS.cron, source: str = SOURCE) -> Found:
    terms = replace(TERMS, cron=cron)
    rows = [Interval(source=source, region_id=region, terms=terms, valid_from=since) for region in regions]
    return Found({row.key: row for row in rows}, {})


async def rows(engine: AsyncEngine) -> list[tuple[Any, ...]]:
    async with engine.begin() as connection:
        query = "SELECT region_id, cron, valid_from, valid_to FROM region_tick.region_schedule ORDER BY 1, 3"
        return [tuple(row) for row in await connection.execute(text(query))]


async def test_rows_follow_what_is_found(engine: AsyncEngine) -> None:
    later, last = AT + timedelta(minutes=1), AT + timedelta(minutes=2)
    assert await write_in_force(engine, found("1", "2"), sources={SOURCE}) == 2
    assert await write_in_force(engine, found("1", "2", since=later), sources={SOURCE}) == 0
    rescheduled = Found({**found("1").running, **found("2", since=later, cron="@daily").running}, {})
    assert await write_in_force(engine, rescheduled, sources={SOURCE}) == 2
    assert (
        await write_in_force(engine, Found(found("2", cron="@daily").running, {(SOURCE, "1"): last}), sources={SOURCE})
        == 1
    )
    assert await rows(engine) == [
        ("1", TERMS.cron, AT, last),
        ("2", TERMS.cron, AT, later),
        ("2", "@daily", later, None),
    ]


async def test_what_is_gone_ends_now(engine: AsyncEngine) -> None:
    await write_in_force(engine, found("1"), sources={SOURCE})
    before = datetime.now(UTC)
    await write_in_force(engine, found(), sources={SOURCE})
    [(_, _, _, ended)] = await rows(engine)
    assert before - timedelta(seconds=1) < ended < datetime.now(UTC) + timedelta(seconds=1)


async def test_another_sources_schedules_are_not_ended(engine: AsyncEngine) -> None:
    await write_in_force(engine, found("1", source="public.other"), sources={"public.other"})
    assert await write_in_force(engine, found("1"), sources={SOURCE}) == 1
    assert [row[3] for row in await rows(engine)] == [None, None]


async def test_a_region_that_comes_back_begins_no_earlier_than_it_ended(engine: AsyncEngine) -> None:
    later = AT + timedelta(minutes=1)
    await write_in_force(engine, found("1"), sources={SOURCE})
    await write_in_force(engine, Found({}, {(SOURCE, "1"): later}), sources={SOURCE})
    await write_in_force(engine, found("1", since=AT), sources={SOURCE})
    assert await rows(engine) == [("1", TERMS.cron, AT, later), ("1", TERMS.cron, later, None)]


async def test_nothing_is_written_where_nothing_changed(engine: AsyncEngine) -> None:
    await write_in_force(engine, found("1", "2"), sources={SOURCE})
    written = text(
        "SELECT pg_current_xact_id_if_assigned() IS NULL, max(xmin::text::bigint) FROM region_tick.region_schedule"
    )
    async with engine.begin() as connection:
        before = (await connection.execute(written)).one()
    await write_in_force(engine, found("1", "2", since=AT + timedelta(hours=1)), sources={SOURCE})
    async with engine.begin() as connection:
        assert (await connection.execute(written)).one() == before
