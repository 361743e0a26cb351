"""Reads which regions tick, and the latest tick of each that succeeded.

The regions are the current rows of region_schedule, in the slots that one installation owns. The last success is what
carried the region's cursor on: each scheduled tick that succeeds does so in its last transaction. So no row of job_run
is read, however many there are, and a region under a new id has the success of the old one. A manual run carries no
cursor on, and does not count. What the answer means is left to `freshness`.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from region_operator.database.clock import database_now
from region_operator.database.engine import transaction
from region_operator.ledger.batches import STATEMENT_SECONDS
from region_operator.ledger.freshness import InForce, KnownRegion
from region_operator.regions.slots import slot_in_sql
from region_operator.runtime.slices import run_in_slices

if TYPE_CHECKING:
    from collections.abc import Generator
    from datetime import datetime

    from sqlalchemy import CursorResult, Row
    from sqlalchemy.ext.asyncio import AsyncEngine

EARLIER_SCHEDULES = 50
"""How many schedules before the present one are looked at, of a region that has not succeeded since."""
ROWS_AT_ONCE = 1000

_SLOTS = text("""
SELECT source, array_agg(slot) AS slots FROM region_tick.slot_owner WHERE installation = :installation GROUP BY source
""")

_REGIONS = text(f"""
SELECT present.code, present.cron, present.valid_from, success.tick_at AS last_success,
    earlier.crons, earlier.begins, earlier.ends, earlier.suspended
FROM region_tick.region_schedule AS present
CROSS JOIN LATERAL (
    SELECT max(greatest(window_end, tick_at)) AS tick_at FROM region_tick.region_cursor AS cursor
    WHERE cursor.source = present.source AND cursor.region_id = present.region_id) AS success
CROSS JOIN LATERAL (
    SELECT array_agg(cron ORDER BY valid_from) AS crons, array_agg(valid_from ORDER BY valid_from) AS begins,
        array_agg(valid_to ORDER BY valid_from) AS ends, array_agg(suspended ORDER BY valid_from) AS suspended
    FROM (
        SELECT cron, valid_from, valid_to, suspended FROM region_tick.region_schedule AS version
        WHERE version.source = present.source AND version.region_id = present.region_id
            AND version.valid_to > coalesce(success.tick_at, '-infinity')
            AND present.valid_from > coalesce(success.tick_at, '-infinity')
        ORDER BY valid_from DESC LIMIT {EARLIER_SCHEDULES}) AS version) AS earlier
WHERE present.source = :source AND present.valid_to IS NULL AND NOT present.suspended
    AND {slot_in_sql("present.region_id")} = ANY(CAST(:slots AS integer[]))
""")  # noqa: S608 - constants
"""The condition on present.valid_from spares the look at earlier schedules of a region that succeeded by its present
one. What could be a join is a look by key for each region, or a list: on tables that were not analyzed yet, the planner
looked at all regions for each slot, and at all cursors for each region.
"""


async def read_ticking_regions(engine: AsyncEngine, *, installation: str) -> tuple[datetime, list[KnownRegion]]:
    """Return the database's time (UTC), and the regions of `installation` that tick: suspended and paused ones do not.

    Raises sqlalchemy.exc.DBAPIError, TimeoutError.
    """
    async with transaction(engine, timeout_seconds=STATEMENT_SECONDS) as connection:
        now = await database_now(connection)
        owned = (await connection.execute(_SLOTS, {"installation": installation})).all()
        regions: list[KnownRegion] = []
        for source, slots in owned:
            result = await connection.execute(_REGIONS, {"source": source, "slots": slots})
            regions += await run_in_slices(_as_regions(result))
        return now, regions


def _as_regions(result: CursorResult[Any]) -> Generator[None, None, list[KnownRegion]]:
    """Return the rows as regions. Yield after each ROWS_AT_ONCE rows."""
    regions: list[KnownRegion] = []
    for portion in result.partitions(ROWS_AT_ONCE):
        regions += map(_as_region, portion)
        yield
    return regions


def _as_region(row: Row[Any]) -> KnownRegion:
    earlier = zip(row.crons or (), row.begins or (), row.ends or (), row.suspended or (), strict=True)
    return KnownRegion(
        code=row.code,
        schedules=(
            *(InForce(cron, _utc(begin), _utc(end), suspended) for cron, begin, end, suspended in earlier),
            InForce(row.cron, _utc(row.valid_from)),
        ),
        last_success=row.last_success and _utc(row.last_success),
    )


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)
