"""A table that is seeded anew again and again while its regions tick in real pods: no tick is done twice.

Each time, all rows get new ids and keep their codes. The new ids wait while the old ones tick, and a person approves.
The ledger knows a tick by the region's id. So it would not refuse a tick that is done under an old id and a new one.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice, product
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.long import rounds
from tests.harness.regions import EVERY_MINUTE, add_regions, numbered
from tests.harness.waiting import eventually
from tests.node.installation import all_finished, use_handler

if TYPE_CHECKING:
    import psycopg

    from tests.harness.kubectl import Kubectl

    Connection = psycopg.Connection[tuple[Any, ...]]

REGIONS, TICKING = rounds(60, long=500), rounds(4, long=20)
RESEEDS = rounds(2, long=10)
"""Each waits for a tick of every region, so each takes a minute or more."""
REPLACED_SECONDS, BUSY_SECONDS = 60, 300
"""How long replacing all regions may take: mostly, and once, when the machine is busy with something else."""
MINUTE = timedelta(minutes=1)
SPEC = {"concurrency": TICKING, "refreshInterval": "5s"}
EMPTY = ("TRUNCATE region_index", "DELETE FROM region_index")
SEED = "INSERT INTO region_index (code, name, cron_schedule) SELECT code, name, cron_schedule FROM seed"
CREATORS = """
INSERT INTO region_tick.creator (source, region_id, platform, url)
SELECT 'public.region_index', id::text, 'http', 'https://upstream.test/' FROM region_index
"""
CURSORS = """
INSERT INTO region_tick.region_cursor (source, region_id, handler, window_end)
SELECT 'public.region_index', id::text, 'poll', now() FROM region_index
"""


@pytest.mark.long
@pytest.mark.timeout(300 + 300 * RESEEDS)
def test_a_table_that_is_seeded_anew_ticks_no_region_twice(running: Kubectl, database: Connection) -> None:
    use_handler(running, database, "short", startDeadline="45s")
    running("patch", "regionscheduler", "default", "--type=merge", "--patch", json.dumps({"spec": SPEC}))
    ticking = [f"T{number}" for number in range(TICKING)]
    with database.transaction():
        add_regions(database, numbered(1, REGIONS - TICKING))
        add_regions(database, ticking, cron=EVERY_MINUTE)
        database.execute(CREATORS)
        database.execute(CURSORS)
    eventually(lambda: in_sync(running) and len(running.cronjobs()) == REGIONS, what="CronJobs", seconds=90)
    begun, replacements = datetime.now(UTC), []
    for empty in islice(cycle(EMPTY), RESEEDS):
        before = uids(running)
        seed_anew(database, empty)
        eventually(lambda: running.ready()["reason"] == "RegionsWaiting", what="all is held", seconds=60)
        last_minute = await_tick(database)
        assert uids(running) == before
        replacements.append(replace_all(running))
        after = uids(running)
        assert after.keys() == before.keys()
        assert not set(after.values()) & set(before.values())
        assert followed(database, "creator") == followed(database, "region_cursor") == REGIONS
    running("patch", "regionscheduler", "default", "--type=merge", "--patch", '{"spec": {"suspend": true}}')
    eventually(lambda: all(item["spec"]["suspend"] for item in running.cronjobs().values()), what="no further Jobs")
    eventually(lambda: all_finished(running), what="all Jobs have ended", seconds=120)
    check_ticks(database, ticking, minutes(begun, last_minute), replacements)


def in_sync(kubectl: Kubectl) -> bool:
    """Tell whether nothing is left to do: a CronJob that a tick has changed meanwhile is replaced a little later."""
    return kubectl.ready()["reason"] == "InSync" and not kubectl.condition("Reconciling")


def uids(kubectl: Kubectl) -> dict[str, str]:
    return {code: item["metadata"]["uid"] for code, item in kubectl.cronjobs().items()}


def seed_anew(connection: Connection, empty: str) -> None:
    """Give all rows new ids, as a script does that empties the table and fills it again, in one transaction."""
    with connection.transaction():
        connection.execute("CREATE TEMPORARY TABLE seed ON COMMIT DROP AS TABLE region_index")
        connection.execute(empty.encode())
        connection.execute(SEED)


def await_tick(connection: Connection) -> datetime:
    """Wait until each region has begun its tick of the next minute, and return that minute."""
    [[minute]] = connection.execute("SELECT date_trunc('minute', clock_timestamp()) + interval '1 minute'").fetchall()
    statement = "SELECT DISTINCT region_code FROM region_tick.job_run WHERE tick_at = %s"
    eventually(
        lambda: len(connection.execute(statement, (minute,)).fetchall()) == TICKING,
        what=f"a tick of each region at {minute}",
        seconds=150,
    )
    return minute  # type: ignore[no-any-return]


def replace_all(kubectl: Kubectl) -> tuple[datetime, datetime]:
    """Approve what is held, as the condition says, and return from when to when all CronJobs were replaced."""
    approved_at = datetime.now(UTC)
    kubectl.approve("DeletionsHeld")
    eventually(lambda: in_sync(kubectl), what="all are replaced", seconds=BUSY_SECONDS)
    return approved_at, datetime.now(UTC)


def followed(connection: Connection, table: str) -> int:
    """Count the regions whose row of `table` has gone over to their new ids."""
    statement = (
        f"SELECT DISTINCT region_id FROM region_tick.{table} JOIN region_index ON region_id = region_index.id::text"
    )
    return len(connection.execute(statement.encode()).fetchall())


def minutes(after: datetime, last: datetime) -> list[datetime]:
    """Return the whole minutes after a moment, up to `last`."""
    count = (last - after) // MINUTE + 1
    return [last - number * MINUTE for number in reversed(range(count))]


def check_ticks(
    connection: Connection,
    codes: list[str],
    expected: list[datetime],
    replacements: list[tuple[datetime, datetime]],
) -> None:
    """Check that no tick was done twice, and none lost but of a minute in which a CronJob was being replaced.

    No tick has a second row, under the other id.
    """
    statement = "SELECT region_code, tick_at FROM region_tick.job_run GROUP BY 1, 2 HAVING count(*) > 1"
    assert connection.execute(statement).fetchall() == []
    statement = "SELECT region_code, tick_at FROM region_tick.job_run WHERE state = 'succeeded'"
    done = Counter(connection.execute(statement).fetchall())
    effects = Counter(connection.execute("SELECT region, tick_at FROM public.effects").fetchall())
    doubles = [tick for tick, count in (done | effects).items() if count > 1]
    lost = [(code, minute) for code, minute in product(codes, expected) if (code, minute) not in done]
    seconds = [round((replaced - approved).total_seconds(), 1) for approved, replaced in replacements]
    print(f"\n{done.total()} ticks of {len(codes)} regions in {len(expected)} minutes, {lost=}, {doubles=}")
    print(f"{REGIONS} regions replaced {len(replacements)} times, {seconds=}")
    assert doubles == []
    assert done == effects
    for code, minute in lost:
        assert any(approved <= minute <= replaced for approved, replaced in replacements), f"{code} at {minute}"
    assert median(seconds) < REPLACED_SECONDS
