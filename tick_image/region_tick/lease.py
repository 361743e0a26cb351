"""A claim kept alive while its handler runs, on a connection and thread of its own.

Believes that a renewal may hang for as long as it likes, on a frozen server or in a pooler's queue: whoever waits for
news looks at `over`, which needs no answer from anybody. What is left to others: to say so, and to stop the handler.
"""

from __future__ import annotations

import logging
import random
import time
from threading import Event, Thread
from typing import TYPE_CHECKING

import psycopg

from region_tick.contract import Reason
from region_tick.fence import renew
from region_tick.session import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from region_tick.claim import Claimed
    from region_tick.database_url import DatabaseUrl
    from region_tick.effects import Effects

log = logging.getLogger("region_tick")


class Lease:
    """Renews a claim, on a connection made when first needed: most ticks are over before."""

    def __init__(
        self,
        claimed: Claimed,
        database: DatabaseUrl,
        effects: Effects,
        *,
        lease_seconds: float,
        renewal_seconds: float,
    ) -> None:
        self._claimed, self._database, self._effects = claimed, database, effects
        self._lease_seconds, self._renewal_seconds = lease_seconds, renewal_seconds
        self._over = claimed.asked + lease_seconds
        self._due = claimed.asked + renewal_seconds
        self._failures = 0
        self._ended = Event()
        self._connection: psycopg.Connection | None = None

    @property
    def over(self) -> float:
        """When it ends unless it is renewed, in seconds of time.monotonic(); never once the tick's end is committed."""
        return float("inf") if self._effects.finished else self._over

    def start(self, lost: Callable[[Reason], None]) -> None:
        """Renew it whenever that is due, until it ends; call `lost` where the database says that it did."""
        Thread(target=self._keep, args=(lost,), name="lease", daemon=True).start()

    def end(self) -> None:
        """Renew it no more. A renewal that is under way may go on, or hang: the process ends under it."""
        self._ended.set()

    def _keep(self, lost: Callable[[Reason], None]) -> None:
        try:
            while not self._ended.wait(self._due - time.monotonic()):
                if self._effects.finished or time.monotonic() >= self._over:
                    return
                if not self._renew():
                    if not self._effects.finishing:
                        lost(Reason.LEASE_LOST)
                    return
        finally:
            self._disconnect()

    def _renew(self) -> bool:
        """Renew, or put it off a little where the database fails; False where it says that the lease is lost."""
        asked = time.monotonic()
        try:
            self._connection = self._connection or connect(self._database)
            held = renew(self._connection, self._claimed, lease_seconds=self._lease_seconds)
        except psycopg.Error as error:
            log.warning("lease not renewed", extra={"error": str(error)})
            self._disconnect()
            self._failures += 1
            pause = min(2.0**self._failures, self._renewal_seconds) * random.uniform(0.5, 1.0)  # noqa: S311
            self._due = min(time.monotonic() + pause, self._over)
            return True
        if held:
            self._failures, self._over, self._due = 0, asked + self._lease_seconds, asked + self._renewal_seconds
        return held

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
