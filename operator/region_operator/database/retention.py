"""Forgetting: days of job_run, and schedules that ended, which are older than anybody is to ask for.

A day goes by dropping its partition. That takes a lock on job_run for a moment, before which all ticks would queue up:
so a long reader is given way to, and the day goes another time. (DETACH ... CONCURRENTLY would need none, but Postgres
refuses it beside a default partition.)
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from psycopg import errors
from sqlalchemy import text

from region_operator.database.engine import transaction
from region_operator.database.partitions import LOCK, partitions
from region_tick.contract import SCHEMA

if TYPE_CHECKING:
    from datetime import date

    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.ext.asyncio import AsyncEngine

LOCK_TIMEOUT_SECONDS = 1
PASSING_FOR_SECONDS = 300
"""How long to wait where it could not be done now: each time all ticks queue up for LOCK_TIMEOUT_SECONDS."""

BATCH = 10_000

_DAY = re.compile(r"job_run_([0-9]{8})")

_FORGET = {
    "job_run_default": "tick_at < CAST(:before AS timestamptz)",
    "region_schedule": "valid_to < CAST(:before AS timestamptz)",
}


async def forget(engine: AsyncEngine, *, before: date) -> list[str]:
    """Drop the partitions of the UTC days before one, delete what else is older; return the partitions' names.

    Raises sqlalchemy.exc.DBAPIError, also where job_run is in long use: what was dropped before stays dropped.
    """
    async with transaction(engine) as connection:
        old = sorted(name for name in await partitions(connection) if _is_before(name, before))
    for name in old:
        async with transaction(engine, lock_timeout_seconds=LOCK_TIMEOUT_SECONDS) as connection:
            await connection.execute(LOCK)
            await connection.execute(text(f"DROP TABLE IF EXISTS {SCHEMA}.{name}"))
    moment = datetime(before.year, before.month, before.day, tzinfo=UTC)
    for table, condition in _FORGET.items():
        await _delete(engine, table, condition, moment)
    return old


def is_passing(error: DBAPIError) -> bool:
    """Tell whether `forget` only gave way to somebody who reads or writes for long, or met a read-only server."""
    return isinstance(error.orig, (errors.LockNotAvailable, errors.ReadOnlySqlTransaction))


async def _delete(engine: AsyncEngine, table: str, condition: str, before: datetime) -> None:
    """Delete in batches, so that no transaction is a long one."""
    some = text(
        f"DELETE FROM {SCHEMA}.{table} WHERE ctid = ANY(ARRAY("  # noqa: S608 - constants
        f"SELECT ctid FROM {SCHEMA}.{table} WHERE {condition} LIMIT {BATCH}))"
    )
    deleted = BATCH
    while deleted == BATCH:
        async with transaction(engine) as connection:
            deleted = (await connection.execute(some, {"before": before})).rowcount


def _is_before(name: str, day: date) -> bool:
    match = _DAY.fullmatch(name)
    return match is not None and match[1] < f"{day:%Y%m%d}"
