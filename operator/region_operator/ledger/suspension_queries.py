"""Writes region_tick.suspension: one row for each suspension, with the number of ticks.

Which ticks are to be counted is left to `suspensions`. A tick that has a row of its own in job_run is not counted. A
count is added only to a row that has none of its ticks. So two processes never count a tick twice.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from region_operator.database.engine import transaction
from region_operator.ledger.batches import STATEMENT_SECONDS, Batches
from region_operator.ledger.expected_ticks import INSTANT
from region_operator.ledger.tick_totals import add_suspended

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from region_operator.ledger.suspensions import SuspendedTicks

BATCH = 1000
"""Suspensions in one statement. Each may have had a day of ticks with rows of their own."""

_OWN_ROWS = text("""
SELECT place, own FROM (
    SELECT wanted.place, ARRAY(
        SELECT run.tick_at FROM region_tick.job_run AS run
        WHERE run.source = :source AND run.region_id = wanted.region_id AND run.manual_uid = ''
            AND run.tick_at >= wanted.first AND run.tick_at <= wanted.last
            AND run.tick_at >= :first AND run.tick_at <= :last) AS own
    FROM unnest(CAST(:region_id AS text[]), CAST(:firsts AS timestamptz[]), CAST(:lasts AS timestamptz[]))
        WITH ORDINALITY AS wanted (region_id, first, last, place)
    OFFSET 0) AS looked
WHERE own <> '{}'
""")
"""`first` and `last` exclude partitions."""

_COUNT = text("""
INSERT INTO region_tick.suspension AS row
    (source, region_id, suspended_from, suspended_until, region_code, cron, suspended_by,
     first_tick_at, last_tick_at, ticks, counted_until)
SELECT :source, given.* FROM unnest(
    CAST(:region_id AS text[]), CAST(:suspended_from AS timestamptz[]), CAST(:suspended_until AS timestamptz[]),
    CAST(:region_code AS text[]), CAST(:cron AS text[]), CAST(:suspended_by AS text[]),
    CAST(:first_tick_at AS timestamptz[]), CAST(:last_tick_at AS timestamptz[]), CAST(:ticks AS bigint[]),
    CAST(:counted_until AS timestamptz[])) AS given
ON CONFLICT (source, region_id, suspended_from) DO UPDATE SET
    suspended_until = excluded.suspended_until, last_tick_at = greatest(row.last_tick_at, excluded.last_tick_at),
    ticks = row.ticks + excluded.ticks, counted_until = excluded.counted_until, counted_at = clock_timestamp()
WHERE row.suspended_until IS NULL AND row.counted_until < excluded.first_tick_at
RETURNING row.region_id, row.suspended_from
""")
"""Writes nothing if a row has ended, or if a tick of the count is in the row already: another process counted it.

An UPDATE that joins the rows would do for all but the first count. But on a table that was not analyzed yet, the
planner compared every row with every count.
"""


async def count_ticks(
    engine: AsyncEngine, source: str, suspensions: Sequence[SuspendedTicks], *, installation: str
) -> int:
    """Write the rows of a source's suspensions; return how many ticks were counted, for `installation` too.

    Rows written before an error stay. Raises sqlalchemy.exc.DBAPIError.
    """
    return sum(await Batches(BATCH).run(suspensions, partial(_count, engine, source, installation)))


async def _count(engine: AsyncEngine, source: str, installation: str, batch: Sequence[SuspendedTicks]) -> list[int]:
    """Return the number of ticks of each row that was written."""
    async with transaction(engine, timeout_seconds=STATEMENT_SECONDS) as connection:
        counted = await _without_own_rows(connection, source, batch)
        rows = [ticks for ticks in counted if ticks.times or not ticks.new]
        if not rows:
            return []
        written = await connection.execute(_COUNT, {"source": source} | _columns(rows))
        numbers = {(row.version.region_id, row.version.valid_from): len(row.times) for row in rows}
        counts = [numbers[region_id, suspended_from] for region_id, suspended_from in written]
        await add_suspended(connection, source, sum(counts), installation=installation)
        return counts


async def _without_own_rows(
    connection: AsyncConnection, source: str, batch: Sequence[SuspendedTicks]
) -> list[SuspendedTicks]:
    """Take the ticks that have a row in job_run out of the suspensions."""
    counted = list(batch)
    asked = [place for place, ticks in enumerate(batch) if ticks.times]
    if not asked:
        return counted
    firsts, lasts = [batch[place].times[0] for place in asked], [batch[place].times[-1] for place in asked]
    parameters = {
        "source": source,
        "region_id": [batch[place].version.region_id for place in asked],
        "firsts": firsts,
        "lasts": lasts,
        "first": min(firsts),
        "last": max(lasts),
    }
    for row in await connection.execute(_OWN_ROWS, parameters):
        place, own = asked[row.place - 1], set(row.own)
        counted[place] = replace(batch[place], times=[at for at in batch[place].times if at not in own])
    return counted


def _columns(rows: Sequence[SuspendedTicks]) -> dict[str, list[Any]]:
    """Return the values of `_COUNT`. A count without ticks only moves a row on: any tick stands for the first one."""
    return {
        "region_id": [row.version.region_id for row in rows],
        "suspended_from": [row.version.valid_from for row in rows],
        "suspended_until": [row.version.valid_to if row.ended else None for row in rows],
        "region_code": [row.version.spec.code for row in rows],
        "cron": [row.version.spec.cron for row in rows],
        "suspended_by": [row.version.suspended_by for row in rows],
        "first_tick_at": [row.times[0] if row.times else row.since + INSTANT for row in rows],
        "last_tick_at": [row.times[-1] if row.times else row.version.valid_from for row in rows],
        "ticks": [len(row.times) for row in rows],
        "counted_until": [row.until for row in rows],
    }
