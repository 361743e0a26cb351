"""Estimates the clock of another machine from the times that the machine's answers show. Pure but for the monotonic
clock.

An answer shows a time that was read after the request left and before the answer came. So each answer bounds how far
the other clock is ahead of this process's monotonic clock (F. Cristian, Probabilistic clock synchronization, 1989).
What several answers say together is the intersection of their bounds (K. Marzullo, 1984). This process's own wall clock
plays no part: a wrong wall clock changes no estimate.

If two answers contradict each other, the clock was set, or another machine answered, and the later answer counts.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

DRIFT = 0.0005
"""By how many seconds two clocks may part in each second: the most that NTP and PTP daemons slew a clock."""


@dataclass(frozen=True, slots=True)
class _Bounds:
    """The other clock in Unix time minus the monotonic clock: at least `low`, at most `high` seconds, at `at`."""

    low: float
    high: float
    at: float

    def at_later(self, moment: float) -> _Bounds:
        drifted = DRIFT * max(0.0, moment - self.at)
        return _Bounds(self.low - drifted, self.high + drifted, moment)


@dataclass(frozen=True, slots=True)
class Skew:
    """How far one clock is ahead of another: `seconds`, at most `error` seconds more or less."""

    seconds: float
    error: float

    @property
    def at_least(self) -> float:
        """By how many seconds the clocks differ in any case, in whichever direction."""
        return max(0.0, abs(self.seconds) - self.error)


class RemoteClock:
    """The clock of another machine, as far as its answers tell. `monotonic` returns seconds."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.monotonic = monotonic
        self._bounds: _Bounds | None = None

    def observe(self, shown: datetime, *, resolution: float, sent: float) -> None:
        """Learn from an answer that has just come.

        `shown` is the time that the answer shows, cut to `resolution` seconds. `sent` is when the request left, by
        `monotonic`.
        """
        received = self.monotonic()
        new = _Bounds(shown.timestamp() - received, shown.timestamp() + resolution - sent, received)
        if self._bounds is not None:
            old = self._bounds.at_later(received)
            both = _Bounds(max(old.low, new.low), min(old.high, new.high), received)
            new = both if both.low <= both.high else new
        self._bounds = new

    def now(self) -> datetime | None:
        """Return the other clock's time in UTC. None: no answer has shown a time yet."""
        if (bounds := self._now()) is None:
            return None
        return datetime.fromtimestamp(0, UTC) + timedelta(seconds=(bounds.low + bounds.high) / 2 + bounds.at)

    def ahead_of(self, other: RemoteClock) -> Skew | None:
        """Return how far this clock is ahead of `other`. None: one of the two is not known. Both must have the same
        monotonic clock.
        """
        mine, its = self._now(), other._now()
        if mine is None or its is None:
            return None
        low, high = mine.low - its.high, mine.high - its.low
        return Skew((low + high) / 2, (high - low) / 2)

    def _now(self) -> _Bounds | None:
        return self._bounds and self._bounds.at_later(self.monotonic())
