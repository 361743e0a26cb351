"""How the operator talks to Postgres: few connections, no state in a session, an end to every wait.

All of it goes through PgBouncer in transaction mode: nothing is prepared, nothing is set but for a transaction, no
option is given at start-up. An engine belongs to one DatabaseUrl; whoever reads a rotated Secret makes a new engine
and disposes of the old one.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import psycopg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from region_tick.database_url import DatabaseUrl

POOL_SIZE = 4
"""Connections of one operator where the URL has no connection_limit."""

NEEDED = 2
"""Whatever the URL says: reconciles and the ledger would wait for each other beyond what a pool has patience for."""

GRACE_SECONDS = 5
"""How much longer than the server's own timeouts we wait for the server to tell of them."""


def make_engine(url: DatabaseUrl) -> AsyncEngine:
    """Make an engine, which connects when it is first used. Await its dispose() at the end."""
    return create_async_engine(
        "postgresql+psycopg://",
        async_creator=partial(
            psycopg.AsyncConnection.connect,
            url.conninfo,
            prepare_threshold=None,
            fallback_application_name="region-operator",
        ),
        pool_size=max(NEEDED, url.connection_limit or POOL_SIZE),
        max_overflow=0,
        pool_timeout=10,
        pool_pre_ping=True,  # a restarted database or pooler costs a round trip, not an error
        use_native_hstore=False,  # looks for a type that we do not use, at each connection
    )


@asynccontextmanager
async def transaction(
    engine: AsyncEngine, *, timeout_seconds: float = 30, lock_timeout_seconds: float = 5
) -> AsyncIterator[AsyncConnection]:
    """Run the body in a transaction, each statement of which ends within `timeout_seconds`, locks waited for included.

    The whole, the wait for a connection included, ends GRACE_SECONDS later by a TimeoutError; where the server hangs,
    psycopg takes 5 to 10 s more to give the connection up (AsyncConnection.wait, since 3.3). Raises also
    sqlalchemy.exc.DBAPIError and, where all connections are in use, sqlalchemy.exc.TimeoutError.
    """
    limit = timeout_seconds + GRACE_SECONDS
    try:
        async with asyncio.timeout(limit) as whole, engine.begin() as connection:
            await set_timeouts(connection, statement_seconds=timeout_seconds, lock_seconds=lock_timeout_seconds)
            yield connection
    except TimeoutError as error:
        if whole.expired():
            raise TimeoutError(f"no answer within {limit:.0f} s") from error
        raise


async def set_timeouts(connection: AsyncConnection, *, statement_seconds: float, lock_seconds: float) -> None:
    """Set the server's timeouts for the rest of the transaction."""
    await connection.execute(
        text("SELECT set_config('statement_timeout', :statement, true), set_config('lock_timeout', :lock, true)"),
        {"statement": f"{statement_seconds * 1000:.0f}", "lock": f"{lock_seconds * 1000:.0f}"},
    )


def first_line(error: BaseException | None) -> str:
    """Return what an error says, without the statement and the hints that Postgres adds to it."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
