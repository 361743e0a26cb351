"""When the next reconcile is due: soon after a wake-up, when the refresh interval is over, or, after a failure, a
little later each time.

A lone wake-up waits a tenth of a second for others. While they stream in, the wait grows up to a second, so that ten
thousand edits cost a dozen reconciles and the last of them still shows in a second.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any

from region_operator.runtime.backoff import FIRST_RETRY_SECONDS, back_off

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta

SHORTEST_GATHERING_SECONDS = 0.1
LONGEST_GATHERING_SECONDS = 1.0


class ReconcileTimer:
    """Paces one loop of reconciles. The first is due at once.

    `gathering` is how many seconds the next wake-up will wait for others.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, uniform: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._clock = clock
        self._uniform = uniform
        self._due = clock()
        self._failures = 0
        self._wake = asyncio.Event()
        self._wakes = 0
        self._woken_at = 0.0
        self.gathering = SHORTEST_GATHERING_SECONDS
        self._gathered_at = 0.0

    def wake(self) -> None:
        """Make the next reconcile due soon. A wake-up during a reconcile is not lost: it causes one more."""
        if not self._wakes:
            self._woken_at = self._clock()
            if self._woken_at > self._gathered_at + LONGEST_GATHERING_SECONDS:
                self.gathering = SHORTEST_GATHERING_SECONDS
        self._wakes += 1
        self._wake.set()

    async def wait(self, stopped: Awaitable[object]) -> None:
        """Return when a reconcile is due or `stopped` is done. What was woken for is forgotten now, before the table is
        read.
        """
        stop = asyncio.ensure_future(stopped)
        woken = asyncio.ensure_future(self._wake.wait())
        try:
            await self._until(self._due, stop, woken)
            if self._wakes:
                await self._until(min(self._due, self._woken_at + self.gathering), stop)
        finally:
            stop.cancel()
            woken.cancel()
        self._forget_wakes()

    def succeeded(self, interval: timedelta) -> None:
        """Let the next reconcile be due after `interval`."""
        self._failures = 0
        self._due = self._clock() + interval.total_seconds()

    def failed(self) -> float:
        """Let the next reconcile be due after a back-off with full jitter; return its seconds."""
        return self._back_off(FIRST_RETRY_SECONDS)

    def unfinished(self) -> float:
        """Let the next reconcile be due at once, but later each time in a row; return its seconds."""
        return self._back_off(SHORTEST_GATHERING_SECONDS)

    def _back_off(self, first: float) -> float:
        delay = back_off(self._failures, first=first, uniform=self._uniform)
        self._failures += 1
        self._due = self._clock() + delay
        return delay

    async def _until(self, moment: float, *waits: asyncio.Future[Any]) -> None:
        timeout = max(0.0, moment - self._clock())
        await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)

    def _forget_wakes(self) -> None:
        """Gather longer next time where this time there was something to gather."""
        grown = min(2 * self.gathering, LONGEST_GATHERING_SECONDS)
        self.gathering = grown if self._wakes > 1 else SHORTEST_GATHERING_SECONDS
        self._gathered_at = self._clock()
        self._wakes = 0
        self._wake.clear()
