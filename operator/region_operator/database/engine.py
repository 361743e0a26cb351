"""Makes the operator's Postgres engine, and runs transactions with timeouts.

Everything works through PgBouncer in transaction mode. So the operator prepares no statement, sets timeouts and formats
for a transaction only, and gives no option at the start of a connection. The pool is small, and every wait ends.

An engine belongs to one DatabaseUrl. Making a new engine after a rotation of the Secret is left to `store`.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

import psycopg
from psycopg import errors
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFreeError
from sqlalchemy.ext.asyncio import create_async_engine

from region_operator.database.adaptation import adapt_to_values
from region_operator.runtime import metrics
from region_tick.adaptation import adapt_to_encoding

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


_SET_UP = text(
    "SELECT set_config('statement_timeout', :statement, true), set_config('lock_timeout', :lock, true),"
    " set_config('datestyle', 'ISO', true), set_config('intervalstyle', 'postgres', true)"
)

_AWAY = ("08", "28", "3D", "53", "57P", "58", "XX")
"""The beginnings of SQLSTATEs that say that the server cannot work: no connection, no login, no database, no room, a
shutdown, a broken disk or server (https://www.postgresql.org/docs/18/errcodes-appendix.html).
"""


class Failure(StrEnum):
    """What is wrong with a transaction that failed, for the metrics."""

    AWAY = "away"
    NO_ANSWER = "no answer"
    NO_CONNECTION_FREE = "no connection free"
    TOO_SLOW = "too slow"
    LOCKED = "locked"
    REFUSED = "refused"


def make_engine(url: DatabaseUrl) -> AsyncEngine:
    """Return an engine that connects at the first use. The caller must await the engine's dispose() at the end."""
    return create_async_engine(
        "postgresql+psycopg://",
        async_creator=partial(_connect, url),
        pool_size=max(MIN_POOL_SIZE, url.connection_limit or POOL_SIZE),
        max_overflow=0,
        pool_timeout=10,
        pool_pre_ping=True,  # a restarted database or pooler costs a round trip, not an error
        use_native_hstore=False,  # true costs a query for an unused type at each connection
    )


async def _connect(url: DatabaseUrl) -> psycopg.AsyncConnection:
    connection = await psycopg.AsyncConnection.connect(
        url.conninfo, prepare_threshold=None, fallback_application_name="region-operator"
    )
    adapt_to_encoding(connection)
    adapt_to_values(connection)
    return connection


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
            await set_up(connection, statement_seconds=timeout_seconds, lock_seconds=lock_timeout_seconds)
            yield connection
    except TimeoutError as error:
        if whole.expired():
            metrics.DATABASE_ERRORS.labels(Failure.NO_ANSWER).inc()
            raise TimeoutError(f"no answer within {limit:.0f} s") from error
        raise
    except (DBAPIError, NoConnectionFreeError) as error:
        metrics.DATABASE_ERRORS.labels(_kind(error)).inc()
        raise


async def set_up(connection: AsyncConnection, *, statement_seconds: float, lock_seconds: float) -> None:
    """Set the server's timeouts, in seconds, and the formats that psycopg reads, for the rest of the transaction."""
    await connection.execute(
        _SET_UP,
        {"statement": f"{statement_seconds * 1000:.0f}", "lock": f"{lock_seconds * 1000:.0f}"},
    )


def show_pool(engine: AsyncEngine) -> None:
    """Serve the state of an engine's pool in the metrics, from now on."""

    def ask(method: str) -> float:
        return float(getattr(engine.pool, method)())  # disposing of an engine gives the engine another pool

    for state, method in (("in_use", "checkedout"), ("idle", "checkedin")):
        metrics.DATABASE_CONNECTIONS.labels(state).set_function(partial(ask, method))


def _kind(error: DBAPIError | NoConnectionFreeError) -> Failure:
    if isinstance(error, NoConnectionFreeError):
        return Failure.NO_CONNECTION_FREE
    match error.orig:
        case errors.QueryCanceled():
            return Failure.TOO_SLOW
        case errors.LockNotAvailable():
            return Failure.LOCKED
    return Failure.AWAY if is_away(error) else Failure.REFUSED


def is_away(error: DBAPIError) -> bool:
    """Return whether an error says that the database cannot be reached or used, rather than refuses a statement."""
    sqlstate = getattr(error.orig, "sqlstate", None)
    return error.connection_invalidated or sqlstate is None or sqlstate.startswith(_AWAY)


def first_line(error: BaseException | None) -> str:
    """Return the first line of an error's message, without the statement and the hints of Postgres."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
