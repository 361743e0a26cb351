"""Chooses which of many consecutive failures get a log line. Pure.

A line is due for the first failure, for each failure with a new message, and as a reminder every few minutes. The
success that ends the failures gets a line too. Metrics count every attempt regardless.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

REMIND_EVERY_SECONDS = 300.0

LogKeys = dict[str, float]
"""Log keys about consecutive failures: how many attempts have failed, and for how many seconds."""


class LogLimiter:
    """Counts consecutive failures and limits their log lines."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._attempts = 0
        self._began = self._logged = 0.0
        self._message = ""

    def record_failure(self, message: str) -> LogKeys | None:
        """Count a failure. Return the keys for its log line, or None if no line is due."""
        now = self._clock()
        self._attempts += 1
        if self._attempts == 1:
            self._began = now
        elif message == self._message and now - self._logged < REMIND_EVERY_SECONDS:
            return None
        self._logged, self._message = now, message
        return self._keys()

    def record_success(self) -> LogKeys | None:
        """End the consecutive failures. Return the keys for a log line about the end, or None if nothing failed."""
        keys = self._keys() if self._attempts else None
        self._attempts = 0
        return keys

    def _keys(self) -> LogKeys:
        return {"attempts": self._attempts, "for_seconds": round(self._clock() - self._began, 1)}
