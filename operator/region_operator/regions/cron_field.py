"""One field of a cron schedule: the values that its text chooses. Pure.

The grammar is that of robfig/cron v3.0.1 (parser.go, getField and getRange), which Kubernetes uses, less what nobody
means: a step as large as its field, which crashed kube-state-metrics (its issue 2967), empty list items, text after
`*-`, and signs. Every refusal says what to write instead.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import groupby


class ScheduleError(ValueError):
    """A text that is no schedule here. Its message, one line, names the field, the value and what to write instead."""


@dataclass(frozen=True, slots=True)
class Field:
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
DAY = Field("day of month", 1, 31)
WEEKDAY = Field("day of week", 0, 6, tuple(_WEEKDAYS.split()))
_MONTH = Field("month", 1, 12, tuple(_MONTHS.split()))
FIELDS = (Field("minute", 0, 59), Field("hour", 0, 23), DAY, _MONTH, WEEKDAY)
_SUNDAY_ELSEWHERE = 7
_STARS = ("*", "?")


@dataclass(frozen=True, slots=True)
class Choice:
    """The values that a schedule chooses of a field, ascending. `star` is robfig/cron's star bit: it implies `full`."""

    of: Field
    values: tuple[int, ...]
    star: bool

    @property
    def full(self) -> bool:
        return len(self.values) == self.of.size

    def __str__(self) -> str:
        return "*" if self.full else ",".join(map(str, self.values))


def choose(of: Field, word: str) -> Choice:
    """Read a field: a list of items."""
    items = word.split(",")
    if "" in items:
        meant = ",".join(filter(None, items)) or "*"
        raise refuse(of.name, word, f"a list with an empty item; write {quoted(meant)}")
    ranges = [_read(of, item) for item in items]
    star = any(item.startswith(_STARS) and values.step == 1 for item, values in zip(items, ranges, strict=True))
    return Choice(of, tuple(sorted({value for values in ranges for value in values})), star)


def _read(of: Field, item: str) -> range:
    """Read an item of a list: `*`, `?`, `a` or `a-b`, and `/step` after any of them; `a/step` has no end of its own."""
    span, slash, step_text = item.partition("/")
    low_text, hyphen, high_text = span.partition("-")
    if low_text in _STARS:
        if hyphen:
            raise refuse(of.name, item, f"only a step may follow {low_text}; write {quoted(low_text)}")
        low, high = of.low, of.high
    else:
        low = _number(of, low_text, item)
        high = _number(of, high_text, item) if hyphen else of.high if slash else low
    step = _step(of, step_text, item, first=low) if slash else 1
    if of is WEEKDAY and _SUNDAY_ELSEWHERE in (low, high):
        raise refuse(of.name, item, f"Kubernetes counts Sunday as 0; write {quoted(_around(of, low, high, step))}")
    if low > high:
        raise refuse(of.name, item, f"a range does not wrap around; write {quoted(_around(of, low, high, step))}")
    return range(low, high + 1, step)


def _number(of: Field, text: str, item: str) -> int:
    """Read a value of a field, by name or in digits. A 7 for Sunday passes: `_read` refuses it and knows the range."""
    for value, name in enumerate(of.names, start=of.low):
        if text.lower() == name[:3]:
            return value
    number = _digits(text)
    if number is None:
        raise _unreadable(of, text, item)
    if not of.low <= number <= of.high and not (of is WEEKDAY and number == _SUNDAY_ELSEWHERE):
        raise refuse(of.name, text, f"out of range; write {of.low} to {of.high}")
    return number


def _step(of: Field, text: str, item: str, *, first: int) -> int:
    step = _digits(text)
    if text.startswith("+") and _digits(text[1:]):
        raise refuse(of.name, item, f"a number has no sign; write {quoted(item.replace('/+', '/'))}")
    if not step:
        raise refuse(of.name, item, f"a step is a whole number; write one / and 1 to {of.size - 1} after it")
    if step >= of.size:
        raise refuse(of.name, item, f'a step as large as the field ({of.size}) leaves one value; write "{first}"')
    return step


def _digits(text: str) -> int | None:
    """Read ASCII digits; None for anything else. Go's Atoi takes a plus sign as well."""
    if not (text.isascii() and text.isdigit()):
        return None
    return int(text.lstrip("0")[:9] or "0")  # nine are beyond every range already, and int() refuses thousands


def _around(of: Field, low: int, high: int, step: int) -> str:
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


def _unreadable(of: Field, text: str, item: str) -> ScheduleError:
    """Say why `text`, a part of `item`, is not a value of the field."""
    for name in of.names:
        if len(text) > len(name[:3]) and name.startswith(text.lower()):
            return refuse(of.name, text, f'names have three letters; write "{name[:3]}"')
    for pattern, what in _FOREIGN.items():
        if re.fullmatch(pattern, item, re.ASCII | re.IGNORECASE):
            return refuse(of.name, item, f"Kubernetes has no {what}")
    if text.startswith("+") and _digits(text[1:]) is not None:
        return refuse(of.name, text, f"a number has no sign; write {quoted(text[1:])}")
    names = f", {of.names[0][:3]} to {of.names[-1][:3]}" if of.names else ""
    return refuse(of.name, item, f'not a value of this field; write {of.low} to {of.high}{names}, or "*"')


def refuse(name: str, value: str, why: str) -> ScheduleError:
    """Return the error that names a field, its value, and what to write instead."""
    return ScheduleError(f"{name} {quoted(value)}: {why}")


def quoted(text: str) -> str:
    """Quote a text of any length and content so that it fits in one line and shows what the eye would miss."""
    quoted = json.dumps(text)
    return quoted if len(quoted) <= 160 else f'{quoted[:156]}..."'
