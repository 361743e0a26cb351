"""A claim kept alive while its handler runs, on a connection of its own. Waiting for what is due is the caller's."""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING

import psycopg

from region_tick.claim import Claimed, connect, renew

if TYPE_CHECKING:
    from region_tick.database_url import DatabaseUrl

log = logging.getLogger("region_tick")


class Lease:
    """Renews a claim on a connection of its own, made when first needed: most ticks are over before."""

    def __init__(
        self, claimed: Claimed, database: DatabaseUrl, *, lease_seconds: float, renewal_seconds: float
    ) -> None:
        self.due = claimed.asked + renewal_seconds
        """When to renew next, in seconds of time.monotonic()."""
        self._claimed, self._database = claimed, database
        self._lease_seconds, self._renewal_seconds = lease_seconds, renewal_seconds
        self._over = claimed.asked + lease_seconds
        self._failures = 0
        self._connection: psycopg.Connection | None = None

    def renew(self) -> bool:
        """Renew, or put it off a little where the database fails; False once the lease is lost, or may be."""
        asked = time.monotonic()
        try:
            self._connection = self._connection or connect(self._database)
            held = renew(self._connection, self._claimed, lease_seconds=self._lease_seconds)
        except psycopg.Error as error:
            log.warning("lease not renewed", extra={"error": str(error)})
            self.close()
            held = time.monotonic() < self._over
            self._failures += 1
            pause = min(2.0**self._failures, self._renewal_seconds) * random.uniform(0.5, 1.0)  # noqa: S311
            self.due = min(time.monotonic() + pause, self._over)
        else:
            self._failures, self._over, self.due = 0, asked + self._lease_seconds, asked + self._renewal_seconds
        if not held:
            self.due = float("inf")
        return held

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
