"""Parses cron schedules by Kubernetes' grammar and computes the times of ticks. Pure: no clock, no I/O.

A schedule is valid if the API server takes it: ParseStandard of robfig/cron v3.0.1, without a time zone in the text
(validateScheduleFormat in Kubernetes' pkg/apis/batch/validation/validation.go). All times are UTC. Some schedules are
refused although Kubernetes takes them, because nobody means them: `@every`, which is not aligned to the clock,
schedules that never fire, and what `cron_field` refuses. One thing is taken although Kubernetes does not have it: `H`,
which is compiled to fixed values (docs/decisions/0021-a-hash-of-the-code-chooses-the-minute.md).

croniter computes the times, but never decides whether a schedule is valid. croniter gets the schedule in normal form,
because croniter reads some texts differently from Kubernetes: `5-5` as every value, `*/1` as a restriction of the day,
`0-6` as no restriction.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from croniter import croniter

from region_operator.regions.cron_field import (
    DAY,
    FIELDS,
    MONTH,
    WEEKDAY,
    ScheduleError,
    parse_field,
    quoted,
    schedule_error,
)
from region_operator.regions.dialects import Foreign, read_dialect
from region_operator.regions.hashed_field import compile_hashes

_LEAP_YEAR = [date(2028, 1, 1) + timedelta(days=number) for number in range(366)]


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a region ticks.

    `written` is the text as written, with blanks collapsed. `source` is `written` with fixed values in the place of
    each `H`; `source` becomes the CronJob's `spec.schedule`. `normalised` is the same schedule as five fields, each `*`
    or a list of numbers. The other attributes are the values of the five fields, ascending.
    """

    source: str
    normalised: str
    written: str
    minutes: tuple[int, ...] = field(repr=False, compare=False)
    hours: tuple[int, ...] = field(repr=False, compare=False)
    days: tuple[int, ...] = field(repr=False, compare=False)
    months: tuple[int, ...] = field(repr=False, compare=False)
    weekdays: tuple[int, ...] = field(repr=False, compare=False)

    def next_after(self, moment: datetime) -> datetime:
        """Return the first tick strictly after `moment`: a full minute, UTC. Raises ValueError for a naive `moment`."""
        if moment.utcoffset() is None:
            raise ValueError(f"moment {moment.isoformat()} has no time zone: give it one, e.g. UTC")
        following: datetime = croniter(self.normalised, moment.astimezone(UTC), ret_type=datetime).get_next()
        return following

    def count(self, after: datetime, until: datetime) -> int:
        """Return how many ticks there are strictly after `after` and up to `until`, both in UTC and in this order.

        No tick is computed for that. If only weekdays are restricted, or nothing, the cost is the same for any time,
        also for a region that has stood still for years. Otherwise the cost grows with the days.
        """
        first = after.date()
        weeks, rest = divmod((until.date() - first).days, 7)
        if len(self.days) < DAY.size or len(self.months) < MONTH.size:
            weeks, rest = 0, 7 * weeks + rest
        days = weeks * len(self.weekdays) + sum(self.ticks_on(first + timedelta(days=number)) for number in range(rest))
        return days * len(self.hours) * len(self.minutes) + self._count_today(until) - self._count_today(after)

    def _count_today(self, moment: datetime) -> int:
        """Return how many ticks the day of `moment` has up to `moment`."""
        if not self.ticks_on(moment.date()):
            return 0
        this_hour = bisect_right(self.minutes, moment.minute) if moment.hour in self.hours else 0
        return bisect_left(self.hours, moment.hour) * len(self.minutes) + this_hour

    def ticks_on(self, day: date) -> bool:
        """Whether the schedule has any tick on a day (UTC). The hours and minutes are the same on each such day."""
        matches = (day.day in self.days, day.isoweekday() % 7 in self.weekdays)
        both_restricted = len(self.days) < DAY.size and len(self.weekdays) < WEEKDAY.size
        return day.month in self.months and (any(matches) if both_restricted else all(matches))

    def shortest_interval(self) -> timedelta:
        """Return the shortest time between two ticks, in whole minutes, across midnight too.

        The days of the schedule are ignored: the result is exact if every day matches. Otherwise the result is at most
        too short, because days without ticks only lengthen the time between ticks.
        """
        hours_apart = min(later - earlier for earlier, later in pairwise((*self.hours, self.hours[0] + 24)))
        across_hours = hours_apart * 60 - (self.minutes[-1] - self.minutes[0])
        within_hour = (later - earlier for earlier, later in pairwise(self.minutes))
        return timedelta(minutes=min((across_hours, *within_hour)))

    def mean_interval(self) -> timedelta:
        """Return the mean time between two ticks, over a leap year."""
        days = sum(map(self.ticks_on, _LEAP_YEAR))
        return timedelta(days=len(_LEAP_YEAR)) / (days * len(self.hours) * len(self.minutes))

    def start_deadline(self) -> timedelta:
        """Return how late a tick may start: a third of the shortest interval, at most 5 minutes; of an interval of more
        than 2 hours, a 24th: an hour for a daily tick. Whole seconds.

        No lower limit is needed: the densest schedule, every minute, gives 20 seconds.
        """
        interval = self.shortest_interval()
        return min(interval / 3, max(timedelta(minutes=5), interval / 24))


_LONGEST_MONTH = dict(enumerate((31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), start=1))
_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_HASHED_DESCRIPTORS = {
    "@yearly H": "H H H H *",
    "@annually H": "H H H H *",
    "@monthly H": "H H H * *",
    "@weekly H": "H H * * H",
    "@daily H": "H H * * *",
    "@midnight H": "H H(0-2) * * *",
    "@hourly H": "H * * * *",
}
"""What the descriptors mean in Jenkins. Without the H they mean what they mean in Kubernetes."""
_FIRST_CHARACTERS = "0123456789*?H"
"""What five fields begin with. Any other text is worth a look at other dialects."""
_LONGEST_IN_FULL = 150
"""The most characters of a text that a message gives in full."""
_BLANKS = re.compile("[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
"""The characters at which Go's strings.Fields splits. Python's str.split() splits at four more control characters."""


def parse_schedule(text: str, *, code: str | None = None) -> Schedule:
    """Parse a schedule in the API server's grammar, and compile each `H` by the region's code.

    Raises ScheduleError for every schedule that the module refuses, and for an `H` without a `code`: a CronJob's
    schedule never has an `H`.
    """
    words = [word for word in _BLANKS.split(text) if word]
    written = " ".join(words)
    if len(words) != len(FIELDS) or written[0] not in _FIRST_CHARACTERS:
        foreign = read_dialect(written)
        if foreign is not None:
            raise _foreign_error(written, foreign)
    if "TZ" in text:
        raise schedule_error("schedule", written, "schedules are in UTC; drop the time zone and write the time in UTC")
    if written.startswith("@"):
        words = _expand_descriptor(text).split(" ")
    if len(words) != len(FIELDS):
        raise _field_count_error(words)
    compiled = [compile_hashes(field, word, code) for field, word in zip(FIELDS, words, strict=True)]
    source = written if compiled == words else " ".join(compiled)
    minute, hour, day, month, weekday = map(parse_field, FIELDS, compiled)
    if (day.full or weekday.full) and not (day.star or weekday.star):
        # Without a star bit a day must match only one of the two fields, and one of the two matches every day: so every
        # day matches. With a star bit a day must match both fields, and the field with the star bit matches every day.
        # So croniter needs nothing but `*` and lists.
        day, weekday = parse_field(DAY, "*"), parse_field(WEEKDAY, "*")
    longest = max(_LONGEST_MONTH[number] for number in month.values)
    if weekday.full and day.values[0] > longest:
        why = f"never comes in month {quoted(words[3])}; write 1 to {longest}, or other months"
        raise schedule_error(DAY.name, words[2], why)
    values = (field.values for field in (minute, hour, day, month, weekday))
    return Schedule(source, f"{minute} {hour} {day} {month} {weekday}", written, *values)


def _expand_descriptor(text: str) -> str:
    """Return the five fields of a descriptor. As in Kubernetes: lower case, no blanks around. Raises ScheduleError."""
    collapsed = _BLANKS.sub(" ", text).strip(" ")
    meant = collapsed.lower()
    if text in _DESCRIPTORS:
        return _DESCRIPTORS[text]
    if collapsed in _HASHED_DESCRIPTORS:
        return _HASHED_DESCRIPTORS[collapsed]
    if (hashed := f"{meant.removesuffix(' h')} H") in _HASHED_DESCRIPTORS and meant.endswith(" h"):
        raise schedule_error("schedule", text, f"a descriptor is in lower case, its H is not; write {quoted(hashed)}")
    if meant in _DESCRIPTORS:
        raise schedule_error("schedule", text, f"a descriptor is in lower case, without blanks; write {quoted(meant)}")
    raise schedule_error("schedule", text, f"not a descriptor; write five fields or one of {' '.join(_DESCRIPTORS)}")


def _field_count_error(words: list[str]) -> ScheduleError:
    """Return the error for a schedule with more or fewer than five fields."""
    source = " ".join(words)
    if f"@{source.lower()}" in _DESCRIPTORS:
        return schedule_error("schedule", source, f'a descriptor begins with @; write "@{source.lower()}"')
    if (joined := re.sub(" ?, ?", ",", source)) != source:
        return _foreign_error(source, Foreign("a list has no blanks", joined))
    names = ", ".join(field.name for field in FIELDS)
    return schedule_error("schedule", source, f"{len(words)} fields; write five ({names})")


def _foreign_error(written: str, foreign: Foreign) -> ScheduleError:
    """Return the error for a schedule in another dialect. The error offers no text that would be refused in turn."""
    if foreign.meant is None:
        return schedule_error("schedule", written, foreign.why)
    try:
        parse_schedule(foreign.meant, code="any")
    except ScheduleError as error:
        inner = str(error) if len(written) + len(str(error)) < _LONGEST_IN_FULL else "write five fields"
        return schedule_error("schedule", written, f"{foreign.why}; then {inner}")
    if len(foreign.meant) > _LONGEST_IN_FULL:
        return schedule_error("schedule", written, f"{foreign.why}; write the other fields alone")
    return schedule_error("schedule", written, f"{foreign.why}; write {quoted(foreign.meant)}")
