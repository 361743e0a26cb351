"""Deletes the days of job_run, the suspensions and the ended schedule versions that are older than the retention.

A day of job_run is deleted by dropping the day's partition. The drop locks job_run for a moment, and while the drop
waits for the lock, all ticks queue up behind. So the drop gives way to a long reader, and the day goes another time.
DETACH ... CONCURRENTLY would need no lock, but Postgres refuses DETACH ... CONCURRENTLY beside a default partition.
When to delete is left to `store`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from psycopg import errors
from sqlalchemy import text

from region_operator.database.engine import transaction
from region_operator.database.partitions import LOCK, list_partitions
from region_tick.contract import SCHEMA

if TYPE_CHECKING:
    from datetime import date

    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.ext.asyncio import AsyncEngine

LOCK_TIMEOUT_SECONDS = 1
PASSING_FOR_SECONDS = 300
"""How long to wait before the next try, because each try makes all ticks queue up for LOCK_TIMEOUT_SECONDS."""

BATCH = 10_000
"""The most rows of one DELETE."""

_DAY = re.compile(r"job_run_([0-9]{8})")

_FORGET = {
    "job_run_default": "tick_at < CAST(:before AS timestamptz)",
    "region_schedule": "valid_to < CAST(:before AS timestamptz)",
    "suspension": "last_tick_at < CAST(:before AS timestamptz)",
}


async def forget(engine: AsyncEngine, *, before: date) -> list[str]:
    """Drop the partitions of the UTC days before `before`, delete other older rows, and return the dropped partitions.

    The other rows are in job_run_default, region_schedule and suspension. Raises sqlalchemy.exc.DBAPIError, also if
    somebody reads job_run for too long. Partitions dropped before an error stay dropped.
    """
    async with transaction(engine) as connection:
        old = sorted(name for name in await list_partitions(connection) if _is_before(name, before))
    for name in old:
        async with transaction(engine, lock_timeout_seconds=LOCK_TIMEOUT_SECONDS) as connection:
            await connection.execute(LOCK)
            await connection.execute(text(f"DROP TABLE IF EXISTS {SCHEMA}.{name}"))
    moment = datetime(before.year, before.month, before.day, tzinfo=UTC)
    for table, condition in _FORGET.items():
        await _delete(engine, table, condition, moment)
    return old


def is_passing(error: DBAPIError) -> bool:
    """Return whether an error of `forget` is temporary: a long reader or writer of job_run, or a read-only server."""
    return isinstance(error.orig, (errors.LockNotAvailable, errors.ReadOnlySqlTransaction))


async def _delete(engine: AsyncEngine, table: str, condition: str, before: datetime) -> None:
    """Delete the rows of `table` that meet `condition`, in batches: no transaction may take long."""
    statement = text(
        f"DELETE FROM {SCHEMA}.{table} WHERE ctid = ANY(ARRAY("  # noqa: S608 - constants
        f"SELECT ctid FROM {SCHEMA}.{table} WHERE {condition} LIMIT {BATCH}))"
    )
    deleted = BATCH
    while deleted == BATCH:
        async with transaction(engine) as connection:
            deleted = (await connection.execute(statement, {"before": before})).rowcount


def _is_before(name: str, day: date) -> bool:
    match = _DAY.fullmatch(name)
    return match is not None and match[1] < f"{day:%Y%m%d}"
