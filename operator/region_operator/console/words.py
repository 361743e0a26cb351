"""Says a schedule in English, so that a person sees at once whether it is what was meant. Pure."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from region_operator.regions.cron_field import DAY, WEEKDAY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from region_operator.regions.schedule import Schedule

MOST_TIMES = 6
"""How many times of the day are listed one by one."""

_MINUTES, _HOURS, _MONTHS = 60, 24, 12
_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MONTH_NAMES = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)


def schedule_in_words(schedule: Schedule) -> str:
    """Return e.g. "every 5 minutes of the hours 8 to 17, on Monday to Friday" (UTC)."""
    return ", ".join(filter(None, (_times(schedule), _days(schedule), _months(schedule))))


def _times(schedule: Schedule) -> str:
    minutes, hours = schedule.minutes, schedule.hours
    if len(hours) < _HOURS and len(minutes) * len(hours) <= MOST_TIMES:
        return f"at {listed([f'{hour:02}:{minute:02}' for hour in hours for minute in minutes])}"
    text = _minutes(minutes)
    if len(hours) == _HOURS:
        return text if text.startswith("every") else f"{text} of every hour"
    return f"{text} of the hour{'s' * (len(hours) > 1)} {listed(runs(hours))}"


def _minutes(minutes: Sequence[int]) -> str:
    if len(minutes) == _MINUTES:
        return "every minute"
    if step := step_of(minutes, _MINUTES):
        return f"every {step} minutes" + (f" from minute {minutes[0]} on" if minutes[0] else "")
    return f"at minute{'s' * (len(minutes) > 1)} {listed(runs(minutes))}"


def _days(schedule: Schedule) -> str:
    """Say the days. If both fields restrict the days, a day that matches one of the two will do."""
    texts = []
    if len(schedule.days) < DAY.size:
        texts.append(f"on day{'s' * (len(schedule.days) > 1)} {listed(runs(schedule.days))} of the month")
    if len(schedule.weekdays) < WEEKDAY.size:
        texts.append(f"on {listed(runs(schedule.weekdays, _WEEKDAYS))}")
    return " and ".join(texts)


def _months(schedule: Schedule) -> str:
    months = [month - 1 for month in schedule.months]
    return f"in {listed(runs(months, _MONTH_NAMES))}" if len(months) < _MONTHS else ""


def step_of(values: Sequence[int], size: int) -> int | None:
    """Return the step of values that are as far apart everywhere, across the end too; None if there is none."""
    apart = {later - earlier for earlier, later in pairwise((*values, values[0] + size))}
    return apart.pop() if len(values) > 1 and len(apart) == 1 else None


def runs(values: Sequence[int], names: Sequence[str] = ()) -> list[str]:
    """Return ascending values as texts, three or more in a row as "1 to 3"."""
    found: list[list[int]] = []
    for value in values:
        if found and value == found[-1][-1] + 1:
            found[-1].append(value)
        else:
            found.append([value])
    texts = []
    for run in found:
        named = [names[value] if names else str(value) for value in run]
        texts += [f"{named[0]} to {named[-1]}"] if len(run) > 2 else named
    return texts


def listed(texts: Sequence[str]) -> str:
    """Join texts by commas and "and"."""
    return " and ".join(filter(None, (", ".join(texts[:-1]), texts[-1])))
