"""Forecasts the next 24 hours: which ticks start in time, late, or never. Pure: no clock, no I/O.

The forecast is computed from the schedules, from spec.concurrency, from the CronJob controller's rate, and from how
long a tick holds its slot. An hour before the first minute is simulated too, so that the first minute finds the queues
as the minutes before left the queues. So a forecast of the same schedules is the same at any hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from region_operator.plan.demand import count_ticks
from region_operator.plan.sufficient_capacity import sufficient_rate, sufficient_slots
from region_operator.plan.tick_queues import Capacity, simulate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from region_operator.regions.schedule import Schedule
    from region_operator.scheduler import Spec

HOURS = 24
_MINUTES = 60 * HOURS
_MINUTES_BEFORE = 60
END_SECONDS = 1.0
"""How long the slot of a tick that ended stays empty: the quota counts the pod out, and the next Job is nudged."""


@dataclass(frozen=True, slots=True)
class TickTime:
    """How long a tick takes, in seconds: from the creation of its pod to its claim, and from there to its end.

    `measured` is False for an assumption.
    """

    start_seconds: float
    run_seconds: float
    measured: bool = True

    @property
    def slot_seconds(self) -> float:
        """How long a tick holds its slot."""
        return self.start_seconds + self.run_seconds + END_SECONDS


ASSUMED_TICK_TIME = TickTime(start_seconds=3.0, run_seconds=1.0, measured=False)
"""For a region table whose ledger has too few ticks: a pod that starts on a warm node, and a short handler."""


@dataclass(frozen=True, slots=True)
class Minute:
    """A minute with ticks (UTC): how many are due, start LATE_SECONDS or more after the minute, or never start."""

    at: datetime
    due: int
    late: int
    lost: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """What becomes of the ticks of HOURS from `start` on. `minutes` has the minutes with ticks, in their order."""

    start: datetime
    capacity: Capacity
    tick_time: TickTime
    minutes: Sequence[Minute]
    sufficient_slots: int
    sufficient_rate: float

    @property
    def due(self) -> int:
        return sum(minute.due for minute in self.minutes)

    @property
    def late(self) -> int:
        return sum(minute.late for minute in self.minutes)

    @property
    def lost(self) -> int:
        return sum(minute.lost for minute in self.minutes)

    @property
    def fits(self) -> bool:
        """Whether no tick is lost. A late tick waits for a slot as it should."""
        return self.lost == 0

    def worst(self, count: int) -> list[Minute]:
        """Return the worst minutes with late or lost ticks, the worst first."""
        bad = [minute for minute in self.minutes if minute.late or minute.lost]
        return sorted(bad, key=lambda minute: (-minute.lost, -minute.late, -minute.due, minute.at.time()))[:count]


def make_forecast(
    groups: Mapping[tuple[Schedule, int], int], spec: Spec, *, tick_time: TickTime, start: datetime
) -> Forecast:
    """Forecast the ticks of `groups` (of `demand.group_regions`) for HOURS from `start` on, a full minute in UTC."""
    capacity = Capacity(
        slots=spec.concurrency,
        jobs_per_second=spec.capacity.jobs_per_second,
        start_seconds=tick_time.start_seconds,
        slot_seconds=tick_time.slot_seconds,
    )
    before = timedelta(minutes=_MINUTES_BEFORE)
    demand = count_ticks(groups, start=start - before, minutes=_MINUTES_BEFORE + _MINUTES)
    minutes = tuple(
        Minute(start - before + timedelta(minutes=place), round(found.due), round(found.late), round(found.lost))
        for place, found in simulate(demand, capacity).items()
        if place >= _MINUTES_BEFORE
    )
    return Forecast(
        start, capacity, tick_time, minutes, sufficient_slots(demand, capacity), sufficient_rate(demand, capacity)
    )
