"""Says in English when a schedule ticks: "at 03:17 from Monday to Friday". Pure.

The words come from the parsed values, never from the text: so two texts of one schedule have the same words, and a hash
is said by the minute that it chose. Shapes that people write have words of their own. Every other schedule is said
field by field, which is longer and just as true. All times are UTC; a page says so once.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from region_operator.regions.cron_field import DAY, FIELDS, WEEKDAY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from region_operator.regions.schedule import Schedule

_MINUTE, _HOUR, _, _MONTH, _ = FIELDS
_MOST_TIMES = 6
"""How many times of day are listed one by one."""
_SHORTEST_SPAN = 3
"""How many neighbours are said as "from ... to ..."."""


def say_schedule(schedule: Schedule) -> str:
    """Return when the schedule ticks, without a full stop: "every 15 minutes", "at 03:17 on Mondays"."""
    days = _say_days(schedule)
    times = _say_times(schedule.minutes, schedule.hours)
    words = f"{times} {days}" if days else f"every day {times}" if times.startswith("at ") else times
    return (
        f"{words} (H chose the numbers)" if "H" in schedule.written and schedule.written != schedule.source else words
    )


def _say_times(minutes: Sequence[int], hours: Sequence[int]) -> str:
    """Say the minutes of a day."""
    if len(minutes) * len(hours) <= _MOST_TIMES:
        return f"at {_join([f'{hour:02}:{minute:02}' for hour in hours for minute in minutes])}"
    rhythm = _say_rhythm(minutes)
    if len(hours) == _HOUR.size:
        return rhythm or f"every hour at minutes {_say_numbers(minutes)}"
    if rhythm and _is_span(hours):
        return f"{rhythm} from {hours[0]:02}:{minutes[0]:02} to {hours[-1]:02}:{minutes[-1]:02}"
    if rhythm:
        return f"{rhythm} in the hours {_say_numbers(hours)}"
    return f"at minutes {_say_numbers(minutes)} of the hours {_say_numbers(hours)}"


def _say_rhythm(minutes: Sequence[int]) -> str:
    """Say minutes that are equally far apart, over the hour's end too. Return "" for other minutes."""
    if len(minutes) == _MINUTE.size:
        return "every minute"
    if len(minutes) == 1:
        return f"every hour at minute {minutes[0]}"
    step, rest = divmod(_MINUTE.size, len(minutes))
    if rest or tuple(minutes) != tuple(range(minutes[0], _MINUTE.size, step)):
        return ""
    return f"every {step} minutes" + (f", first at minute {minutes[0]} of the hour" if minutes[0] else "")


def _say_days(schedule: Schedule) -> str:
    """Say the days. Return "" for every day.

    If a schedule restricts both the day of the month and the day of the week, either is enough, as `Schedule.ticks_on`
    says.
    """
    either = []
    if len(schedule.days) < DAY.size:
        either.append(f"on {'day' if len(schedule.days) == 1 else 'days'} {_say_numbers(schedule.days)} of the month")
    if len(schedule.weekdays) < WEEKDAY.size:
        either.append(_say_weekdays(schedule.weekdays))
    days = " and also ".join(either)
    if len(schedule.months) == _MONTH.size:
        return days
    names = [_MONTH.names[number - 1].capitalize() for number in schedule.months]
    months = f"from {names[0]} to {names[-1]}" if _is_long_span(schedule.months) else f"in {_join(names)}"
    return f"{days}, {months}" if days else f"on every day {months}"


def _say_weekdays(numbers: Sequence[int]) -> str:
    """Say days of the week. A week begins on Monday, so Saturday and Sunday are neighbours."""
    ordered = sorted(numbers, key=lambda number: (number - 1) % WEEKDAY.size)
    names = [WEEKDAY.names[number].capitalize() for number in ordered]
    if _is_long_span([(number - 1) % WEEKDAY.size for number in ordered]):
        return f"from {names[0]} to {names[-1]}"
    return f"on {_join([f'{name}s' for name in names])}"


def _say_numbers(numbers: Sequence[int]) -> str:
    """Say ascending numbers: "1, 15 to 20 and 31"."""
    runs = [[number for _, number in run] for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])]
    words: list[str] = []
    for run in runs:
        words += [f"{run[0]} to {run[-1]}"] if len(run) >= _SHORTEST_SPAN else map(str, run)
    return _join(words)


def _is_span(numbers: Sequence[int]) -> bool:
    return numbers[-1] - numbers[0] == len(numbers) - 1


def _is_long_span(numbers: Sequence[int]) -> bool:
    return _is_span(numbers) and len(numbers) >= _SHORTEST_SPAN


def _join(words: Sequence[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
