"""Decides when the next reconcile is due: soon after a wake-up, after the refresh interval, or after a back-off.

A single wake-up waits a tenth of a second for more wake-ups. While wake-ups stream in, the wait grows up to a second.
So ten thousand edits cost a dozen reconciles, and the last edit takes effect within a second.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any

from region_operator.runtime.backoff import FIRST_RETRY_SECONDS, backoff_seconds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta

SHORTEST_GATHERING_SECONDS = 0.1
LONGEST_GATHERING_SECONDS = 1.0


class ReconcileTimer:
    """Sets the pace of one loop of reconciles. The first reconcile is due at once.

    `gathering` is how many seconds the next wake-up waits for more wake-ups.
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
        """Make the next reconcile due soon. A wake-up during a reconcile causes one more reconcile afterwards."""
        if not self._wakes:
            self._woken_at = self._clock()
            if self._woken_at > self._gathered_at + LONGEST_GATHERING_SECONDS:
                self.gathering = SHORTEST_GATHERING_SECONDS
        self._wakes += 1
        self._wake.set()

    async def wait(self, stopped: Awaitable[object]) -> None:
        """Return when a reconcile is due or `stopped` is done.

        Then forget the wake-ups so far: the caller reads the table only after this moment.
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

    def schedule_after_success(self, interval: timedelta) -> None:
        """Make the next reconcile due after `interval`, and end the consecutive failures."""
        self._failures = 0
        self._due = self._clock() + interval.total_seconds()

    def schedule_after_failure(self) -> float:
        """Make the next reconcile due after a back-off with jitter. Return the back-off in seconds."""
        return self._back_off(FIRST_RETRY_SECONDS)

    def schedule_after_unfinished(self) -> float:
        """Make the next reconcile due at once, but later each time in succession. Return the back-off in seconds."""
        return self._back_off(SHORTEST_GATHERING_SECONDS)

    def _back_off(self, first: float) -> float:
        delay = backoff_seconds(self._failures, first=first, uniform=self._uniform)
        self._failures += 1
        self._due = self._clock() + delay
        return delay

    async def _until(self, moment: float, *waits: asyncio.Future[Any]) -> None:
        timeout = max(0.0, moment - self._clock())
        await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)

    def _forget_wakes(self) -> None:
        """Forget the wake-ups. If more than one came, gather twice as long next time."""
        grown = min(2 * self.gathering, LONGEST_GATHERING_SECONDS)
        self.gathering = grown if self._wakes > 1 else SHORTEST_GATHERING_SECONDS
        self._gathered_at = self._clock()
        self._wakes = 0
        self._wake.clear()
