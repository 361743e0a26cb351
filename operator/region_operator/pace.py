"""When the next reconcile is due: at a wake-up, when the refresh interval is over, or, after a failure, a little later
each time.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta

FIRST_RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 30.0


class Pace:
    """Paces one loop of reconciles. The first is due at once."""

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, uniform: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._clock = clock
        self._uniform = uniform
        self._wake = asyncio.Event()
        self._due = clock()
        self._failures = 0

    def wake(self) -> None:
        """Make the next reconcile due at once. A wake-up during a reconcile is not lost: it causes one more."""
        self._wake.set()

    async def wait(self, stopped: Awaitable[object]) -> None:
        """Return when a reconcile is due or `stopped` is done. What was woken for is forgotten now, before the table is
        read.
        """
        waits = {asyncio.ensure_future(self._wake.wait()), asyncio.ensure_future(stopped)}
        try:
            await asyncio.wait(waits, timeout=max(0.0, self._due - self._clock()), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiting in waits:
                waiting.cancel()
        self._wake.clear()

    def succeeded(self, interval: timedelta) -> None:
        """Let the next reconcile be due after `interval`."""
        self._failures = 0
        self._due = self._clock() + interval.total_seconds()

    def failed(self) -> float:
        """Let the next reconcile be due after a back-off with full jitter; return its seconds."""
        limit = min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2**self._failures)
        delay = self._uniform(limit / 2, limit)
        self._failures += 1
        self._due = self._clock() + delay
        return delay
