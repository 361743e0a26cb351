"""Renews a tick's lease while the handler runs, on a connection and in a thread of its own.

A renewal may hang for any time, on a frozen server or in a pooler's queue. The supervisor therefore watches `ends_at`,
which needs no answer of the server. The supervise module stops the handler when the lease is lost.
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
    """Renews a claim. The connection is made for the first renewal, because most ticks end before."""

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
        self._ends_at = claimed.asked + lease_seconds
        self._renewal_due_at = claimed.asked + renewal_seconds
        self._failures = 0
        self._stopped = Event()
        self._connection: psycopg.Connection | None = None

    @property
    def ends_at(self) -> float:
        """When the lease ends without a further renewal, in seconds of time.monotonic().

        The value is infinite once the tick's ending is committed.
        """
        return float("inf") if self._effects.finished else self._ends_at

    def start(self, report_loss: Callable[[Reason], None]) -> None:
        """Start a thread that renews the lease until end() or the loss of the lease.

        The thread calls `report_loss` if the database says that the lease is lost.
        """
        Thread(target=self._renew_until_stopped, args=(report_loss,), name="lease", daemon=True).start()

    def end(self) -> None:
        """Stop the renewals. A renewal under way may go on or hang: the process exits regardless."""
        self._stopped.set()

    def _renew_until_stopped(self, report_loss: Callable[[Reason], None]) -> None:
        try:
            while not self._stopped.wait(self._renewal_due_at - time.monotonic()):
                if self._effects.finished or time.monotonic() >= self._ends_at:
                    return
                if not self._renew():
                    if not self._effects.finishing:
                        report_loss(Reason.LEASE_LOST)
                    return
        finally:
            self._disconnect()

    def _renew(self) -> bool:
        """Renew the lease, or schedule a retry if the database fails. Return False if the lease is lost."""
        requested_at = time.monotonic()
        try:
            self._connection = self._connection or connect(self._database)
            is_held = renew(self._connection, self._claimed, lease_seconds=self._lease_seconds)
        except psycopg.Error as error:
            log.warning("lease not renewed", extra={"error": str(error)})
            self._disconnect()
            self._failures += 1
            pause = min(2.0**self._failures, self._renewal_seconds) * random.uniform(0.5, 1.0)  # noqa: S311
            self._renewal_due_at = min(time.monotonic() + pause, self._ends_at)
            return True
        if is_held:
            self._failures = 0
            self._ends_at = requested_at + self._lease_seconds
            self._renewal_due_at = requested_at + self._renewal_seconds
        return is_held

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
