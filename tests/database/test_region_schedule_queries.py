"""ledger/region_schedule_queries.py: region_schedule follows the CronJobs, and an unchanged version writes nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from region_operator.ledger.region_schedule_queries import save_changed_versions, save_versions
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


async def write(engine: AsyncEngine, what: dict[RegionKey, ScheduleVersion], *, installation: str = "uid") -> int:
    return await save_versions(engine, what, installation=installation)


async def rows(engine: AsyncEngine) -> list[tuple[Any, ...]]:
    async with engine.begin() as connection:
        query = "SELECT region_id, cron, valid_from, valid_to, suspended FROM region_tick.region_schedule ORDER BY 1, 3"
        return [tuple(row) for row in await connection.execute(text(query))]


async def owners(engine: AsyncEngine) -> dict[str, str]:
    """Return the owner of each source's slots."""
    async with engine.begin() as connection:
        rows = await connection.execute(text("SELECT DISTINCT source, installation FROM region_tick.slot_owner"))
        return {row.source: row.installation for row in rows}


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


async def test_what_suspended_a_region_is_saved_and_changes_with_an_edit_of_the_cronjob(engine: AsyncEngine) -> None:
    paused, all_suspended = (
        {key: replace(row, suspended_by=text) for key, row in found("1", suspended=True).items()}
        for text in ("paused by me", "spec.suspend")
    )
    assert await write(engine, paused) == 1
    assert await write(engine, all_suspended) == 0
    later = AT + timedelta(minutes=1)
    edited = {key: replace(row, valid_from=later) for key, row in all_suspended.items()}
    assert await write(engine, edited) == 2
    assert await write(engine, edited) == 0
    async with engine.begin() as connection:
        query = text("SELECT suspended_by, valid_from, valid_to FROM region_tick.region_schedule ORDER BY valid_from")
        versions = [tuple(row) for row in await connection.execute(query)]
    assert versions == [("paused by me", AT, later), ("spec.suspend", later, None)]


async def test_what_is_gone_ends_now(engine: AsyncEngine) -> None:
    await write(engine, found("1"))
    before = datetime.now(UTC)
    await write(engine, {})
    [(_, _, _, ended, _)] = await rows(engine)
    assert before - timedelta(seconds=1) < ended < datetime.now(UTC) + timedelta(seconds=1)


async def test_another_schedulers_sources_are_left_alone(engine: AsyncEngine) -> None:
    await write(engine, found("1", source="public.other"), installation="another")
    assert await write(engine, found("1")) == 1
    assert [row[3] for row in await rows(engine)] == [None, None]
    assert await owners(engine) == {"public.other": "another", SOURCE: "uid"}


async def test_a_source_that_is_left_ends_also_where_nobody_saw_it_go(engine: AsyncEngine) -> None:
    await write(engine, found("1", "2", source="public.left"))
    later = AT + timedelta(minutes=1)
    assert await write(engine, found("1", since=later)) == 3
    ends = {row[0]: row[3] for row in await rows(engine) if row[3]}
    assert ends["1"] == later
    assert ends["2"] > later
    assert await owners(engine) == {"public.left": "uid", SOURCE: "uid"}


async def test_what_another_installation_owns_is_never_written_whatever_ticks_here(engine: AsyncEngine) -> None:
    """Two installations on one table wrote each other's versions anew with every reconcile."""
    await write(engine, found("1", "2"), installation="before")
    before = await rows(engine)
    for _ in range(3):
        assert await write(engine, found("1", "2", since=AT + timedelta(hours=1), cron="@daily")) == 0
        assert await save_changed_versions(engine, {}, found("1", "2"), installation="uid") == 0
        assert await write(engine, found("1", "2"), installation="before") == 0
    assert await rows(engine) == before
    assert await owners(engine) == {SOURCE: "before"}


async def test_a_slot_that_changes_hands_keeps_its_versions(engine: AsyncEngine) -> None:
    await write(engine, found("1", "2", "3"), installation="before")
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE region_tick.slot_owner SET installation = 'uid', epoch = 2"))
    later = AT + timedelta(hours=1)
    assert await write(engine, found("1", since=later) | found("2", since=later, cron="@daily")) == 3
    assert [row[:4] for row in await rows(engine) if row[0] != "3"] == [
        ("1", SPEC.cron, AT, None),
        ("2", SPEC.cron, AT, later),
        ("2", "@daily", later, None),
    ]
    assert [row[3] for row in await rows(engine) if row[0] == "3"] != [None]


async def test_what_ticks_for_the_table_of_another_is_not_ours_to_account_for(engine: AsyncEngine) -> None:
    """As where deletions are held of a table that is left, and another has taken it over."""
    await write(engine, found("1", source="public.other"), installation="another")
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
