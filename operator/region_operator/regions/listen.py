"""Wakes the reconcile when the region table changes: LISTEN on a separate connection, straight to Postgres.

Listening makes edits show sooner and is never needed for correctness: the refresh interval finds every change that a
lost connection or a pooler hides. So a failed connection is a warning and no more. Every new connection wakes the
reconcile once, because nobody knows what happened without a connection.

All installations of a database share the channel, and the payload names the table that changed. A notification of
another installation's table wakes nothing. Which payload concerns this installation is left to `database.triggers`.

A silent connection may be dead. A hanging server and a network that drops everything both look like a table without
changes. TCP's keepalives do not notice a hanging server. So the connection runs a query every few seconds.

A connection that answers may still be deaf. Behind a pooler in transaction mode LISTEN succeeds, but no notification
ever arrives. So a new connection must first receive a notification that a second connection sends.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from region_operator.runtime.backoff import Backoffs
from region_operator.settings import MissingDatabaseUrlError
from region_tick.contract import CHANGES_CHANNEL
from region_tick.database_url import DatabaseUrl, DatabaseUrlError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

log = logging.getLogger(__name__)

PROBE_EVERY_SECONDS = 3.0
ANSWER_SECONDS = 3.0
"""How long an answer or a notification may take before the connection counts as lost."""

Connection = psycopg.AsyncConnection[tuple[object, ...]]


class NotListeningError(Exception):
    """The connection works, but would receive no notification."""


async def listen(read_url: Callable[[], str], wake: Callable[[], None], *, concerns: Callable[[str], bool]) -> None:
    """Call `wake` after every notification that `concerns` us, and after every new connection, until cancelled.

    `concerns` gets the payload. `read_url` is called before each connection, because the URL may change. The same error
    is logged only once in a row.
    """
    delays, last_error = iter(Backoffs()), ""
    while True:
        try:
            async with _open_listener(read_url()) as connection:
                log.info("listening", extra={"channel": CHANGES_CHANNEL})
                delays, last_error = iter(Backoffs()), ""
                wake()
                while True:
                    async for notification in connection.notifies(timeout=PROBE_EVERY_SECONDS):
                        if concerns(notification.payload):
                            wake()
                    await _execute(connection, sql.SQL("SELECT 1"))
        except (MissingDatabaseUrlError, DatabaseUrlError):
            pass  # the reconcile reports the missing URL; until then there is nothing to listen to
        except (
            psycopg.Error,
            NotListeningError,
            OSError,
            UnicodeError,
        ) as error:  # OSError: the Secret's file; UnicodeError: the file's bytes, or a host name that IDNA refuses
            if last_error != (last_error := str(error).strip()):
                log.warning("not listening", extra={"error": last_error})
        await asyncio.sleep(next(delays))


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


async def _execute(connection: Connection, statement: sql.SQL | sql.Composed) -> None:
    """Execute a statement. Raises OperationalError and closes the connection if no answer comes in ANSWER_SECONDS."""
    executing = asyncio.ensure_future(connection.execute(statement))
    try:
        await asyncio.wait({executing}, timeout=ANSWER_SECONDS)
        if not executing.done():
            raise psycopg.OperationalError(f"the server has not answered for {ANSWER_SECONDS:.0f} s")
        executing.result()
    finally:
        if not executing.done():
            connection.pgconn.finish()  # psycopg would ask the server to cancel the statement, and wait for the answer
            executing.cancel()
