"""console/ledger_queries.py: the picture of the ledger is what a look at each tick would give."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import psycopg

from region_operator.console.ledger_queries import WORST_FIRST, Buckets, find_buckets, find_regions_with
from region_operator.database.engine import transaction
from region_operator.database.partitions import ensure_partitions
from region_tick.contract import Reason, State
from tests.harness.ticks import SOURCE

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

DAYS = 3
START = (datetime.now(UTC) - timedelta(days=DAYS + 1)).replace(hour=22, minute=0, second=0, microsecond=0)
UNTIL = START + timedelta(days=DAYS)
REGIONS = [str(number) for number in range(8)]
FOREIGN = [f"other {number}" for number in range(50)]
"""Regions that the console does not show: of another shard, or deleted."""
REASONS = {
    State.MISSED: (Reason.IMAGE, Reason.NOT_CREATED),
    State.FAILED: (Reason.ERROR, 'O\'Brien, "his" {reason}'),
    State.INTERRUPTED: (Reason.TERMINATED,),
    State.SKIPPED: (Reason.SUSPENDED, Reason.CAPACITY),
    State.RUNNING: (None,),
    State.SUCCEEDED: (Reason.OK,),
}
FILTERS: list[tuple[list[State], list[str]]] = [
    ([], []),
    ([State.MISSED, State.FAILED], []),
    ([State.RUNNING], []),
    ([], [Reason.IMAGE, *(reason for reason in REASONS[State.FAILED] if reason)]),
    ([State.FAILED], [Reason.IMAGE]),
]
INSERT = """
INSERT INTO region_tick.job_run (source, region_id, tick_at, manual_uid, region_code, cron, state, reason)
VALUES (%s, %s, %s, %s, 'r', '* * * * *', %s, %s)
"""


class Tick(NamedTuple):
    """A tick as the table has it; of a manual run the time has microseconds."""

    region: str
    at: datetime
    manual_uid: str
    state: State
    reason: str | None


def draw_ticks(count: int) -> list[Tick]:
    """Draw ticks around the time of the picture, and of far more regions than the picture has."""
    dice = random.Random(7)  # noqa: S311 - made-up ticks
    minutes = range(-90, int((UNTIL - START) / timedelta(minutes=1)) + 90)
    drawn: dict[tuple[str, datetime, str], Tick] = {}
    for _ in range(count):
        manual = "uid" * (dice.random() < 0.1)
        at = START + timedelta(minutes=dice.choice(minutes), microseconds=dice.randrange(60_000_000) * bool(manual))
        state = dice.choice(tuple(State))
        tick = Tick(
            dice.choice(REGIONS if dice.random() < 0.8 else FOREIGN), at, manual, state, dice.choice(REASONS[state])
        )
        drawn[tick.region, tick.at, tick.manual_uid] = tick
    edges = [START, START - timedelta(microseconds=1), UNTIL, UNTIL - timedelta(microseconds=1)]
    for at in edges:
        drawn["0", at, "edge"] = Tick("0", at, "edge", State.MISSED, Reason.IMAGE)
    return list(drawn.values())


def wanted(tick: Tick, states: list[State], reasons: list[str]) -> bool:
    within = START <= tick.at < UNTIL
    return within and (not states or tick.state in states) and (not reasons or tick.reason in reasons)


def count_slowly(ticks: list[Tick], minutes: int, states: list[State], reasons: list[str]) -> dict[str, Buckets]:
    """Count as `find_buckets` does, by a look at each tick."""
    count = (UNTIL - START) // timedelta(minutes=minutes)
    found = {region: Buckets([None] * count, [0] * count) for region in REGIONS}
    for tick in ticks:
        if wanted(tick, states, reasons) and tick.region in REGIONS:
            place = (tick.at - START) // timedelta(minutes=minutes)
            row = found[tick.region]
            row.states[place] = min(row.states[place] or tick.state, tick.state, key=WORST_FIRST.index)
            row.ticks[place] += 1
    return found


async def test_the_picture_is_what_a_look_at_each_tick_gives(database: str, engine: AsyncEngine) -> None:
    ticks = draw_ticks(3000)
    async with transaction(engine) as connection:
        await ensure_partitions(connection, (START - timedelta(days=1)).date())
    with psycopg.connect(database) as session, session.cursor() as cursor:
        cursor.executemany(INSERT, [(SOURCE, *tick) for tick in ticks])
    for (states, reasons), minutes in product(FILTERS, (1, 20, 360, 1440)):
        async with transaction(engine) as connection:
            picture = await find_buckets(
                connection,
                SOURCE,
                REGIONS,
                start=START,
                count=(UNTIL - START) // timedelta(minutes=minutes),
                seconds=60.0 * minutes,
                states=states,
                reasons=reasons,
            )
            regions = await find_regions_with(
                connection, SOURCE, REGIONS, start=START, until=UNTIL, states=states, reasons=reasons
            )
        assert picture == count_slowly(ticks, minutes, states, reasons), (minutes, states, reasons)
        expected = {tick.region for tick in ticks if wanted(tick, states, reasons)} & set(REGIONS)
        assert regions == expected, (states, reasons)


async def test_of_suspended_regions_only_those_that_are_shown_are_found(database: str, engine: AsyncEngine) -> None:
    suspended = """
        INSERT INTO region_tick.suspension (source, region_id, suspended_from, region_code, cron, suspended_by,
            first_tick_at, last_tick_at, ticks, counted_until)
        VALUES (%(source)s, %(id)s, %(at)s, 'r', '@daily', 'spec.suspend', %(at)s, %(at)s, 1, %(at)s)
    """
    with psycopg.connect(database) as session, session.cursor() as cursor:
        cursor.executemany(suspended, [{"source": SOURCE, "id": each, "at": START} for each in [*FOREIGN, "1"]])
    async with transaction(engine) as connection:
        found = await find_regions_with(
            connection, SOURCE, REGIONS, start=START, until=UNTIL, states=[], reasons=[Reason.SUSPENDED]
        )
    assert found == {"1"}
