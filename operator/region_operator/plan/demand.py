"""Counts how many ticks the schedules make due in each minute. Pure: no clock, no I/O.

Thousands of regions share a few schedules, so regions are grouped before anything is computed. Ticks of the same minute
differ only in their start deadline. What becomes of the ticks is left to `tick_queues`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from region_operator.regions.schedule import Schedule

DemandGroups: TypeAlias = "Counter[tuple[Schedule, int]]"
"""How many regions share a schedule and a start deadline, in seconds."""

Demand: TypeAlias = "dict[int, dict[int, int]]"
"""By minute (0: the first of the forecast), by start deadline in seconds: how many ticks are due."""

_MINUTE = timedelta(minutes=1)


def group_regions(schedules: Iterable[Schedule], *, start_deadline: timedelta | None) -> DemandGroups:
    """Group regions by schedule. `start_deadline` is that of the RegionScheduler; None: the schedule decides.

    No tick can start later than its region's next tick: the CronJob controller makes only the latest Job.
    """
    groups: DemandGroups = Counter()
    for schedule, regions in Counter(schedules).items():
        deadline = min(start_deadline or schedule.start_deadline(), schedule.shortest_interval())
        groups[schedule, int(deadline.total_seconds())] += regions
    return groups


def count_ticks(groups: Mapping[tuple[Schedule, int], int], *, start: datetime, minutes: int) -> Demand:
    """Count the ticks that are due from `start` on, a full minute (UTC), for a number of minutes."""
    demand: Demand = defaultdict(lambda: defaultdict(int))
    midnight = datetime.combine(start.date(), time(), tzinfo=UTC)
    days = (midnight + timedelta(days=number) for number in range((start + minutes * _MINUTE - midnight).days + 1))
    offsets = {day.date(): (day - start) // _MINUTE for day in days}
    for (schedule, deadline), regions in groups.items():
        for day, offset in offsets.items():
            if schedule.ticks_on(day):
                for hour in schedule.hours:
                    for minute in schedule.minutes:
                        if 0 <= (place := offset + 60 * hour + minute) < minutes:
                            demand[place][deadline] += regions
    return {place: dict(demand[place]) for place in sorted(demand)}
