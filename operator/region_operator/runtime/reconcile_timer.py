"""Decides when the next reconcile is due: soon after a wake-up, after the refresh interval, or after a back-off.

A single wake-up waits 50 ms for more wake-ups. While wake-ups stream in, the wait grows up to a second.
So ten thousand edits cost a dozen reconciles, and the last edit takes effect within a second.

A wake-up says that something changed, not that the cause of a failure is gone. So no wake-up shortens the back-off
after a failure: a busy table would turn the back-off into an attempt each second, at an API server or a database that
is in trouble already. Only an edit of the RegionScheduler ends the back-off, because a person may have mended the
cause. A reconcile that left something unfinished is no failure: both servers answered. Then a wake-up counts.
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

SHORTEST_GATHERING_SECONDS = 0.05
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
        self._failed = False
        self._wake = asyncio.Event()
        self._edit = asyncio.Event()
        self._wakes = 0
        self._woken_at = 0.0
        self.gathering = SHORTEST_GATHERING_SECONDS
        self._gathered_at = 0.0

    def wake(self) -> None:
        """Make the next reconcile due soon, but not before the end of a back-off after a failure.

        A wake-up during a reconcile causes one more reconcile afterwards.
        """
        if not self._wakes:
            self._woken_at = self._clock()
            if self._woken_at > self._gathered_at + LONGEST_GATHERING_SECONDS:
                self.gathering = SHORTEST_GATHERING_SECONDS
        self._wakes += 1
        self._wake.set()

    def end_back_off(self) -> None:
        """Make the next reconcile due soon, whatever came before: somebody edited the RegionScheduler.

        During a reconcile: a failure of this reconcile has no back-off.
        """
        self._edit.set()
        self.wake()

    async def wait(self, stopped: Awaitable[object]) -> None:
        """Return when a reconcile is due or `stopped` is done.

        Then forget the wake-ups so far: the caller reads the table only after this moment.
        """
        stop = asyncio.ensure_future(stopped)
        woken = asyncio.ensure_future((self._edit if self._failed else self._wake).wait())
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
        self._failures, self._failed = 0, False
        self._due = self._clock() + interval.total_seconds()

    def schedule_after_failure(self) -> float:
        """Make the next reconcile due after a back-off with jitter, whatever wakes. Return the back-off in seconds."""
        self._failed = True
        return self._back_off(FIRST_RETRY_SECONDS)

    def schedule_after_unfinished(self) -> float:
        """Make the next reconcile due at once, but later each time in succession, or when something wakes.

        Return the back-off in seconds.
        """
        self._failed = False
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
        self._edit.clear()
