"""Makes the operator's Postgres engine, and runs transactions with timeouts.

Everything works through PgBouncer in transaction mode. So the operator prepares no statement, sets timeouts for a
transaction only, and gives no option at the start of a connection. The pool is small, and every wait ends.

An engine belongs to one DatabaseUrl. Making a new engine after a rotation of the Secret is left to `store`.
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
"""The connections of one operator, if the URL has no connection_limit."""

MIN_POOL_SIZE = 3
"""The fewest connections, whatever the URL says. A reconcile, the ledger and `upkeep` would wait for each other longer
than the pool's timeout."""

GRACE_SECONDS = 5
"""How much longer than the server's own timeouts the operator waits for the server's error."""


def make_engine(url: DatabaseUrl) -> AsyncEngine:
    """Return an engine that connects at the first use. The caller must await the engine's dispose() at the end."""
    return create_async_engine(
        "postgresql+psycopg://",
        async_creator=partial(
            psycopg.AsyncConnection.connect,
            url.conninfo,
            prepare_threshold=None,
            fallback_application_name="region-operator",
        ),
        pool_size=max(MIN_POOL_SIZE, url.connection_limit or POOL_SIZE),
        max_overflow=0,
        pool_timeout=10,
        pool_pre_ping=True,  # a restarted database or pooler costs a round trip, not an error
        use_native_hstore=False,  # true costs a query for an unused type at each connection
    )


@asynccontextmanager
async def transaction(
    engine: AsyncEngine, *, timeout_seconds: float = 30, lock_timeout_seconds: float = 5
) -> AsyncIterator[AsyncConnection]:
    """Run the body in a transaction, with a connection from the pool.

    Each statement ends within `timeout_seconds`, waits for locks included, and each wait for a lock within
    `lock_timeout_seconds`. The whole transaction, with the wait for a connection, ends by a TimeoutError after
    `timeout_seconds` and GRACE_SECONDS. If the server hangs, psycopg takes 5 to 10 s more to give the connection up
    (AsyncConnection.wait, since 3.3).

    Also raises sqlalchemy.exc.DBAPIError, and sqlalchemy.exc.TimeoutError if all connections are in use.
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
    """Set the server's timeouts, in seconds, for the rest of the transaction."""
    await connection.execute(
        text("SELECT set_config('statement_timeout', :statement, true), set_config('lock_timeout', :lock, true)"),
        {"statement": f"{statement_seconds * 1000:.0f}", "lock": f"{lock_seconds * 1000:.0f}"},
    )


def first_line(error: BaseException | None) -> str:
    """Return the first line of an error's message, without the statement and the hints of Postgres."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
