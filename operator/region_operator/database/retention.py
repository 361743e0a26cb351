"""Deletes the days of job_run, and of suspensions, ended schedule versions and counts what is older than the retention.

What is deleted is gone for good, and a clock may be wrong. So few days go at once, the oldest first, and a day stays
while one of its rows was made within the retention. A person may let all days go at once: `region-operator retention
--now`.

A day of job_run is deleted by dropping the day's partition. The drop locks job_run for a moment, and while the drop
waits for the lock, all ticks queue up behind. So the drop gives way to a long reader, and the day goes another time.
DETACH ... CONCURRENTLY would need no lock, but Postgres refuses DETACH ... CONCURRENTLY beside a default partition.
When to delete is left to `upkeep`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from psycopg import errors
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from region_operator.database.engine import transaction
from region_operator.database.partitions import DEFAULT_PARTITION, LOCK, list_days
from region_tick.contract import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

DAYS_AT_ONCE = 2
"""How many days of job_run go at once. Two catch up by a day each day, and a wrong clock costs two and not all."""

LOCK_TIMEOUT_SECONDS = 1

READ_TIMEOUT_SECONDS = 600
"""The longest search for a day's young rows. No index has the moment when a row was made, so the whole day is read."""

BATCH = 10_000
"""The most rows of one DELETE."""

_FORGET = {
    "region_schedule": "valid_to < CAST(:until AS timestamptz)",
    "suspension": "last_tick_at < CAST(:until AS timestamptz)",
    "tick_hour": "hour < CAST(:until AS timestamptz)",
}

_OF_THE_DAY = "tick_at >= CAST(:start AS timestamptz) AND tick_at < CAST(:until AS timestamptz)"

_DEFAULT_DAYS = text(
    f"SELECT DISTINCT (tick_at AT TIME ZONE 'UTC')::date FROM {SCHEMA}.{DEFAULT_PARTITION}"  # noqa: S608 - constants
    " WHERE tick_at < CAST(:until AS timestamptz) AND isfinite(tick_at)"
)


@dataclass(frozen=True, slots=True)
class OldDay:
    """A UTC day of job_run that is older than the retention. `partition` has the day's rows, without the schema."""

    day: date
    partition: str

    def __str__(self) -> str:
        return self.day.isoformat()


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What became of the old days: `dropped`, `kept` for rows within the retention, or `waiting` for the next time."""

    dropped: Sequence[OldDay]
    kept: Sequence[OldDay]
    waiting: Sequence[OldDay]


async def forget(engine: AsyncEngine, *, before: date, at_most: int = DAYS_AT_ONCE) -> Forgotten:
    """Delete at most `at_most` of the UTC days before `before`, and what else is older than the days that stay.

    What else: rows of region_schedule, suspension and tick_hour. Raises sqlalchemy.exc.DBAPIError, also if somebody
    reads job_run for too long, and TimeoutError. Days deleted before an error stay deleted.
    """
    days = await find_old_days(engine, before=before)
    dropped: list[OldDay] = []
    kept: list[OldDay] = []
    for day in days:
        if len(dropped) == at_most:
            break
        if await has_young_rows(engine, day, before=before):
            kept.append(day)
        else:
            await _drop(engine, day)
            dropped.append(day)
    waiting = days[len(dropped) + len(kept) :]
    until = _midnight(min(day.day for day in kept + waiting) if kept or waiting else before)
    for table, condition in _FORGET.items():
        await delete_in_batches(engine, table, condition, {"until": until})
    return Forgotten(dropped, kept, waiting)


async def find_old_days(engine: AsyncEngine, *, before: date) -> list[OldDay]:
    """Return the UTC days of job_run before `before`, the oldest first. Raises sqlalchemy.exc.DBAPIError.

    Days without a partition of their own have their rows in job_run_default.
    """
    async with transaction(engine) as connection:
        days = {day: OldDay(day, name) for day, name in (await list_days(connection)).items() if day < before}
        for day in (await connection.execute(_DEFAULT_DAYS, {"until": _midnight(before)})).scalars():
            days.setdefault(day, OldDay(day, DEFAULT_PARTITION))
    return [days[day] for day in sorted(days)]


async def has_young_rows(engine: AsyncEngine, day: OldDay, *, before: date) -> bool:
    """Tell whether a row of an old day was made on or after `before`: a sign of a wrong clock.

    The row of a suspended tick is made by its rerun, which may be long after. Raises sqlalchemy.exc.DBAPIError, and
    TimeoutError after READ_TIMEOUT_SECONDS.
    """
    statement = text(
        f"SELECT EXISTS (SELECT FROM {SCHEMA}.{day.partition}"  # noqa: S608 - constants
        f" WHERE {_OF_THE_DAY} AND created_at >= CAST(:young AS timestamptz) AND rerun_uid IS NULL)"
    )
    async with transaction(engine, timeout_seconds=READ_TIMEOUT_SECONDS) as connection:
        found: bool = (await connection.execute(statement, _limits(day) | {"young": _midnight(before)})).scalar_one()
    return found


def is_passing(error: Exception) -> bool:
    """Return whether an error of `forget` is temporary: a long reader or writer of job_run, a read-only server, or a
    database that is away.
    """
    if not isinstance(error, DBAPIError):
        return True  # no answer, or no free connection
    passing = (errors.LockNotAvailable, errors.ReadOnlySqlTransaction)
    return error.connection_invalidated or isinstance(error.orig, passing)


async def _drop(engine: AsyncEngine, day: OldDay) -> None:
    if day.partition == DEFAULT_PARTITION:
        await delete_in_batches(engine, DEFAULT_PARTITION, _OF_THE_DAY, _limits(day))
        return
    async with transaction(engine, lock_timeout_seconds=LOCK_TIMEOUT_SECONDS) as connection:
        await connection.execute(LOCK)
        await connection.execute(text(f"DROP TABLE IF EXISTS {SCHEMA}.{day.partition}"))


async def delete_in_batches(
    engine: AsyncEngine, table: str, condition: str, values: dict[str, datetime], *, batch: int = BATCH
) -> int:
    """Delete the rows of one of our tables that meet `condition`, `batch` rows at a time: no transaction may take long.

    Return how many rows were deleted. Raises sqlalchemy.exc.DBAPIError and TimeoutError.
    """
    statement = text(
        f"DELETE FROM {SCHEMA}.{table} WHERE ctid = ANY(ARRAY("  # noqa: S608 - constants
        f"SELECT ctid FROM {SCHEMA}.{table} WHERE {condition} LIMIT {batch}))"
    )
    deleted, rows = 0, batch
    while rows == batch:
        async with transaction(engine) as connection:
            rows = (await connection.execute(statement, values)).rowcount
        deleted += rows
    return deleted


def _limits(day: OldDay) -> dict[str, datetime]:
    return {"start": _midnight(day.day), "until": _midnight(day.day + timedelta(days=1))}


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
