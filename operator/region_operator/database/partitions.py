"""Makes the daily partitions of job_run ahead of time.

A row of a day without a partition goes to job_run_default, so no row is lost. But once job_run_default has a row of a
day, the row stays there, and the day can get no partition. Dropping old partitions is left to `retention`.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from psycopg import errors
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError

from region_tick.contract import SCHEMA

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('region_tick', 0))")
"""Lets one transaction at a time change the schema. The lock lasts until the transaction's end, so works with a pooler.
"""

DEFAULT_PARTITION = "job_run_default"
"""Has the rows of the days without a partition."""

_DAY = re.compile(r"job_run_([0-9]{4})([0-9]{2})([0-9]{2})")

_EXISTING = text(
    "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
    " WHERE i.inhparent = CAST(:parent AS regclass)"
)


def partition_name(day: date) -> str:
    """Return the name of the partition of a UTC day, without the schema."""
    return f"job_run_{day:%Y%m%d}"


async def ensure_partitions(connection: AsyncConnection, today: date, days_ahead: int = 14) -> list[date]:
    """Make the missing partitions of the UTC days from `today` to `days_ahead` days later. Return the new days.

    Call this function daily, in a transaction. If no partition is missing, nothing is locked. If a partition is
    missing, ticks go on writing meanwhile. A long reader of job_run makes the function give up after lock_timeout and
    return, because days are left to try again. Raises sqlalchemy.exc.DBAPIError.
    """
    days = [today + timedelta(days=ahead) for ahead in range(days_ahead + 1)]
    if not await _missing(connection, days):
        return []
    await connection.execute(LOCK)
    made: list[date] = []
    try:
        for day in await _missing(connection, days):
            if await _make(connection, day):
                made.append(day)  # noqa: PERF401 - the days before a failure must be returned
    except OperationalError as error:
        if not isinstance(error.orig, errors.LockNotAvailable):
            raise
    return made


async def list_days(connection: AsyncConnection) -> dict[date, str]:
    """Return job_run's daily partitions: the name of each, without the schema, by its UTC day.

    Raises sqlalchemy.exc.DBAPIError.
    """
    names = (await connection.execute(_EXISTING, {"parent": f"{SCHEMA}.job_run"})).scalars()
    return {day: name for name in names if (day := _day_of(name))}


def _day_of(partition: str) -> date | None:
    """Return the UTC day of a partition, None for the default partition and for a partition that we did not make."""
    match = _DAY.fullmatch(partition)
    with suppress(ValueError):
        return date(*map(int, match.groups())) if match else None
    return None


async def _missing(connection: AsyncConnection, days: list[date]) -> list[date]:
    existing = await list_days(connection)
    return [day for day in days if day not in existing]


async def _make(connection: AsyncConnection, day: date) -> bool:
    """Make the partition of a day. Return False if job_run_default has rows of the day.

    The partition is a table that is created first and attached then. Attaching a table waits for no writer of job_run,
    unlike CREATE TABLE ... PARTITION OF (https://www.postgresql.org/docs/current/ddl-partitioning.html).
    """
    partition = f"{SCHEMA}.{partition_name(day)}"
    start, end = (datetime.combine(bound, time(), UTC).isoformat() for bound in (day, day + timedelta(days=1)))
    try:
        async with connection.begin_nested():
            await connection.execute(
                text(f"CREATE TABLE {partition} (LIKE {SCHEMA}.job_run INCLUDING ALL EXCLUDING COMMENTS)")
            )
            values = f"FOR VALUES FROM ('{start}') TO ('{end}')"
            await connection.execute(text(f"ALTER TABLE {SCHEMA}.job_run ATTACH PARTITION {partition} {values}"))
    except IntegrityError as error:
        if isinstance(error.orig, errors.CheckViolation):
            return False
        raise
    return True
