"""Wakes the reconcile when the region table changes: LISTEN on a separate connection, straight to Postgres.

Listening makes edits show sooner and is never needed for correctness: the refresh interval finds every change that a
lost connection or a pooler hides. So a failed connection is a warning and no more. Every new connection wakes the
reconcile once, because nobody knows what happened without a connection.

All installations of a database share the channel, and the payload names the table that changed. A notification of
another installation's table wakes nothing. Which payload concerns this installation is left to `database.triggers`.

A silent connection may be dead. A hanging server and a network that drops everything both look like a table without
changes. TCP's keepalives do not notice a hanging server. So the connection runs a query every few seconds. The query
asks for the table's version: a table that somebody dropped and made again has no trigger, and is silent as well.

A connection that answers may still be deaf. Behind a pooler in transaction mode LISTEN succeeds, but no notification
ever arrives. So a new connection must first receive a notification that a second connection sends.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NoReturn

import psycopg
from psycopg import sql

from region_operator.database.table_version import ask_table_version
from region_operator.runtime.backoff import Backoffs
from region_operator.settings import MissingDatabaseUrlError
from region_tick.contract import CHANGES_CHANNEL
from region_tick.database_url import DatabaseUrl, DatabaseUrlError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from region_operator.regions.hearing import Hearing

log = logging.getLogger(__name__)

PROBE_EVERY_SECONDS = 3.0
ANSWER_SECONDS = 3.0
"""How long an answer or a notification may take before the connection counts as lost."""

Connection = psycopg.AsyncConnection[tuple[object, ...]]
Cursor = psycopg.AsyncCursor[tuple[object, ...]]


class NotListeningError(Exception):
    """The connection works, but would receive no notification."""


async def listen(read_url: Callable[[], str], wake: Callable[[], None], hearing: Hearing) -> None:
    """Call `wake` after every notification that concerns the followed table, every new connection, and every change of
    the table's version, until cancelled.

    Records in `hearing` whether a connection listens. `read_url` is called before each connection, because the URL may
    change. The same error is logged, and wakes, only once in a row: the reconcile reports the error.
    """
    delays, last_error = iter(Backoffs()), ""
    while True:
        try:
            async with _open_listener(read_url()) as connection:
                log.info("listening", extra={"channel": CHANGES_CHANNEL})
                delays, last_error = iter(Backoffs()), ""
                hearing.connection_problem = ""
                await _hear(connection, wake, hearing)
        except (MissingDatabaseUrlError, DatabaseUrlError):
            pass  # the reconcile reports the missing URL; until then there is nothing to listen to
        except (
            psycopg.Error,
            NotListeningError,
            OSError,
            UnicodeError,
        ) as error:  # OSError: the Secret's file; UnicodeError: the file's bytes, or a host name that IDNA refuses
            hearing.connection_problem = f"no connection listens: {str(error).strip() or repr(error)}"
            if last_error != (last_error := hearing.connection_problem):
                log.warning("not listening", extra={"error": str(error).strip()})
                wake()
        await asyncio.sleep(next(delays))


async def _hear(connection: Connection, wake: Callable[[], None], hearing: Hearing) -> NoReturn:
    """Wake at once, then for what the connection tells, until psycopg.Error.

    A version that is neither that of the last answer nor that of the last reading wakes: somebody else changed the
    table after the reading. A reading that fails wakes no more than once.
    """
    wake()
    triggers, last = hearing.triggers, None
    while True:
        if last != (last := await _ask_version(connection, triggers.followed)) and last != triggers.version:
            wake()
        async for notification in connection.notifies(timeout=PROBE_EVERY_SECONDS):
            if triggers.concerns(notification.payload):
                hearing.hear()
                wake()


@asynccontextmanager
async def _open_listener(url: str) -> AsyncIterator[Connection]:
    """Connect, LISTEN, and receive one notification from a second connection as a proof.

    Raises psycopg.Error, NotListeningError.
    """
    async with await _connect(url) as connection:
        echo = sql.Identifier(f"region_tick_echo_{secrets.token_hex(6)}")
        await _execute(connection, sql.SQL("LISTEN {}").format(sql.Identifier(CHANGES_CHANNEL)))
        await _execute(connection, sql.SQL("LISTEN {}").format(echo))
        async with await _connect(url) as sender:
            await _execute(sender, sql.SQL("NOTIFY {}").format(echo))
        if not [heard async for heard in connection.notifies(timeout=ANSWER_SECONDS, stop_after=1)]:
            raise NotListeningError(
                "LISTEN succeeds, but no notification arrives: is this a pooler in transaction mode?"
                " Set DATABASE_DIRECT_URL to Postgres itself; until then edits show at the refresh interval"
            )
        await _execute(connection, sql.SQL("UNLISTEN {}").format(echo))
        yield connection


async def _connect(url: str) -> Connection:
    return await psycopg.AsyncConnection.connect(
        DatabaseUrl.parse(url).conninfo, autocommit=True, fallback_application_name="region-operator listen"
    )


async def _ask_version(connection: Connection, table: tuple[str, str] | None) -> object:
    """Return the version of the table, None without a table. In both cases the connection has answered."""
    question = ask_table_version(schema=table[0], table=table[1]) if table else sql.SQL("SELECT NULL")
    answer = await (await _execute(connection, question)).fetchone()
    return answer and answer[0]


async def _execute(connection: Connection, statement: sql.SQL | sql.Composed) -> Cursor:
    """Execute a statement. Raises OperationalError and closes the connection if no answer comes in ANSWER_SECONDS."""
    executing = asyncio.ensure_future(connection.execute(statement))
    try:
        await asyncio.wait({executing}, timeout=ANSWER_SECONDS)
        if not executing.done():
            raise psycopg.OperationalError(f"the server has not answered for {ANSWER_SECONDS:.0f} s")
        return executing.result()
    finally:
        if not executing.done():
            connection.pgconn.finish()  # psycopg would ask the server to cancel the statement, and wait for the answer
            executing.cancel()
