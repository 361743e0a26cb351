"""Tells at which minutes a CronJob's schedule is due, for a tick that is run again long after its time. Pure.

A tick of today needs no such thing: the CronJob controller decided. The schedules come from CronJobs that the operator
made, so their grammar is Kubernetes' (ParseStandard of robfig/cron v3.0.1), in UTC. What the operator refuses to write
is not read here either: `@every`, time zones. Which schedules are valid is left to the operator.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TypeAlias

Values: TypeAlias = frozenset[int]

LONGEST_SEARCH = timedelta(days=8 * 366)
"""How far back the tick before is looked for. The 29th of February may be eight years away."""

_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)
_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_FIELDS: tuple[tuple[int, int, list[str]], ...] = (
    (0, 59, []),
    (0, 23, []),
    (1, 31, []),
    (1, 12, _MONTHS),
    (0, 6, _WEEKDAYS),
)


@dataclass(frozen=True, slots=True)
class Cron:
    """The values of a schedule's five fields. `any_day` says that a day must match one of the two fields of days only:
    both are restricted.
    """

    minutes: Values
    hours: Values
    days: Values
    months: Values
    weekdays: Values
    any_day: bool

    def is_due(self, moment: datetime) -> bool:
        """Whether the schedule has a tick at a moment (UTC)."""
        whole = not (moment.second or moment.microsecond)
        return whole and moment.minute in self.minutes and moment.hour in self.hours and self._ticks_on(moment.date())

    def before(self, moment: datetime) -> datetime | None:
        """Return the last tick strictly before a moment (UTC); None if there is none within LONGEST_SEARCH."""
        day, oldest = moment.replace(hour=0, minute=0, second=0, microsecond=0), moment - LONGEST_SEARCH
        while day > oldest:
            if self._ticks_on(day.date()):
                for hour in sorted(self.hours, reverse=True):
                    for minute in sorted(self.minutes, reverse=True):
                        if (tick := day + timedelta(hours=hour, minutes=minute)) < moment:
                            return tick
            day -= _DAY
        return None

    def _ticks_on(self, day: date) -> bool:
        matches = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return day.month in self.months and (any(matches) if self.any_day else all(matches))


def read_cron(text: str) -> Cron:
    """Read a schedule. Raises ValueError for a text that no CronJob of the operator has."""
    words = _DESCRIPTORS.get(text, text).split()
    if len(words) != len(_FIELDS):
        raise ValueError(f"the schedule {text!r} has {len(words)} fields: a CronJob's has five")
    (minutes, _), (hours, _), (days, each_day), (months, _), (weekdays, each_weekday) = (
        _read_field(word, *field) for word, field in zip(words, _FIELDS, strict=True)
    )
    return Cron(minutes, hours, days, months, weekdays, any_day=not (each_day or each_weekday))


def _read_field(word: str, low: int, high: int, names: list[str]) -> tuple[Values, bool]:
    """Return the values of a field, and whether a star without a step stands there: the star bit of robfig/cron."""
    values: set[int] = set()
    star = False
    for item in word.split(","):
        span, slash, step = item.partition("/")
        first, hyphen, last = span.partition("-")
        if first in ("*", "?"):
            star = star or int(step or 1) == 1
            begin, end = low, high
        else:
            begin = _read_value(first, low, names)
            end = _read_value(last, low, names) if hyphen else high if slash else begin
        values.update(range(begin, end + 1, int(step or 1)))
    return frozenset(values), star


def _read_value(text: str, low: int, names: list[str]) -> int:
    return names.index(text.lower()) + low if text.lower() in names else int(text)
