"""Tells whether the database is still the one that it was: the same server, with nothing taken back.

A server that is restored to an earlier point in time, and a standby that is promoted, begin a new timeline
(https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-TIMELINES). A server that was made anew has
another system identifier. A dump that is restored into the same server cannot be told. What a change means for ticks is
in docs/failure-modes.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from region_operator.database.engine import transaction

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

_HISTORY = text("""
SELECT CASE WHEN NOT pg_is_in_recovery() THEN
    (SELECT system_identifier FROM pg_control_system()) || '/'
    || ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint
END
""")
"""A WAL file's name begins with the timeline, in 8 hex digits. pg_control_checkpoint() tells of a new one later."""


async def read_history(engine: AsyncEngine) -> str:
    """Return the server's system identifier and its timeline, as "7310000000000000000/1".

    "" for a standby, and for a server that does not tell, as hosted ones may. Raises sqlalchemy.exc.DBAPIError if the
    database is away.
    """
    try:
        async with transaction(engine) as connection:
            return (await connection.execute(_HISTORY)).scalar_one() or ""
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        return ""


def explain_change(before: str, now: str) -> str:
    """Return what a change of a database's history means, for people. "" if nothing changed, or if one is unknown."""
    if not before or not now or before == now:
        return ""
    server_before, _, timeline_before = before.partition("/")
    server, _, timeline = now.partition("/")
    if server == server_before:
        what = f"a standby was promoted, or a backup restored: its timeline is {timeline} now, was {timeline_before}"
    else:
        what = f"it is on another server: its system identifier is {server} now, was {server_before}"
    return (
        f"the database is not the one that it was: {what}. What was committed shortly before may be lost, so the ledger"
        " may call ticks missed that ran, and they fetch again what they had. See that nothing writes to the former"
        " server any more (docs/failure-modes.md, Restores)"
    )
