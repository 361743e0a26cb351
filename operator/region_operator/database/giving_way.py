"""Lets a migration give way to others' transactions: waits briefly for a lock, and says who holds the tables.

All ticks wait behind a revision that waits for job_run or upstream. So it soon gives up, and is tried again later. But
Postgres cancels an autovacuum only for who has waited for deadlock_timeout (storage/lmgr/proc.c, ProcSleep).

A role that may see little of others' sessions tells a process's number and the name that the process gave itself. Roles
are not told, because anybody may read the message from /readyz.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from region_operator.database.engine import transaction
from region_operator.database.tables import REGION_INDEX
from region_operator.scheduler import format_time
from region_tick.contract import SCHEMA

if TYPE_CHECKING:
    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

MAX_NAMED = 3

_SET_TIMEOUT = text(
    "SELECT set_config('lock_timeout', least(setting::int + 500, :most)::text, true)"
    " FROM pg_settings WHERE name = 'deadlock_timeout'"
)

_HOLDERS = text("""
SELECT DISTINCT pid, coalesce(nullif(application_name, ''), backend_type, 'without a name') AS name, state, xact_start
FROM pg_locks
    JOIN pg_class ON pg_class.oid = relation
    JOIN pg_namespace ON pg_namespace.oid = relnamespace
    JOIN pg_stat_activity USING (pid)
WHERE granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (nspname = :schema OR relname = :table)
    AND pid <> pg_backend_pid() AND coalesce(xact_start < clock_timestamp() - interval '1 second', true)
ORDER BY xact_start, pid LIMIT :limit
""")
"""The oldest first. Ticks that waited behind the migration are younger, and in nobody's way."""


async def wait_briefly(connection: AsyncConnection, *, most_seconds: int) -> None:
    """Let the rest of the transaction wait for a lock for half a second more than deadlock_timeout, and no longer than
    `most_seconds`. Raises sqlalchemy.exc.DBAPIError.
    """
    await connection.execute(_SET_TIMEOUT, {"most": most_seconds * 1000})


async def explain_holders(engine: AsyncEngine) -> str:
    """Return who holds our tables or region_index, and what to do. Raises nothing but cancellation."""
    try:
        async with transaction(engine, timeout_seconds=5) as connection:
            named = {"schema": SCHEMA, "table": REGION_INDEX, "limit": MAX_NAMED}
            holders = (await connection.execute(_HOLDERS, named)).all()
    except (SQLAlchemyError, TimeoutError):
        return "tables are in use, pg_stat_activity says by whom"
    if not holders:
        return "tables were in use, by transactions that have ended since"
    return (
        f"tables are in use by {', '.join(map(_name, holders))}: let them end, or end them, e.g. by"
        f" SELECT pg_terminate_backend({holders[0].pid}). Until then an operator of this release tries again, and"
        " follows neither the table nor the RegionScheduler: the CronJobs stay as they are"
    )


def _name(holder: Row[tuple[object, ...]]) -> str:
    begun = f", {holder.state} since {format_time(holder.xact_start)}" if holder.xact_start else ""
    return f"process {holder.pid} ({holder.name}{begun})"
