"""Asks the database about regions: their schedules, last successes, creators and tasks, and how far the ledger is.

Each statement is bounded: by the number of regions, by the ids that are asked for, or by a limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from psycopg.errors import QueryCanceled
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from region_operator.console.region_views import Members
from region_operator.console.standing import Version
from region_operator.console.views import LedgerProgress, ReasonCount
from region_tick.contract import State

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from region_operator.regions.slots import Slots

HOURS = 24
"""How many hours the overview counts ticks of."""

TASKS_SECONDS = 1.0
"""How long a region's page waits for the number of tasks in the queue, which may be huge."""

_VERSIONS = text("""
SELECT region_id, code, cron, cronjob, valid_from, start_deadline_seconds, suspended, suspended_by
FROM region_tick.region_schedule WHERE source = :source AND valid_to IS NULL
""")

_VERSION_AT = text("""
SELECT region_id, code, cron, cronjob, valid_from, start_deadline_seconds, suspended, suspended_by
FROM region_tick.region_schedule
WHERE source = :source AND region_id = :region_id AND valid_from < :at AND (valid_to IS NULL OR valid_to >= :at)
ORDER BY valid_from DESC LIMIT 1
""")

_SUCCESSES = text("""
SELECT region_id, max(coalesce(tick_at, window_end)) AS tick_at
FROM region_tick.region_cursor WHERE source = :source GROUP BY region_id
""")

_PROGRESS = text("""
SELECT clock_timestamp() AS now, min(coalesce(slot.accounted_until, owner.accounted_until)) AS accounted_until
FROM region_tick.slot_owner AS slot JOIN region_tick.installation AS owner USING (source, installation)
WHERE slot.source = :source AND slot.slot = ANY(CAST(:slots AS smallint[]))
""")

_HOURS = text("""
SELECT state, reason, sum(ticks)::bigint AS ticks FROM region_tick.tick_hour
WHERE source = :source AND hour > clock_timestamp() - make_interval(hours => :hours)
GROUP BY state, reason ORDER BY ticks DESC, state, reason LIMIT 200
""")

_REVISION = text("SELECT max(version_num) FROM region_tick.alembic_version")

_CREATORS = text("""
SELECT count(*) AS total, count(*) FILTER (WHERE failures > 0 OR last_error IS NOT NULL) AS failing,
    count(*) FILTER (WHERE last_polled_at IS NULL) AS waiting,
    max(last_error) FILTER (WHERE last_error IS NOT NULL) AS last_error
FROM region_tick.creator WHERE source = :source AND region_id = :region_id
""")

_TASKS = text("""
SELECT count(*) AS total, count(*) FILTER (WHERE status::text = 'failed') AS failing,
    count(*) FILTER (WHERE status::text = 'todo') AS waiting, NULL::text AS last_error
FROM region_tick.procrastinate_jobs
WHERE args ->> 'creator_id' IN (
    SELECT id::text FROM region_tick.creator WHERE source = :source AND region_id = :region_id)
""")


@dataclass(frozen=True, slots=True)
class Scheduled:
    """The current schedule of each region, by id, the codes that the CronJobs have, and the last successes."""

    versions: dict[str, Version]
    codes: dict[str, str]
    successes: dict[str, datetime]


async def read_scheduled(connection: AsyncConnection, source: str) -> Scheduled:
    """Read what all CronJobs of a table say, as the operator saw them last. Raises sqlalchemy.exc.DBAPIError."""
    rows = (await connection.execute(_VERSIONS, {"source": source})).all()
    successes = (await connection.execute(_SUCCESSES, {"source": source})).all()
    return Scheduled(
        versions={row.region_id: _version(row) for row in rows},
        codes={row.region_id: row.code for row in rows},
        successes={region_id: tick_at.astimezone(UTC) for region_id, tick_at in successes},
    )


async def read_version_at(connection: AsyncConnection, source: str, region_id: str, at: datetime) -> Version | None:
    """Return the schedule that was in force for a tick; None if none was. Raises sqlalchemy.exc.DBAPIError."""
    row = (await connection.execute(_VERSION_AT, {"source": source, "region_id": region_id, "at": at})).first()
    return None if row is None else _version(row)


async def read_progress(connection: AsyncConnection, source: str, slots: Slots) -> LedgerProgress:
    """Return up to when the ticks of the slots are accounted for. Raises sqlalchemy.exc.DBAPIError."""
    now, until = (await connection.execute(_PROGRESS, {"source": source, "slots": list(slots)})).one()
    if until is None:
        return LedgerProgress(accounted_until=None, lag_seconds=None)
    lag = max(0.0, round((now - until).total_seconds(), 3))
    return LedgerProgress(accounted_until=until.astimezone(UTC), lag_seconds=lag)


async def count_ticks(connection: AsyncConnection, source: str) -> tuple[ReasonCount, ...]:
    """Return what became of the table's ticks of the last hours, of all shards together, the most frequent first.

    Raises sqlalchemy.exc.DBAPIError.
    """
    rows = await connection.execute(_HOURS, {"source": source, "hours": HOURS})
    return tuple(ReasonCount(state=State(row.state), reason=row.reason, ticks=row.ticks) for row in rows)


async def read_revision(connection: AsyncConnection) -> str | None:
    """Return the newest migration that the database has. Raises sqlalchemy.exc.DBAPIError."""
    revision: str | None = (await connection.execute(_REVISION)).scalar_one()
    return revision


async def count_creators(connection: AsyncConnection, source: str, region_id: str) -> Members | None:
    """Return a region's creators; None if it has none. Raises sqlalchemy.exc.DBAPIError."""
    return _members((await connection.execute(_CREATORS, {"source": source, "region_id": region_id})).one())


async def count_tasks(
    reading: AbstractAsyncContextManager[AsyncConnection], source: str, region_id: str
) -> Members | None:
    """Return a region's tasks in the queue; None if it has none, or if to count them takes long: no index has them.

    `reading` is a transaction of its own, of TASKS_SECONDS. Raises what entering `reading` raises.
    """
    try:
        async with reading as connection:
            return _members((await connection.execute(_TASKS, {"source": source, "region_id": region_id})).one())
    except DBAPIError as error:
        if isinstance(error.orig, QueryCanceled):
            return None
        raise


def _members(row: Row[Any]) -> Members | None:
    members = Members(total=row.total, failing=row.failing, waiting=row.waiting, last_error=row.last_error)
    return members if members.total else None


def _version(row: Row[Any]) -> Version:
    return Version(
        cron=row.cron,
        cronjob=row.cronjob,
        since=row.valid_from.astimezone(UTC),
        start_deadline=timedelta(seconds=row.start_deadline_seconds),
        suspended=row.suspended,
        suspended_by=row.suspended_by,
    )
