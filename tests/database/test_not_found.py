"""console/not_found.py on a real Postgres: what is said of a tick that has no row, by the schedule that it had then."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from region_operator.ledger.period_queries import read_periods
from region_operator.ledger.suspension_queries import count_ticks
from region_operator.ledger.suspensions import ticks_to_count
from region_operator.scheduler import format_time
from tests.database.schema import run, value
from tests.harness.console import KnownCluster, console, fill, get, scheduler_body
from tests.harness.ticks import SOURCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from aiohttp import web
    from aiohttp.test_utils import TestClient
    from sqlalchemy.ext.asyncio import AsyncEngine

    Browser = TestClient[web.Request, web.Application]

MINUTE = timedelta(minutes=1)
NOW = datetime.now(UTC).replace(second=0, microsecond=0)
PAUSED, RESUMED = NOW - timedelta(hours=2), NOW - timedelta(minutes=4)
LEDGER = NOW - timedelta(minutes=8)
"""Up to when the ledger has come: it was about to count the rest."""

PAUSE_AND_EDIT = f"""
UPDATE region_tick.region_schedule SET valid_to = '{PAUSED}' WHERE code = 'R00003';
INSERT INTO region_tick.region_schedule
    (source, region_id, cron, code, valid_from, valid_to, cronjob, start_deadline_seconds, suspended, suspended_by)
SELECT '{SOURCE}', id::text, new.cron, code, new.since::timestamptz, new.until::timestamptz, 'r-0123456789ab', 100,
    new.until IS NOT NULL, CASE WHEN new.until IS NOT NULL THEN 'paused by ana' END
FROM region_index, (VALUES ('* * * * *', '{PAUSED}', '{RESUMED}'), ('30 3 29 2 *', '{RESUMED}', NULL))
    AS new (cron, since, until) WHERE code = 'R00003';
UPDATE region_tick.installation SET accounted_until = '{LEDGER}'
"""
"""A pause of a region that ticks every minute, and another schedule when the region is resumed."""


@pytest.fixture
async def browser(database: str) -> AsyncIterator[Browser]:
    fill(database, 5, first=PAUSED - timedelta(hours=1), last=PAUSED)
    async with console(database, KnownCluster(scheduler_body())) as browser:
        yield browser


def iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


@contextmanager
def after_each_look_for_ticks(database: str, statement: str) -> Iterator[None]:
    """Run a statement right after each query of the console for ticks of a region."""

    def change(*arguments: Any) -> None:
        if "job_run" in arguments[2] and "region_id" in arguments[3]:
            run(database, statement)

    event.listen(Engine, "after_cursor_execute", change)
    try:
        yield
    finally:
        event.remove(Engine, "after_cursor_execute", change)


async def count(engine: AsyncEngine, judged_until: datetime) -> None:
    """Count the ticks of suspensions as the ledger does."""
    _, [period] = await read_periods(engine, installation="ours", retention=timedelta(days=30))
    suspended = ticks_to_count(period.versions, period.suspensions, after=period.after, judged_until=judged_until)
    await count_ticks(engine, SOURCE, suspended, installation="ours")


async def test_a_tick_of_a_pause_is_found_or_said_to_be_counted_soon_whatever_the_schedule_is_now(
    browser: Browser, database: str, engine: AsyncEngine
) -> None:
    run(database, PAUSE_AND_EDIT)
    run(database, f"UPDATE region_tick.installation SET accounted_until = '{PAUSED}'")
    await count(engine, NOW - timedelta(minutes=20))
    run(database, f"UPDATE region_tick.installation SET accounted_until = '{LEDGER}'")
    counted = value(database, "SELECT counted_until FROM region_tick.suspension")
    assert isinstance(counted, datetime)
    assert PAUSED < counted < LEDGER, "the ledger carries a suspension on seldom"
    listed = await get(browser, "regions/R00003/ticks", {"reason": "suspended", "limit": "500"})
    assert listed["countedUntil"] == iso(counted.astimezone(UTC))
    found = [tick["tickAt"] for tick in listed["items"]]
    for minutes in range(1, int((RESUMED - PAUSED) / MINUTE)):
        at = PAUSED + minutes * MINUTE
        if at <= counted:
            tick = await get(browser, f"regions/R00003/ticks/{iso(at)}")
            assert (tick["state"], tick["reason"]) == ("skipped", "suspended")
            assert iso(at) in found
        else:
            error = await get(browser, f"regions/R00003/ticks/{iso(at)}", status=404)
            assert error["message"] == f"the ledger has no tick of R00003 at {iso(at)} yet"
            assert error["remedy"].startswith(
                f"it was expected, and is not counted yet: the ledger has come to {format_time(counted)}. "
            )
            assert "suspended then" in error["remedy"]
            assert iso(at) not in found
    await count(engine, NOW)
    last = value(database, "SELECT last_tick_at FROM region_tick.suspension WHERE suspended_until IS NOT NULL")
    assert isinstance(last, datetime)
    assert last > LEDGER, "once the pause is over, all of it is counted"
    assert (await get(browser, f"regions/R00003/ticks/{iso(last.astimezone(UTC))}"))["reason"] == "suspended"


async def test_what_is_said_goes_by_the_schedule_of_that_time(browser: Browser, database: str) -> None:
    run(database, PAUSE_AND_EDIT)
    for at, said in (
        (PAUSED - 9 * MINUTE + timedelta(seconds=30), "the schedule was */5 * * * * then"),
        (RESUMED + MINUTE, "the schedule was 30 3 29 2 * then, which has no tick at that time"),
        (NOW - timedelta(days=41), "no schedule of that time is on record"),
        (NOW + timedelta(days=1), "still to come"),
        (datetime(NOW.year, NOW.month, NOW.day, tzinfo=UTC) - timedelta(days=3), "has forgotten that day"),
    ):
        error = await get(browser, f"regions/R00003/ticks/{iso(at)}", status=404)
        assert said in error["remedy"], (at, error)
        assert "?manual" not in error["remedy"]
    by_hand = await get(browser, f"regions/R00003/ticks/{iso(RESUMED + MINUTE)}", status=404)
    assert "kubectl region why CODE TICK --manual UID" in by_hand["remedy"]


async def test_a_tick_that_nobody_counts_is_said_so(browser: Browser, database: str) -> None:
    due = NOW - timedelta(minutes=NOW.minute % 5 + 5)
    error = await get(browser, f"regions/R00004/ticks/{iso(due)}", status=404)
    assert "forgotten" in error["remedy"]
    run(database, f"UPDATE region_tick.installation SET accounted_until = '{due - MINUTE}'")
    error = await get(browser, f"regions/R00004/ticks/{iso(due)}", status=404)
    assert f"has come to {format_time(due - MINUTE)}. Look again later: a tick is counted" in error["remedy"]
    run(database, "DELETE FROM region_tick.slot_owner")
    error = await get(browser, f"regions/R00004/ticks/{iso(due)}", status=404)
    assert error["remedy"].startswith("it was expected, and no operator counts ticks")
    assert (await get(browser, "regions/R00004/ticks"))["countedUntil"] is None


@pytest.mark.parametrize("page", ["ticks", "ticks/{due}"])
async def test_a_tick_that_the_ledger_counts_meanwhile_is_not_said_to_be_forgotten(
    browser: Browser, database: str, page: str
) -> None:
    """What a list lacks up to its `countedUntil` is lacking for ever, too: a backfill goes by that."""
    due = NOW - timedelta(minutes=NOW.minute % 5 + 5)
    run(database, f"UPDATE region_tick.installation SET accounted_until = '{due - MINUTE}'")
    with after_each_look_for_ticks(database, f"UPDATE region_tick.installation SET accounted_until = '{NOW}'"):
        found = await get(
            browser, f"regions/R00004/{page.format(due=iso(due))}", status=200 if page == "ticks" else 404
        )
    assert value(database, "SELECT accounted_until FROM region_tick.installation") == NOW
    told = found.get("countedUntil") or found["remedy"]
    assert format_time(due - MINUTE) in told, told
