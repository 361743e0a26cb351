"""ledger/region_schedule_queries.py: region_schedule follows the CronJobs, and an unchanged version writes nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from region_operator.ledger.region_schedule_queries import save_versions
from region_operator.ledger.schedule_versions import RegionKey, ScheduleSpec, ScheduleVersion

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

SOURCE = "public.region_index"
AT = datetime(2026, 11, 20, 10, 0, 5, tzinfo=UTC)
SPEC = ScheduleSpec(cron="*/5 * * * *", code="a", cronjob="a-0123456789ab", start_deadline_seconds=100)


def found(
    *regions: str, since: datetime = AT, cron: str = SPEC.cron, source: str = SOURCE, suspended: bool = False
) -> dict[RegionKey, ScheduleVersion]:
    spec = replace(SPEC, cron=cron, suspended=suspended)
    rows = [
        ScheduleVersion(
            source=source,
            region_id=region,
            spec=replace(spec, cronjob=f"{region}-0123456789ab"),
            valid_from=since,
        )
        for region in regions
    ]
    return {row.key: row for row in rows}


async def write(
    engine: AsyncEngine, what: dict[RegionKey, ScheduleVersion], *, source: str = SOURCE, scheduler: str = "uid"
) -> int:
    return await save_versions(engine, what, source=source, scheduler=scheduler)


async def rows(engine: AsyncEngine) -> list[tuple[Any, ...]]:
    async with engine.begin() as connection:
        query = "SELECT region_id, cron, valid_from, valid_to, suspended FROM region_tick.region_schedule ORDER BY 1, 3"
        return [tuple(row) for row in await connection.execute(text(query))]


async def owners(engine: AsyncEngine) -> dict[str, str]:
    """Return the owner of each source in the ledger."""
    async with engine.begin() as connection:
        rows = await connection.execute(text("SELECT source, scheduler FROM region_tick.ledger"))
        return {row.source: row.scheduler for row in rows}


async def test_rows_follow_what_is_found(engine: AsyncEngine) -> None:
    later, last = AT + timedelta(minutes=1), AT + timedelta(minutes=2)
    assert await write(engine, found("1", "2")) == 2
    assert await write(engine, found("1", "2", since=later)) == 0
    assert await write(engine, found("1") | found("2", since=later, cron="@daily")) == 2
    assert await write(engine, found("2", cron="@daily") | found("1", since=last, suspended=True)) == 2
    assert await rows(engine) == [
        ("1", SPEC.cron, AT, last, False),
        ("1", SPEC.cron, last, None, True),
        ("2", SPEC.cron, AT, later, False),
        ("2", "@daily", later, None, False),
    ]


async def test_what_suspended_a_region_is_saved_and_is_no_reason_for_a_new_row(engine: AsyncEngine) -> None:
    paused, all_suspended = (
        {key: replace(row, suspended_by=text) for key, row in found("1", suspended=True).items()}
        for text in ("paused by me", "spec.suspend")
    )
    assert await write(engine, paused) == 1
    assert await write(engine, all_suspended) == 0
    async with engine.begin() as connection:
        query = text("SELECT suspended_by FROM region_tick.region_schedule")
        assert (await connection.execute(query)).scalar_one() == "paused by me"


async def test_what_is_gone_ends_now(engine: AsyncEngine) -> None:
    await write(engine, found("1"))
    before = datetime.now(UTC)
    await write(engine, {})
    [(_, _, _, ended, _)] = await rows(engine)
    assert before - timedelta(seconds=1) < ended < datetime.now(UTC) + timedelta(seconds=1)


async def test_another_schedulers_sources_are_left_alone(engine: AsyncEngine) -> None:
    await write(engine, found("1", source="public.other"), source="public.other", scheduler="another")
    assert await write(engine, found("1")) == 1
    assert [row[3] for row in await rows(engine)] == [None, None]
    assert await owners(engine) == {"public.other": "another", SOURCE: "uid"}


async def test_a_source_that_is_left_ends_also_where_nobody_saw_it_go(engine: AsyncEngine) -> None:
    await write(engine, found("1", "2", source="public.left"), source="public.left")
    later = AT + timedelta(minutes=1)
    assert await write(engine, found("1", since=later)) == 3
    ends = {row[0]: row[3] for row in await rows(engine) if row[3]}
    assert ends["1"] == later
    assert ends["2"] > later
    assert await owners(engine) == {"public.left": "uid", SOURCE: "uid"}


async def test_a_source_belongs_to_who_wrote_it_last(engine: AsyncEngine) -> None:
    await write(engine, found("1"), scheduler="before")
    await write(engine, found("1"))
    assert await owners(engine) == {SOURCE: "uid"}
    [(_, _, began, ended, _), (_, _, then, now, _)] = await rows(engine)
    assert began == AT < ended == then  # a CronJob that outlived its RegionScheduler ticked all the time
    assert now is None


async def test_between_two_installations_nothing_was_in_force(engine: AsyncEngine) -> None:
    await write(engine, found("1", "2"), scheduler="before")
    again = datetime.now(UTC)
    await write(engine, found("1", since=again))
    ends = {row[0]: row[3] for row in await rows(engine) if row[3]}
    assert ends.keys() == {"1", "2"}
    assert max(ends.values()) < again - timedelta(minutes=9)
    assert [row[:3] for row in await rows(engine) if row[3] is None] == [("1", SPEC.cron, again)]


async def test_what_ticks_for_the_table_of_another_is_not_ours_to_account_for(engine: AsyncEngine) -> None:
    """As where deletions are held of a table that is left, and another has taken it over."""
    await write(engine, found("1", source="public.other"), source="public.other", scheduler="another")
    before = await rows(engine)
    assert await write(engine, found("2", source="public.other")) == 0
    assert await rows(engine) == before
    assert (await owners(engine))["public.other"] == "another"


async def test_a_region_that_comes_back_begins_no_earlier_than_it_ended(engine: AsyncEngine) -> None:
    await write(engine, found("1"))
    await write(engine, {})
    await write(engine, found("1", since=AT))
    [(_, _, _, ended, _), (_, _, began, _, _)] = await rows(engine)
    assert began == ended


async def test_nothing_is_written_where_nothing_changed(engine: AsyncEngine) -> None:
    await write(engine, found("1", "2"))
    written = text("""
        SELECT pg_current_xact_id_if_assigned() IS NULL, (SELECT max(xmin::text::bigint) FROM region_tick.ledger),
            (SELECT max(xmin::text::bigint) FROM region_tick.region_schedule)
    """)
    async with engine.begin() as connection:
        before = (await connection.execute(written)).one()
    await write(engine, found("1", "2", since=AT + timedelta(hours=1)))
    async with engine.begin() as connection:
        assert (await connection.execute(written)).one() == before
