"""Asks the ledger for the picture of regions over time: one value for each region and bucket, counted in the database.

Every statement is bounded by a time and by regions: of one page, or all that the console shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import text

from region_tick.contract import Reason, State

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

WORST_FIRST = (State.MISSED, State.FAILED, State.INTERRUPTED, State.SKIPPED, State.RUNNING, State.SUCCEEDED)
"""Which state a bucket shows that has several."""

_RANK = "CASE state " + " ".join(f"WHEN '{state}' THEN {rank}" for rank, state in enumerate(WORST_FIRST)) + " END"

_BUCKETS = text(f"""
SELECT region_id, array_agg(place) AS places, array_agg(worst) AS worst, array_agg(ticks) AS ticks
FROM (
    SELECT region_id, floor(date_part('epoch', tick_at - CAST(:start AS timestamptz)) / :seconds)::integer AS place,
        min({_RANK}) AS worst, count(*) AS ticks
    FROM region_tick.job_run
    WHERE source = :source AND region_id = ANY(CAST(:region_ids AS text[])) AND tick_at >= :start AND tick_at < :until
        AND (CAST(:states AS text[]) = '{{}}' OR state = ANY(CAST(:states AS text[])))
        AND (CAST(:reasons AS text[]) = '{{}}' OR reason = ANY(CAST(:reasons AS text[])))
    GROUP BY 1, 2
) AS bucket
GROUP BY region_id
""")  # noqa: S608 - constants
"""One row for each region: to fetch tens of thousands of small rows takes longer than to count them. date_part counts
in floating point, where extract counts in slow decimals.
"""

_SUSPENSIONS = text("""
SELECT region_id, first_tick_at, last_tick_at FROM region_tick.suspension
WHERE source = :source AND region_id = ANY(CAST(:region_ids AS text[]))
    AND first_tick_at < :until AND last_tick_at >= :start
""")

_REGIONS_WITH = text("""
SELECT DISTINCT region_id FROM region_tick.job_run
WHERE source = :source AND tick_at >= :start AND tick_at < :until
    AND (CAST(:states AS text[]) = '{}' OR state = ANY(CAST(:states AS text[])))
    AND (CAST(:reasons AS text[]) = '{}' OR reason = ANY(CAST(:reasons AS text[])))
INTERSECT SELECT unnest(CAST(:region_ids AS text[]))
""")
"""A ledger also has ids that nobody asks for: of other shards, and of regions that are gone. To compare the found ids
takes no time. To compare each row, by `= ANY`, takes two to three times as long for 10,000 regions.
"""

_REGIONS_SUSPENDED = text("""
SELECT region_id FROM region_tick.suspension
WHERE source = :source AND first_tick_at < :until AND last_tick_at >= :start
INTERSECT SELECT unnest(CAST(:region_ids AS text[]))
""")


@dataclass(frozen=True, slots=True)
class Buckets:
    """A region's row of the picture: of each bucket the worst state, or None, and the number of ticks."""

    states: list[State | None]
    ticks: list[int]


async def find_buckets(
    connection: AsyncConnection,
    source: str,
    region_ids: Collection[str],
    *,
    start: datetime,
    count: int,
    seconds: float,
    states: Sequence[State],
    reasons: Sequence[str],
) -> dict[str, Buckets]:
    """Return the row of each region: `count` buckets from `start` on, each `seconds` long.

    Raises sqlalchemy.exc.DBAPIError.
    """
    until = start + timedelta(seconds=count * seconds)
    about = {"source": source, "region_ids": list(region_ids), "start": start, "until": until}
    filters = {"states": list(states), "reasons": list(reasons), "seconds": seconds}
    found = {region_id: Buckets([None] * count, [0] * count) for region_id in region_ids}
    for row in await connection.execute(_BUCKETS, about | filters):
        buckets = found[row.region_id]
        for place, rank, ticks in zip(row.places, row.worst, row.ticks, strict=True):
            buckets.states[place], buckets.ticks[place] = WORST_FIRST[rank], ticks
    if _wants_suspended(states, reasons):
        for row in await connection.execute(_SUSPENSIONS, about):
            first = max(0, int((row.first_tick_at - start).total_seconds() // seconds))
            last = int((min(row.last_tick_at, until - timedelta(microseconds=1)) - start).total_seconds() // seconds)
            shown = found[row.region_id].states
            for place in range(first, last + 1):
                shown[place] = shown[place] or State.SKIPPED
    return found


async def find_regions_with(
    connection: AsyncConnection,
    source: str,
    region_ids: Collection[str],
    *,
    start: datetime,
    until: datetime,
    states: Sequence[State],
    reasons: Sequence[str],
) -> set[str]:
    """Return which of the regions have such ticks, also those whose ticks a suspension counts.

    Raises sqlalchemy.exc.DBAPIError.
    """
    about = {"source": source, "region_ids": list(region_ids), "start": start, "until": until}
    rows = await connection.execute(_REGIONS_WITH, about | {"states": list(states), "reasons": list(reasons)})
    found = set(rows.scalars())
    if _wants_suspended(states, reasons):
        found.update((await connection.execute(_REGIONS_SUSPENDED, about)).scalars())
    return found


def _wants_suspended(states: Sequence[State], reasons: Sequence[str]) -> bool:
    """Return whether ticks that have no row because a suspension counts them are among those that are asked for."""
    return (not states or State.SKIPPED in states) and (not reasons or Reason.SUSPENDED in reasons)
