"""ledger/handover.py on a real Postgres: cursors, creators and waiting tasks go to the region's new id, by its code."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
import pytest
from sqlalchemy import text

from region_operator.cronjobs.labels import cronjob_name
from region_operator.cronjobs.live import LiveCronJob
from region_operator.cronjobs.render import render_cronjob
from region_operator.database.engine import make_engine
from region_operator.database.store import Database
from region_operator.kube.apply import HandOverError
from region_operator.ledger.handover import Handover
from region_operator.plan.changes import ChangeReason, Delete, Desired, Guarded, Plan, Write
from region_operator.regions.schedule import parse_schedule
from region_operator.regions.slots import ALL_SLOTS, slot_of
from region_tick.database_url import DatabaseUrl
from tests.harness.examples import PARIS, applied, scheduler
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from region_operator.regions.region import RegionRow

SOURCE = PARIS.source
AT = datetime(2026, 11, 24, 10, tzinfo=UTC)
OLD, NEW = replace(PARIS, id="old"), replace(PARIS, id="new")


def live(region: RegionRow) -> LiveCronJob:
    manifest = render_cronjob(
        region,
        parse_schedule(region.cron_schedule),
        scheduler(),
        name=cronjob_name(region),
        tick_image="t",
        suspended_by=None,
    )
    return LiveCronJob.from_object(applied(manifest))


def creation(region: RegionRow) -> Plan:
    desired = Desired(region, parse_schedule(region.cron_schedule))
    return Plan(writes=(Write(ChangeReason.ADDED, desired, "r", guarded=Guarded.CREATION),))


async def run(engine: AsyncEngine, statement: str, **values: Any) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(statement), {"source": SOURCE} | values)


async def add_cursor(engine: AsyncEngine, region_id: str, handler: str = "poke") -> None:
    await run(
        engine,
        "INSERT INTO region_tick.region_cursor (source, region_id, handler, window_end) VALUES (:source, :id, :h, :at)",
        id=region_id,
        h=handler,
        at=AT,
    )


async def add_creator(engine: AsyncEngine, region_id: str, url: str = "https://a.test/", source: str = SOURCE) -> None:
    await run(
        engine,
        "INSERT INTO region_tick.creator (source, region_id, platform, url) VALUES (:source, :id, 'http', :url)",
        source=source,
        id=region_id,
        url=url,
    )


async def add_version(
    engine: AsyncEngine, region_id: str, *, code: str = PARIS.code, year: int = 2025, until: int | None = 2026
) -> None:
    await run(
        engine,
        "INSERT INTO region_tick.region_schedule"
        " (source, region_id, cron, code, valid_from, valid_to, cronjob, start_deadline_seconds)"
        " VALUES (:source, :id, '@daily', :code, :since, :until, 'r', 60)",
        id=region_id,
        code=code,
        since=datetime(year, 1, 1, tzinfo=UTC),
        until=until and datetime(until, 1, 1, tzinfo=UTC),
    )


async def all_rows(engine: AsyncEngine, query: str) -> list[tuple[Any, ...]]:
    async with engine.connect() as connection:
        return [tuple(row) for row in await connection.execute(text(query))]


async def cursors(engine: AsyncEngine) -> list[tuple[Any, ...]]:
    return await all_rows(engine, "SELECT region_id, handler FROM region_tick.region_cursor ORDER BY 1, 2")


async def creators(engine: AsyncEngine) -> list[tuple[Any, ...]]:
    return await all_rows(engine, "SELECT region_id, url FROM region_tick.creator ORDER BY 1, 2")


@pytest.fixture
def handover(engine: AsyncEngine) -> Handover:
    return Handover(Database(engine, "public"))


async def test_the_successor_of_a_deleted_cronjob_gets_all(engine: AsyncEngine, handover: Handover) -> None:
    await add_cursor(engine, "old")
    await add_cursor(engine, "another")
    await add_creator(engine, "old")
    await add_creator(engine, "old", source="public.other")
    await run(
        engine,
        "INSERT INTO region_tick.procrastinate_jobs (queue_name, task_name, queueing_lock, args)"
        " SELECT 'region_tick', 'region_tick.fetch', 'creator ' || id, jsonb_build_object('creator_id', id)"
        " FROM region_tick.creator WHERE source = :source",
    )
    await handover.to_successor(live(OLD), NEW)
    assert await cursors(engine) == [("another", "poke"), ("new", "poke")]
    assert await creators(engine) == [("new", "https://a.test/"), ("old", "https://a.test/")]
    tasks = (
        "SELECT creator.region_id FROM region_tick.procrastinate_jobs AS job"
        " JOIN region_tick.creator ON creator.id = (job.args ->> 'creator_id')::bigint"
    )
    assert await all_rows(engine, tasks) == [("new",)], "the waiting task goes along"


async def test_what_the_new_id_has_already_is_kept(engine: AsyncEngine, handover: Handover) -> None:
    for region_id in ("old", "new"):
        await add_cursor(engine, region_id)
        await add_creator(engine, region_id)
    await add_cursor(engine, "old", "poll")
    await add_creator(engine, "old", "https://b.test/")
    await handover.to_successor(live(OLD), NEW)
    assert await cursors(engine) == [("new", "poke"), ("new", "poll"), ("old", "poke")]
    assert ("new", "https://b.test/") in await creators(engine)


async def test_all_or_nothing_is_handed_over(engine: AsyncEngine, handover: Handover) -> None:
    await add_cursor(engine, "old")
    await add_creator(engine, "old")
    await run(engine, "ALTER TABLE region_tick.creator ADD CHECK (region_id <> 'new')")
    with pytest.raises(HandOverError, match="the cursors and creators of id old are not handed over to id new"):
        await handover.to_successor(live(OLD), NEW)
    assert await cursors(engine) == [("old", "poke")]


async def test_many_that_are_handed_over_at_once_leave_connections_to_others(
    database: str, engine: AsyncEngine, handover: Handover
) -> None:
    olds = [replace(PARIS, id=f"old-{number}") for number in range(8)]
    for old in olds:
        await add_creator(engine, old.id, f"https://{old.id}.test/")
    waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with psycopg.connect(database) as slow, psycopg.connect(database, autocommit=True) as watcher:
        slow.execute("LOCK region_tick.creator")
        async with asyncio.TaskGroup() as hand_overs:
            for old in olds:
                hand_overs.create_task(handover.to_successor(live(old), NEW))
            await asyncio.to_thread(eventually, lambda: watcher.execute(waiting).rowcount > 1, what="two wait")
            async with asyncio.timeout(60):
                await run(engine, "SELECT pg_sleep(0.1)")
            slow.rollback()
    assert [region_id for region_id, _ in await creators(engine)] == ["new"] * len(olds)


async def test_a_cronjob_of_another_table_has_nothing_to_give(engine: AsyncEngine, handover: Handover) -> None:
    await add_creator(engine, "old")
    await handover.to_successor(live(replace(OLD, source="public.other")), NEW)
    await handover.to_successor(replace(live(OLD), key="0123456789ab"), NEW)
    assert await creators(engine) == [("old", "https://a.test/")]


async def test_a_new_region_gets_what_the_last_region_with_its_code_left(
    engine: AsyncEngine, handover: Handover
) -> None:
    """Also when the CronJob went long ago, or the hand-over beside the deletion failed."""
    await add_version(engine, "first", year=2024, until=2025)
    await add_version(engine, "old")
    for region_id in ("first", "old"):
        await add_creator(engine, region_id)
    await handover.by_code(creation(NEW), [NEW], slots=ALL_SLOTS)
    assert await creators(engine) == [("first", "https://a.test/"), ("new", "https://a.test/")]


async def test_who_has_an_active_row_or_another_code_by_now_keeps_all(engine: AsyncEngine, handover: Handover) -> None:
    await add_version(engine, "old")
    await add_version(engine, "renamed")
    await add_version(engine, "renamed", code="FR-69", year=2026, until=None)
    for region_id in ("old", "renamed"):
        await add_creator(engine, region_id)
    await handover.by_code(creation(NEW), [NEW, replace(OLD, code="FR-1")], slots=ALL_SLOTS)
    assert await creators(engine) == [("old", "https://a.test/"), ("renamed", "https://a.test/")]


async def test_who_may_tick_in_another_shard_keeps_all(engine: AsyncEngine, handover: Handover) -> None:
    others = ALL_SLOTS - {slot_of("old")}
    await add_version(engine, "old", year=2025, until=None)
    await add_creator(engine, "old")
    await handover.by_code(creation(NEW), [NEW], slots=others)
    assert await creators(engine) == [("old", "https://a.test/")]
    await run(engine, "UPDATE region_tick.region_schedule SET valid_to = now()")
    await handover.by_code(creation(NEW), [NEW], slots=others)
    assert await creators(engine) == [("new", "https://a.test/")]


async def test_in_an_own_slot_nobody_ticks_who_has_neither_a_row_nor_a_cronjob(
    engine: AsyncEngine, handover: Handover
) -> None:
    """A process that died after a deletion has not said that the region ended, and did not hand over either."""
    await add_version(engine, "old", year=2025, until=None)
    await add_creator(engine, "old")
    await handover.by_code(creation(NEW), [NEW], slots=frozenset({slot_of("old"), slot_of("new")}))
    assert await creators(engine) == [("new", "https://a.test/")]


@pytest.mark.parametrize("how", ["read-only", "no right"])
async def test_while_nothing_can_be_written_who_has_something_to_hand_over_stays(
    stranger: Callable[[str], str], database: str, engine: AsyncEngine, how: str
) -> None:
    await add_version(engine, "old")
    await add_creator(engine, "old")
    role = urlsplit(url := stranger(database)).username
    await run(engine, f"GRANT USAGE ON SCHEMA region_tick TO {role}")
    await run(engine, f"GRANT SELECT ON ALL TABLES IN SCHEMA region_tick TO {role}")
    if how == "read-only":
        await run(engine, f"GRANT UPDATE ON ALL TABLES IN SCHEMA region_tick TO {role}")
        await run(engine, f"ALTER ROLE {role} SET default_transaction_read_only = on")
    weak = make_engine(DatabaseUrl.parse(url))
    try:
        handover = Handover(Database(weak, "public"))
        other = creation(replace(PARIS, id="other", code="FR-9")).writes
        successor = creation(NEW).writes[0]
        replacing = Delete(live(OLD), successor=successor)
        going = Delete(live(replace(OLD, id="gone")))
        plan = Plan(writes=(*creation(NEW).writes, *other), deletes=(replacing, going))
        left = await handover.by_code(plan, [NEW], slots=ALL_SLOTS)
        assert (left.writes, left.deletes) == (other, (going,))
        assert await handover.by_code(Plan(writes=other), [NEW], slots=ALL_SLOTS) == Plan(writes=other)
    finally:
        await weak.dispose()
    assert await creators(engine) == [("old", "https://a.test/")]


async def test_a_schema_that_is_left_alone_is_not_asked(engine: AsyncEngine) -> None:
    handover = Handover(Database(engine, "public", schema_conflict="newer"))
    await add_version(engine, "old")
    await add_creator(engine, "old")
    await handover.by_code(creation(NEW), [NEW], slots=ALL_SLOTS)
    await handover.to_successor(live(OLD), NEW)
    assert await creators(engine) == [("old", "https://a.test/")]


async def test_ten_thousand_new_regions_are_asked_for_together(engine: AsyncEngine, handover: Handover) -> None:
    regions = [replace(PARIS, id=f"new {number}", code=f"R{number}") for number in range(10_000)]
    await run(
        engine,
        "INSERT INTO region_tick.region_schedule"
        " (source, region_id, cron, code, valid_from, valid_to, cronjob, start_deadline_seconds)"
        " SELECT :source, 'old ' || n, '@daily', 'R' || n, now() - interval '1 day', now(), 'r', 60"
        " FROM generate_series(0, 9999) n",
    )
    await run(
        engine,
        "INSERT INTO region_tick.creator (source, region_id, platform, url)"
        " SELECT :source, 'old ' || n, 'http', 'https://a.test/' FROM generate_series(0, 9999) n",
    )
    writes = tuple(creation(region).writes[0] for region in regions)
    await handover.by_code(Plan(writes=writes), regions, slots=ALL_SLOTS)
    assert await all_rows(engine, "SELECT count(*) FROM region_tick.creator WHERE region_id LIKE 'new %'") == [
        (10_000,)
    ]
