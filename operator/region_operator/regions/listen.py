"""Waking the reconcile when the region table changes: LISTEN on a connection of its own, straight to Postgres.

An accelerator, never needed for correctness: what a lost connection or a pooler swallows, the refresh interval finds.
Hence a connection that cannot be had is a warning and no more, and every new one wakes once, because nobody knows what
happened while there was none.

A connection that is silent may be dead: a server that hangs and a network that swallows all look like a table that does
not change, and TCP's keepalives do not see a server that hangs. So it is asked something every few seconds. And one
that answers may be deaf: behind a pooler in transaction mode LISTEN succeeds and nothing is ever heard. So it first has
to hear what a second connection says.
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
"""How long the server may take to answer, or to deliver a notification, before the connection counts as lost."""

Connection = psycopg.AsyncConnection[tuple[object, ...]]


class NotListeningError(Exception):
    """There is a connection, but no notification would come through it."""


async def listen(read_url: Callable[[], str], wake: Callable[[], None]) -> None:
    """Call `wake` for every change and after every (re)connection, until cancelled. `read_url` is asked before each
    connection.
    """
    delays, said = iter(Backoffs()), ""
    while True:
        try:
            async with _listening(read_url()) as connection:
                log.info("listening", extra={"channel": CHANGES_CHANNEL})
                delays, said = iter(Backoffs()), ""
                wake()
                while True:
                    async for _ in connection.notifies(timeout=PROBE_EVERY_SECONDS):
                        wake()
                    await _execute(connection, sql.SQL("SELECT 1"))
        except (MissingDatabaseUrlError, DatabaseUrlError):
            pass  # the reconcile reports it; here it only means that there is nothing to listen to yet
        except (
            psycopg.Error,
            NotListeningError,
            OSError,
            UnicodeError,
        ) as error:  # the last two: a Secret's file; the last: a host name that IDNA refuses, too
            if said != (said := str(error).strip()):
                log.warning("not listening", extra={"error": said})
        await asyncio.sleep(next(delays))


@asynccontextmanager
async def _listening(url: str) -> AsyncIterator[Connection]:
    """Connect and listen, and hear what another connection says. Raises psycopg.Error, NotListeningError."""
    async with await _connect(url) as connection:
        echo = sql.Identifier(f"region_tick_echo_{secrets.token_hex(6)}")
        await _execute(connection, sql.SQL("LISTEN {}").format(sql.Identifier(CHANGES_CHANNEL)))
        await _execute(connection, sql.SQL("LISTEN {}").format(echo))
        async with await _connect(url) as other:
            await _execute(other, sql.SQL("NOTIFY {}").format(echo))
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
    """Execute a statement; a server that does not answer in time is an OperationalError and costs the connection."""
    executing = asyncio.ensure_future(connection.execute(statement))
    try:
        await asyncio.wait({executing}, timeout=ANSWER_SECONDS)
        if not executing.done():
            raise psycopg.OperationalError(f"the server has not answered for {ANSWER_SECONDS:.0f} s")
        executing.result()
    finally:
        if not executing.done():
            connection.pgconn.finish()  # psycopg would ask the server to cancel, and wait for that too
            executing.cancel()
