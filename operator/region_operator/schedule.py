"""Cron schedules: Kubernetes' grammar, a normal form, and the times that follow from it. Pure: no clock, no I/O.

What may be written is what the API server takes, always in UTC: ParseStandard of robfig/cron v3.0.1, and no time zone
in the text (validateScheduleFormat in Kubernetes' pkg/apis/batch/validation/validation.go). Refused although Kubernetes
takes it, because nobody means it: `@every`, which is not aligned to the clock; a step as large as its field, which
crashed kube-state-metrics (its issue 2967); empty list items; text after `*-`; signs; and schedules that never fire.

croniter counts the times and is never asked whether a schedule is valid. It gets the normal form, because it reads some
texts otherwise than Kubernetes: `5-5` as every value, `*/1` as a restriction of the day, `0-6` as none.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise

from croniter import croniter


class ScheduleError(ValueError):
    """A text that is no schedule here. Its message, one line, names the field, the value and what to write instead."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a region ticks. `source` is the text as written, its blanks collapsed: the CronJob's `spec.schedule`.

    `normalised` says the same in five fields, each `*` or a list of numbers. `minutes` and `hours` hold the values of
    its first two, ascending.
    """

    source: str
    normalised: str
    minutes: tuple[int, ...] = field(repr=False)
    hours: tuple[int, ...] = field(repr=False)

    def next_after(self, moment: datetime) -> datetime:
        """Return the first tick strictly after `moment`: a full minute, UTC. Raises ValueError for a naive `moment`."""
        if moment.utcoffset() is None:
            raise ValueError(f"moment {moment.isoformat()} has no time zone: give it one, e.g. UTC")
        following: datetime = croniter(self.normalised, moment.astimezone(UTC), ret_type=datetime).get_next()
        return following

    def shortest_interval(self) -> timedelta:
        """Return the shortest time between two times of day, also across midnight, in whole minutes.

        Exact where every day matches. Elsewhere it is never longer than the shortest time between two ticks, because a
        day without ticks only lengthens that.
        """
        hours_apart = min(later - earlier for earlier, later in pairwise((*self.hours, self.hours[0] + 24)))
        across_hours = hours_apart * 60 - (self.minutes[-1] - self.minutes[0])
        within_hour = (later - earlier for earlier, later in pairwise(self.minutes))
        return timedelta(minutes=min((across_hours, *within_hour)))

    def start_deadline(self) -> timedelta:
        """Return how late a tick may start: a third of the shortest interval, at most 5 min, in whole seconds.

        No floor is needed: a schedule of every minute, the densest there is, has 20 s.
        """
        return min(self.shortest_interval() / 3, timedelta(minutes=5))


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of a schedule. `names`, here in full, stand for its values from `low` on by their first three letters."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return self.high - self.low + 1


_MONTHS = "january february march april may june july august september october november december"
_WEEKDAYS = "sunday monday tuesday wednesday thursday friday saturday"
_DAY = _Field("day of month", 1, 31)
_WEEKDAY = _Field("day of week", 0, 6, tuple(_WEEKDAYS.split()))
_MONTH = _Field("month", 1, 12, tuple(_MONTHS.split()))
_FIELDS = (_Field("minute", 0, 59), _Field("hour", 0, 23), _DAY, _MONTH, _WEEKDAY)
_SUNDAY_ELSEWHERE = 7
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
_STARS = ("*", "?")
_BLANKS = re.compile("[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
"""Where Go's strings.Fields splits. Python's str.split() splits at four control characters more."""


@dataclass(frozen=True, slots=True)
class _Choice:
    """The values that a schedule chooses of a field, ascending. `star` is robfig/cron's star bit: it implies `full`."""

    of: _Field
    values: tuple[int, ...]
    star: bool

    @property
    def full(self) -> bool:
        return len(self.values) == self.of.size

    def __str__(self) -> str:
        return "*" if self.full else ",".join(map(str, self.values))


def parse_schedule(text: str) -> Schedule:
    """Read a schedule as the API server does, strictly. Raises ScheduleError."""
    words = [word for word in _BLANKS.split(text) if word]
    source = " ".join(words)
    if "TZ" in text or re.match(r"(cron_)?tz=", source, re.IGNORECASE):
        raise _refusal("schedule", source, "schedules are in UTC; drop the time zone and write the time in UTC")
    if source.startswith("@"):
        words = _described(text).split(" ")
    if len(words) != len(_FIELDS):
        raise _wrong_count(words)
    minute, hour, day, month, weekday = map(_choose, _FIELDS, words)
    if (day.full or weekday.full) and not (day.star or weekday.star):
        # Without a star bit a day has to match one of the two only, and one of the two matches every day. With it a day
        # has to match both, and the one with the bit matches every day. So `*` and lists can say it all to croniter.
        day, weekday = _choose(_DAY, "*"), _choose(_WEEKDAY, "*")
    longest = max(_LONGEST_MONTH[number] for number in month.values)
    if weekday.full and day.values[0] > longest:
        why = f"never comes in month {_quoted(words[3])}; write 1 to {longest}, or other months"
        raise _refusal(_DAY.name, words[2], why)
    return Schedule(source, f"{minute} {hour} {day} {month} {weekday}", minutes=minute.values, hours=hour.values)


def _described(text: str) -> str:
    """Return the five fields that a descriptor stands for; as in Kubernetes in lower case, without blanks around."""
    meant = _BLANKS.sub(" ", text).strip(" ").lower()
    if text in _DESCRIPTORS:
        return _DESCRIPTORS[text]
    if meant in _DESCRIPTORS:
        raise _refusal("schedule", text, f"a descriptor is in lower case, without blanks; write {_quoted(meant)}")
    if meant.startswith("@every"):
        why = 'an interval is not aligned to the clock; write minutes or hours, such as "*/5 * * * *" or "0 */6 * * *"'
        raise _refusal("schedule", text, why)
    raise _refusal("schedule", text, f"not a descriptor; write five fields or one of {' '.join(_DESCRIPTORS)}")


def _choose(of: _Field, word: str) -> _Choice:
    """Read a field: a list of items."""
    items = word.split(",")
    if "" in items:
        meant = ",".join(filter(None, items)) or "*"
        raise _refusal(of.name, word, f"a list with an empty item; write {_quoted(meant)}")
    ranges = [_read(of, item) for item in items]
    star = any(item.startswith(_STARS) and values.step == 1 for item, values in zip(items, ranges, strict=True))
    return _Choice(of, tuple(sorted({value for values in ranges for value in values})), star)


def _read(of: _Field, item: str) -> range:
    """Read an item of a list: `*`, `?`, `a` or `a-b`, and `/step` after any of them; `a/step` has no end of its own."""
    span, slash, step_text = item.partition("/")
    low_text, hyphen, high_text = span.partition("-")
    if low_text in _STARS:
        if hyphen:
            raise _refusal(of.name, item, f"only a step may follow {low_text}; write {_quoted(low_text)}")
        low, high = of.low, of.high
    else:
        low = _number(of, low_text, item)
        high = _number(of, high_text, item) if hyphen else of.high if slash else low
    step = _step(of, step_text, item, first=low) if slash else 1
    if of is _WEEKDAY and _SUNDAY_ELSEWHERE in (low, high):
        raise _refusal(of.name, item, f"Kubernetes counts Sunday as 0; write {_quoted(_around(of, low, high, step))}")
    if low > high:
        raise _refusal(of.name, item, f"a range does not wrap around; write {_quoted(_around(of, low, high, step))}")
    return range(low, high + 1, step)


def _number(of: _Field, text: str, item: str) -> int:
    """Read a value of a field, by name or in digits. A 7 for Sunday passes: `_read` refuses it and knows the range."""
    for value, name in enumerate(of.names, start=of.low):
        if text.lower() == name[:3]:
            return value
    number = _digits(text)
    if number is None:
        raise _unreadable(of, text, item)
    if not of.low <= number <= of.high and not (of is _WEEKDAY and number == _SUNDAY_ELSEWHERE):
        raise _refusal(of.name, text, f"out of range; write {of.low} to {of.high}")
    return number


def _step(of: _Field, text: str, item: str, *, first: int) -> int:
    step = _digits(text)
    if text.startswith("+") and _digits(text[1:]):
        raise _refusal(of.name, item, f"a number has no sign; write {_quoted(item.replace('/+', '/'))}")
    if not step:
        raise _refusal(of.name, item, f"a step is a whole number; write one / and 1 to {of.size - 1} after it")
    if step >= of.size:
        raise _refusal(of.name, item, f'a step as large as the field ({of.size}) leaves one value; write "{first}"')
    return step


def _digits(text: str) -> int | None:
    """Read ASCII digits; None for anything else. Go's Atoi takes a plus sign as well."""
    if not (text.isascii() and text.isdigit()):
        return None
    return int(text.lstrip("0")[:9] or "0")  # nine are beyond every range already, and int() refuses thousands


def _around(of: _Field, low: int, high: int, step: int) -> str:
    """Spell in plain ranges what someone meant who counts past the field's end."""
    numbers = range(low, high + 1 + (of.size if low > high else 0), step)
    values = dict.fromkeys(of.low + (number - of.low) % of.size for number in numbers)
    runs = [[value for _, value in run] for _, run in groupby(enumerate(values), key=lambda place: place[1] - place[0])]
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


_FOREIGN = {
    r".+#.*": 'n-th day of week; write the day of week alone, such as "5", or days of the month, such as "8-14"',
    r"LW|\d+W": 'nearest weekday; write a day such as "15", or "*" and the day of week "1-5"',
    r"L(-?\d+)?|\w+L": 'last day; write one that every month has, such as "28", or a day of week such as "5"',
    r"[HR]([(/].*)?|\d*~\d*": "hashed or random values; write a number",
}
"""Items of other crons: what Kubernetes does not have, and what to write."""


def _unreadable(of: _Field, text: str, item: str) -> ScheduleError:
    """Say why `text`, a part of `item`, is not a value of the field."""
    for name in of.names:
        if len(text) > len(name[:3]) and name.startswith(text.lower()):
            return _refusal(of.name, text, f'names have three letters; write "{name[:3]}"')
    for pattern, what in _FOREIGN.items():
        if re.fullmatch(pattern, item, re.ASCII | re.IGNORECASE):
            return _refusal(of.name, item, f"Kubernetes has no {what}")
    if text.startswith("+") and _digits(text[1:]) is not None:
        return _refusal(of.name, text, f"a number has no sign; write {_quoted(text[1:])}")
    names = f", {of.names[0][:3]} to {of.names[-1][:3]}" if of.names else ""
    return _refusal(of.name, item, f'not a value of this field; write {of.low} to {of.high}{names}, or "*"')


def _wrong_count(words: list[str]) -> ScheduleError:
    """Say what is too much or too little in a schedule that has not five fields."""
    source = " ".join(words)
    if f"@{source.lower()}" in _DESCRIPTORS:
        return _refusal("schedule", source, f'a descriptor begins with @; write "@{source.lower()}"')
    if any(word.startswith(",") or word.endswith(",") for word in words):
        return _refusal("schedule", source, f"a list has no blanks; write {_quoted(re.sub(' ?, ?', ',', source))}")
    if len(words) == len(_FIELDS) + 1 and not re.fullmatch(r"[0-9]{4}", words[-1]):
        why = f"Kubernetes has no seconds; drop the seconds field: write {_quoted(' '.join(words[1:]))}"
        return _refusal("schedule", source, why)
    why = f'{len(words)} fields; write five ({", ".join(of.name for of in _FIELDS)}), such as "*/5 * * * *"'
    return _refusal("schedule", source, why)


def _refusal(name: str, value: str, why: str) -> ScheduleError:
    return ScheduleError(f"{name} {_quoted(value)}: {why}")


def _quoted(text: str) -> str:
    """Quote a text of any length and content so that it fits in one line and shows what the eye would miss."""
    quoted = json.dumps(text)
    return quoted if len(quoted) <= 160 else f'{quoted[:156]}..."'
