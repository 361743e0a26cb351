"""console/tick_queries.py: the latest ticks of many regions are found, however old they are, in few days of job_run."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg

from region_operator.console.tick_queries import RECENT, find_latest, find_recent, find_tick, find_ticks
from region_operator.database.engine import transaction
from region_operator.database.partitions import ensure_partitions, partition_name
from region_tick.contract import Reason, State
from tests.database.test_console_plans import caught
from tests.harness.ticks import SOURCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.ext.asyncio import AsyncEngine

    from region_operator.console.region_views import TickRow

NOW = datetime.now(UTC).replace(second=30, microsecond=0)
HOURS = 75
DAY = timedelta(days=1)
INSERT = """
INSERT INTO region_tick.job_run (source, region_id, tick_at, manual_uid, region_code, cron, state, reason)
VALUES (%s, %s, %s, %s, 'r', '* * * * *', 'missed', 'image')
"""


async def test_the_latest_ticks_are_found_however_old_they_are(database: str, engine: AsyncEngine) -> None:
    dice = random.Random(3)  # noqa: S311 - made-up ticks
    ticks = {
        str(region): sorted({NOW - dice.randrange(first, HOURS * 60) * timedelta(minutes=1) for _ in range(30)})
        for region, first in enumerate((-60, 0, 5, 1380, 1439, 1440, 1441, 2000, 4300))
    }
    async with transaction(engine) as connection:
        await ensure_partitions(connection, (NOW - 4 * DAY).date())
    with psycopg.connect(database) as session, session.cursor() as cursor:
        for region, times in ticks.items():
            cursor.executemany(INSERT, [(SOURCE, region, at, manual) for at in times for manual in ("", "by hand")])
    due = {region: [at for at in reversed(times) if at <= NOW] for region, times in ticks.items()}
    since = {region: dice.choice([None, times[2], times[0], NOW - DAY]) for region, times in due.items()}
    expected = {region: times[0] for region, times in due.items() if times[0] > (since[region] or NOW - 100 * DAY)}
    async with transaction(engine) as connection:
        latest = await find_latest(connection, SOURCE, since, NOW)
        recent = await find_recent(connection, SOURCE, [*ticks, "unknown"], NOW)
    assert {region: ending.tick_at for region, ending in latest.items()} == expected
    assert {region: [tick.tick_at for tick in found] for region, found in recent.items()} == {
        region: times[:RECENT] for region, times in due.items()
    }


SUSPENDED = """
INSERT INTO region_tick.suspension (source, region_id, suspended_from, region_code, cron, suspended_by, first_tick_at,
    last_tick_at, ticks, counted_until)
VALUES (%s, '1', %s, 'r', %s, 'paused by ana', %s, %s, 1, %s)
"""


async def test_suspended_ticks_are_told_by_the_schedule_of_their_suspension(database: str, engine: AsyncEngine) -> None:
    """A tick that was run again has a row, and the row counts. The text of other hands has no tick."""
    day = NOW.replace(hour=0, minute=0, second=0) - 3 * DAY
    hourly = [day + timedelta(hours=hour, minutes=30) for hour in range(1, 24)]
    daily = [day + timedelta(days=1, hours=6, minutes=minute) for minute in (5, 50)]
    async with transaction(engine) as connection:
        await ensure_partitions(connection, day.date())
    with psycopg.connect(database) as session, session.cursor() as cursor:
        for cron, ticks in (("30 * * * *", hourly), ("5,50 6 * * *", daily), ("? ?", [NOW - DAY, NOW])):
            before, first, last = ticks[0] - timedelta(minutes=9), ticks[0], ticks[-1]
            cursor.execute(SUSPENDED, (SOURCE, before, cron, first, last, last))
        cursor.executemany(INSERT, [(SOURCE, "1", hourly[4], ""), (SOURCE, "1", hourly[5], "by hand")])
    expected = [tick for tick in [*reversed(daily), *reversed(hourly)] if tick != hourly[4]]
    found: list[TickRow] = []
    async with transaction(engine) as connection:
        find = partial(find_ticks, connection, SOURCE, "1", reasons=[Reason.SUSPENDED])
        page = await find(since=day, until=NOW, limit=4)
        while page:
            found += page
            page = await find(since=day, until=page[-1].tick_at, before_uid="", limit=4)
        some = await find(since=hourly[2], until=hourly[7], limit=9)
        assert await find(since=day, until=NOW, states=[State.FAILED], limit=9) == []
        known = [await find_tick(connection, SOURCE, "1", at, "") for at in (*hourly, *daily)]
        for at in (
            hourly[1] + timedelta(minutes=1),
            hourly[1] + timedelta(seconds=1),
            daily[1] - timedelta(minutes=15),
        ):
            assert await find_tick(connection, SOURCE, "1", at, "") is None, at
        assert await find_tick(connection, SOURCE, "1", hourly[1], "by hand") is None
    assert [tick.tick_at for tick in found] == expected
    assert {(tick.state, tick.reason, tick.error_message) for tick in found} == {
        (State.SKIPPED, Reason.SUSPENDED, "paused by ana")
    }
    assert [tick.tick_at for tick in some] == [*reversed(hourly[5:8]), *reversed(hourly[2:4])]
    assert [each[0].reason for each in known if each] == [
        Reason.IMAGE if at == hourly[4] else Reason.SUSPENDED for at in (*hourly, *daily)
    ]


def looks(node: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield each table that a plan reads, and how often."""
    if "Relation Name" in node:
        yield node["Relation Name"], node["Actual Loops"]
    for child in node.get("Plans", []):
        yield from looks(child)


async def test_regions_with_a_tick_of_today_cost_no_look_into_older_days(database: str, engine: AsyncEngine) -> None:
    """Right after a full hour nearly all regions are asked for."""
    async with transaction(engine) as connection:
        await ensure_partitions(connection, (NOW - 10 * DAY).date())
    with psycopg.connect(database, autocommit=True) as session, session.cursor() as cursor:
        cursor.executemany(INSERT, [(SOURCE, str(region), NOW - timedelta(minutes=5), "") for region in range(50)])
        session.execute("ANALYZE")
        with caught() as statements:
            async with transaction(engine) as connection:
                assert len(await find_latest(connection, SOURCE, dict.fromkeys(map(str, range(50))), NOW)) == 50
        statement, parameters = statements[-1]
        plan = session.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}".encode(), parameters).fetchone()
    assert plan is not None
    read = {table for table, loops in looks(plan[0][0]["Plan"]) if loops and table.startswith("job_run_2")}
    assert read <= {partition_name((NOW - DAY).date()), partition_name(NOW.date())}
    assert read
