"""Waking the reconcile when the region table changes: LISTEN on a connection of its own, straight to Postgres.

An accelerator, never needed for correctness: what a lost connection or a pooler swallows, the refresh interval finds.
Hence every new connection wakes once, because nobody knows what happened while there was none.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from region_operator.settings import MissingDatabaseUrlError
from region_tick.contract import CHANGES_CHANNEL
from region_tick.database_url import DatabaseUrl, DatabaseUrlError

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

DEBOUNCE_SECONDS = 0.1
FIRST_RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 30.0


class Debounce:
    """Turns a burst of calls into one, at the burst's first call plus `seconds`."""

    def __init__(self, call: Callable[[], None], *, seconds: float) -> None:
        self._call = call
        self._seconds = seconds
        self._pending: asyncio.TimerHandle | None = None

    def __call__(self) -> None:
        if self._pending is None:
            self._pending = asyncio.get_running_loop().call_later(self._seconds, self._fire)

    def _fire(self) -> None:
        self._pending = None
        self._call()


async def listen(read_url: Callable[[], str], wake: Callable[[], None]) -> None:
    """Call `wake` for every burst of changes and after every (re)connection, until cancelled. `read_url` is asked
    before each connection.
    """
    changed = Debounce(wake, seconds=DEBOUNCE_SECONDS)
    failures = 0
    while True:
        try:
            async with await _connect(read_url()) as connection:
                log.info("listening", extra={"channel": CHANGES_CHANNEL})
                failures = 0
                changed()
                async for _ in connection.notifies():
                    changed()
        except (MissingDatabaseUrlError, DatabaseUrlError):
            pass  # the reconcile reports it; here it only means that there is nothing to listen to yet
        except psycopg.Error as error:
            log.warning("not listening", extra={"error": str(error).strip()})
        limit = min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2**failures)
        failures += 1
        await asyncio.sleep(random.uniform(limit / 2, limit))  # noqa: S311 - jitter, not a secret


async def _connect(url: str) -> psycopg.AsyncConnection[tuple[object, ...]]:
    connection = await psycopg.AsyncConnection.connect(
        DatabaseUrl.parse(url).conninfo, autocommit=True, fallback_application_name="region-operator listen"
    )
    await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANGES_CHANNEL)))
    return connection
