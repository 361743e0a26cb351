"""Which of many failures in a row are worth a line in the log: the first, each of another kind, a reminder every few
minutes, and the end. Pure; every attempt is counted, by the metrics too.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

REMIND_EVERY_SECONDS = 300.0

Keys = dict[str, float]
"""The log's keys that tell of a streak: how many attempts have failed, over how many seconds."""


class LogLimiter:
    """Failures one after the other, without a success in between."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._attempts = 0
        self._began = self._told = 0.0
        self._message = ""

    def note_failure(self, message: str) -> Keys | None:
        """Count a failure; return the keys of its line, None where it is not worth one."""
        now = self._clock()
        self._attempts += 1
        if self._attempts == 1:
            self._began = now
        elif message == self._message and now - self._told < REMIND_EVERY_SECONDS:
            return None
        self._told, self._message = now, message
        return self._keys()

    def note_success(self) -> Keys | None:
        """Note a success; return the keys of the line that ends a streak, None where there was none."""
        keys = self._keys() if self._attempts else None
        self._attempts = 0
        return keys

    def _keys(self) -> Keys:
        return {"attempts": self._attempts, "for_seconds": round(self._clock() - self._began, 1)}
