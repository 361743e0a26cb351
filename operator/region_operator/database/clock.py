"""Reads the database's clock, by which claims, leases and the days of job_run go."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from region_operator.runtime.remote_clock import RemoteClock

_NOW = text("SELECT clock_timestamp()")


async def database_now(connection: AsyncConnection) -> datetime:
    """Return the database's time in UTC.

    A driver returns times in the session's zone, with other minutes and with hours that come twice. Raises
    sqlalchemy.exc.DBAPIError.
    """
    now: datetime = (await connection.execute(_NOW)).scalar_one()
    return now.astimezone(UTC)


async def observe_clock(connection: AsyncConnection, clock: RemoteClock) -> datetime:
    """Return the database's time in UTC, and let `clock` learn it. Raises sqlalchemy.exc.DBAPIError."""
    sent = clock.monotonic()
    now = await database_now(connection)
    clock.observe(now, resolution=0, sent=sent)
    return now
