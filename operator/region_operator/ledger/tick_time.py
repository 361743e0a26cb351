"""Reads from job_run how long the ticks of a region table took lately.

The mean is read, not the median: how many slots the ticks hold is their number times their mean duration, whatever the
distribution (Little's law). The time to start is that of the quickest tick, because all other ticks may have waited in
a queue, which the forecast computes itself.

The statement reads at most SAMPLED_REGIONS times SAMPLED_TICKS rows by the primary key, so its cost does not grow with
the ledger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from region_operator.database.engine import transaction
from region_operator.plan.forecast import TickTime

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

SAMPLED_REGIONS = 500
SAMPLED_TICKS = 20
"""How many of a region's latest ticks are read, at most."""
FEWEST_TICKS = 20
"""How many ticks a mean needs."""
TIMEOUT_SECONDS = 5
_START_LIMITS_SECONDS = (0.1, 60.0)
"""The API server's clock made the minute and the database's clock the claim, so a difference may be far off."""

_TICK_TIME = text("""
SELECT count(*) AS ticks,
    CAST(avg(extract(epoch FROM run.finished_at - run.started_at)) AS double precision) AS run_seconds,
    CAST(min(extract(epoch FROM run.created_at - run.tick_at)) AS double precision) AS start_seconds
FROM (
    SELECT region_id FROM region_tick.region_schedule
    WHERE source = :source AND valid_to IS NULL ORDER BY md5(region_id) LIMIT :regions) AS sampled
CROSS JOIN LATERAL (
    SELECT tick_at, created_at, started_at, finished_at FROM region_tick.job_run
    WHERE source = :source AND region_id = sampled.region_id AND manual_uid = '' AND rerun_uid IS NULL
        AND tick_at > now() - interval '1 day' AND tick_at <= now() AND finished_at >= started_at
    ORDER BY tick_at DESC LIMIT :ticks) AS run
""")
"""A row without `started_at` is that of a tick that never ran. now() leaves out the partitions of other days."""


async def read_tick_time(engine: AsyncEngine, source: str) -> TickTime | None:
    """Return how long the ticks of the region table `source` took within the last day. None: too few ticks ran.

    Raises sqlalchemy.exc.SQLAlchemyError, TimeoutError.
    """
    async with transaction(engine, timeout_seconds=TIMEOUT_SECONDS, lock_timeout_seconds=1) as connection:
        sample = {"source": source, "regions": SAMPLED_REGIONS, "ticks": SAMPLED_TICKS}
        row = (await connection.execute(_TICK_TIME, sample)).one()
    if row.ticks < FEWEST_TICKS:
        return None
    shortest, longest = _START_LIMITS_SECONDS
    return TickTime(start_seconds=min(max(row.start_seconds, shortest), longest), run_seconds=row.run_seconds)
