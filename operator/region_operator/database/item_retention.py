"""Deletes items that are older than the retention, and upstreams that no creator means any more.

A deleted item does not come again, although its upstream may still show it: what was seen is kept apart, in seen. An
upstream goes with all that it published. When to delete is left to `upkeep`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from region_operator.database.retention import delete_in_batches

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncEngine

ORPHANED_FOR = timedelta(days=1)
"""How long an upstream without creators is kept: for a table of creators that is filled anew."""
UPSTREAMS_AT_ONCE = 20
"""How many upstreams go in one transaction, each with all its items."""

_OLD = "first_seen_at < CAST(:before AS timestamptz)"
_ORPHANED = """
NOT EXISTS (SELECT FROM region_tick.creator WHERE creator.upstream_id = upstream.id)
AND NOT EXISTS (
    SELECT FROM region_tick.creator
    WHERE creator.upstream_id IS NULL AND creator.platform = upstream.platform
      AND coalesce(creator.handle, '') = coalesce(upstream.handle, '')
      AND coalesce(creator.url, '') = coalesce(upstream.url, ''))
AND coalesce(last_polled_at, created_at) < CAST(:before AS timestamptz)
AND created_at < CAST(:before AS timestamptz)
"""
"""A creator that was written anew has no link until its region's next tick, which may be a month away."""


async def forget_items(engine: AsyncEngine, *, before: datetime) -> int:
    """Delete the items that regions got before `before`. Return how many rows of item these were.

    Raises sqlalchemy.exc.DBAPIError and TimeoutError. What was deleted before an error stays deleted.
    """
    deleted = await delete_in_batches(engine, "item", _OLD, {"before": before})
    await delete_in_batches(engine, "upstream_item", _OLD, {"before": before})
    return deleted


async def forget_orphans(engine: AsyncEngine, *, now: datetime) -> int:
    """Delete the upstreams that have had no creator for ORPHANED_FOR. Return how many these were.

    `now` is the database's time. Raises sqlalchemy.exc.DBAPIError and TimeoutError.
    """
    values = {"before": now - ORPHANED_FOR}
    return await delete_in_batches(engine, "upstream", _ORPHANED, values, batch=UPSTREAMS_AT_ONCE)
