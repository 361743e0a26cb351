"""Knows the next ticks of schedules, each computed once. Pure.

Ten thousand regions share few schedules and few moments, and every page asks for them anew.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from region_operator.regions.schedule import parse_schedule

if TYPE_CHECKING:
    from datetime import datetime

    from region_operator.regions.schedule import Schedule

_REMEMBERED = 100_000
"""Two answers for each region of the largest spec.maxRegions: with fewer, a reading forgets what the next one asks."""

parse = lru_cache(maxsize=_REMEMBERED)(parse_schedule)


@lru_cache(maxsize=_REMEMBERED)
def two_ticks_after(cron: str, moment: datetime) -> tuple[datetime, datetime]:
    """Return the two next ticks after a moment, of a schedule without `H`. Remembered, because moments change seldom.

    Raises ScheduleError.
    """
    schedule = parse(cron)
    first = schedule.next_after(moment)
    return first, schedule.next_after(first)


def next_of(schedule: Schedule, now: datetime) -> datetime:
    """Return the next tick of a schedule, remembered for the minute."""
    return _next_of(schedule, now.replace(second=0, microsecond=0))


@lru_cache(maxsize=_REMEMBERED)
def _next_of(schedule: Schedule, minute: datetime) -> datetime:
    return schedule.next_after(minute)
