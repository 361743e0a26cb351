"""Writes region_tick.suspension: one row for each suspension, with the number of ticks.

Which ticks are to be counted is left to `suspensions`. A tick that has a row of its own in job_run is not counted. A
count is added only to the row as it was read. So two processes never count a tick twice.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from region_operator.database.engine import transaction
from region_operator.ledger.batches import STATEMENT_SECONDS, Batches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from region_operator.ledger.suspensions import SuspendedTicks

BATCH = 500
"""Suspensions in one statement. Each may have had a day of ticks with rows of their own."""

_OWN_ROWS = text("""
SELECT wanted.place, ARRAY(
    SELECT run.tick_at FROM region_tick.job_run AS run
    WHERE run.source = :source AND run.region_id = wanted.region_id AND run.manual_uid = ''
        AND run.tick_at >= wanted.first AND run.tick_at <= wanted.last
        AND run.tick_at >= :first AND run.tick_at <= :last) AS own
FROM unnest(CAST(:region_id AS text[]), CAST(:firsts AS timestamptz[]), CAST(:lasts AS timestamptz[]))
    WITH ORDINALITY AS wanted (region_id, first, last, place)
""")
"""`first` and `last` exclude partitions."""

_BEGIN = text("""
INSERT INTO region_tick.suspension
    (source, region_id, suspended_from, suspended_until, region_code, cron, suspended_by,
     first_tick_at, last_tick_at, ticks, counted_until)
SELECT :source, given.* FROM unnest(
    CAST(:region_id AS text[]), CAST(:suspended_from AS timestamptz[]), CAST(:suspended_until AS timestamptz[]),
    CAST(:region_code AS text[]), CAST(:cron AS text[]), CAST(:suspended_by AS text[]),
    CAST(:first_tick_at AS timestamptz[]), CAST(:last_tick_at AS timestamptz[]), CAST(:ticks AS bigint[]),
    CAST(:counted_until AS timestamptz[])) AS given
ON CONFLICT DO NOTHING
RETURNING ticks
""")

_CARRY_ON = text("""
UPDATE region_tick.suspension AS row SET
    suspended_until = given.suspended_until, last_tick_at = coalesce(given.last_tick_at, row.last_tick_at),
    ticks = row.ticks + given.ticks, counted_until = given.counted_until, counted_at = clock_timestamp()
FROM unnest(
    CAST(:region_id AS text[]), CAST(:suspended_from AS timestamptz[]), CAST(:suspended_until AS timestamptz[]),
    CAST(:last_tick_at AS timestamptz[]), CAST(:ticks AS bigint[]), CAST(:counted_since AS timestamptz[]),
    CAST(:counted_until AS timestamptz[]))
    AS given (region_id, suspended_from, suspended_until, last_tick_at, ticks, counted_since, counted_until)
WHERE row.source = :source AND row.region_id = given.region_id AND row.suspended_from = given.suspended_from
    AND row.counted_until = given.counted_since AND row.suspended_until IS NULL
RETURNING given.ticks
""")


async def count_ticks(engine: AsyncEngine, source: str, suspensions: Sequence[SuspendedTicks]) -> int:
    """Write the rows of a source's suspensions; return how many ticks were counted. Raises sqlalchemy.exc.DBAPIError.

    Rows written before an error stay.
    """
    return sum(await Batches(BATCH).run(suspensions, partial(_count, engine, source)))


async def _count(engine: AsyncEngine, source: str, batch: Sequence[SuspendedTicks]) -> list[int]:
    async with transaction(engine, timeout_seconds=STATEMENT_SECONDS) as connection:
        counted = await _without_own_rows(connection, source, batch)
        new = [ticks for ticks in counted if ticks.new and ticks.times]
        known = [ticks for ticks in counted if not ticks.new]
        numbers: list[int] = []
        for statement, rows in ((_BEGIN, new), (_CARRY_ON, known)):
            if rows:
                numbers += (await connection.execute(statement, {"source": source} | _columns(rows))).scalars()
    return numbers


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
        if own := set(row.own):
            place = asked[row.place - 1]
            counted[place] = replace(batch[place], times=[at for at in batch[place].times if at not in own])
    return counted


def _columns(rows: Sequence[SuspendedTicks]) -> dict[str, list[Any]]:
    return {
        "region_id": [row.version.region_id for row in rows],
        "suspended_from": [row.version.valid_from for row in rows],
        "suspended_until": [row.version.valid_to if row.ended else None for row in rows],
        "region_code": [row.version.spec.code for row in rows],
        "cron": [row.version.spec.cron for row in rows],
        "suspended_by": [row.version.suspended_by for row in rows],
        "first_tick_at": [row.times[0] if row.times else None for row in rows],
        "last_tick_at": [row.times[-1] if row.times else None for row in rows],
        "ticks": [len(row.times) for row in rows],
        "counted_since": [row.since for row in rows],
        "counted_until": [row.until for row in rows],
    }
