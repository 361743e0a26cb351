"""Parses one field of a cron schedule into the values that the field stands for. Pure.

The grammar is the grammar of robfig/cron v3.0.1 (parser.go, getField and getRange), because Kubernetes uses that
library. Four things are refused here although the library takes them, because nobody means them: a step as large as the
field (such a step crashed kube-state-metrics: issue 2967 there), an empty list item, text after `*-`, and a sign. Every
error says what to write instead. How the five fields work together is left to `schedule`, and the hashes that Jenkins
has (`H`) are left to `hashed_field`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby


class ScheduleError(ValueError):
    """A text is not a valid schedule. The message is one line: the field, the value, and what to write instead."""


@dataclass(frozen=True, slots=True)
class Field:
    """One of the five fields of a schedule, with the lowest and the highest value.

    `names` are the full names of the values, from `low` on. A schedule may use the first three letters of a name.
    """

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
MONTH = Field("month", 1, 12, tuple(_MONTHS.split()))
FIELDS = (Field("minute", 0, 59), Field("hour", 0, 23), DAY, MONTH, WEEKDAY)
_SUNDAY_IN_OTHER_CRONS = 7
_STARS = ("*", "?")


@dataclass(frozen=True, slots=True)
class FieldValues:
    """The values of one field of a schedule, ascending. `star` is robfig/cron's star bit: `star` implies `full`."""

    field: Field
    values: tuple[int, ...]
    star: bool

    @property
    def full(self) -> bool:
        """Whether the schedule matches every value of the field."""
        return len(self.values) == self.field.size

    def __str__(self) -> str:
        return "*" if self.full else ",".join(map(str, self.values))


@lru_cache(maxsize=4096)
def parse_field(field: Field, text: str) -> FieldValues:
    """Parse the text of a field: a list of items, separated by commas. Raises ScheduleError.

    Thousands of regions share a few texts, so the regions share the values too.
    """
    items = text.split(",")
    if "" in items:
        meant = ",".join(filter(None, items)) or "*"
        parse_field(field, meant)  # raises: what else is wrong comes first, so that what is offered here is right
        raise schedule_error(field.name, text, f"a list with an empty item; write {quoted(meant)}")
    ranges = [_parse_item(field, item) for item in items]
    star = any(item.startswith(_STARS) and values.step == 1 for item, values in zip(items, ranges, strict=True))
    return FieldValues(field, tuple(sorted({value for values in ranges for value in values})), star)


def _parse_item(field: Field, item: str) -> range:
    """Parse an item of a list: `*`, `?`, `a` or `a-b`, each with or without `/step`. `a/step` has no end of its own."""
    span, slash, step_text = item.partition("/")
    low_text, hyphen, high_text = span.partition("-")
    if low_text in _STARS:
        if hyphen:
            raise schedule_error(field.name, item, f"only a step may follow {low_text}; write {quoted(low_text)}")
        low, high = field.low, field.high
    else:
        low = parse_value(field, low_text, item)
        high = parse_value(field, high_text, item) if hyphen else field.high if slash else low
    step = parse_step(field, step_text, item, size=field.size, instead=str(low)) if slash else 1
    if field is WEEKDAY and _SUNDAY_IN_OTHER_CRONS in (low, high):
        raise schedule_error(
            field.name, item, f"Kubernetes counts Sunday as 0; write {quoted(_unwrap(field, low, high, step))}"
        )
    if low > high:
        raise schedule_error(
            field.name, item, f"a range does not wrap around; write {quoted(_unwrap(field, low, high, step))}"
        )
    return range(low, high + 1, step)


def parse_value(field: Field, text: str, item: str) -> int:
    """Parse one value, a name or digits. Raises ScheduleError.

    7 for Sunday passes: the caller must refuse 7, because only the caller knows the whole range.
    """
    for value, name in enumerate(field.names, start=field.low):
        if text.lower() == name[:3]:
            return value
    number = _parse_digits(text)
    if number is None:
        raise _value_error(field, text, item)
    if not field.low <= number <= field.high and not (field is WEEKDAY and number == _SUNDAY_IN_OTHER_CRONS):
        raise schedule_error(field.name, text, f"out of range; write {field.low} to {field.high}")
    return number


def parse_step(field: Field, text: str, item: str, *, size: int, instead: str) -> int:
    """Parse the step through `size` values. `instead` says the same as a step that is too large.

    Raises ScheduleError.
    """
    step = _parse_digits(text)
    if text.startswith("+") and _parse_digits(text[1:]):
        raise schedule_error(field.name, item, f"a number has no sign; write {quoted(item.replace('/+', '/'))}")
    if not step:
        raise schedule_error(field.name, item, f"a step is a whole number; write one / and 1 to {size - 1} after it")
    if step >= size:
        whole = "field" if size == field.size else "range"
        raise schedule_error(
            field.name, item, f"a step as large as the {whole} ({size}) leaves one value; write {quoted(instead)}"
        )
    return step


def _parse_digits(text: str) -> int | None:
    """Parse ASCII digits. Return None for any other text, also for the plus sign that Go's Atoi takes."""
    if not (text.isascii() and text.isdigit()):
        return None
    return int(text.lstrip("0")[:9] or "0")  # 9 digits exceed every range, and int() refuses thousands of digits


def runs_of(field: Field, low: int, high: int, step: int) -> list[list[int]]:
    """Return the values of a range as runs of consecutive values. A range may go past the field's end."""
    numbers = range(low, high + 1 + (field.size if low > high else 0), step)
    values = dict.fromkeys(field.low + (number - field.low) % field.size for number in numbers)
    return [[value for _, value in run] for _, run in groupby(enumerate(values), key=lambda place: place[1] - place[0])]


def _unwrap(field: Field, low: int, high: int, step: int) -> str:
    """Rewrite a range that goes past the field's end as plain ranges: what the writer meant."""
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs_of(field, low, high, step))


_OTHER_CRONS = {
    r".+#.*": "n-th day of week; write the day of week alone, or days of the month alone",
    r"LW|\d+W": "nearest weekday; write a day of the month, or days of the week",
    r"L(-?\d+)?|\w+L": "last day; write a day that every month has, 1 to 28, or a day of the week",
    r"R([(/].*)?|\d*~\d*": "random values; write a number, or H for a value that the region's code chooses",
}
"""Patterns of items that other crons know: what Kubernetes does not have, and what to choose from instead. No example
stands there in quotes: an example would mean another time than the item.
"""


def _value_error(field: Field, text: str, item: str) -> ScheduleError:
    """Return the error that says why `text`, a part of `item`, is not a value of the field."""
    for name in field.names:
        if len(text) > len(name[:3]) and name.startswith(text.lower()):
            return schedule_error(field.name, text, f'names have three letters; write "{name[:3]}"')
    for pattern, what in _OTHER_CRONS.items():
        if re.fullmatch(pattern, item, re.ASCII | re.IGNORECASE):
            return schedule_error(field.name, item, f"Kubernetes has no {what}")
    if text.startswith("+") and _parse_digits(text[1:]) is not None:
        return schedule_error(field.name, text, f"a number has no sign; write {quoted(text[1:])}")
    names = f", {field.names[0][:3]} to {field.names[-1][:3]}" if field.names else ""
    return schedule_error(
        field.name, item, f'not a value of this field; write {field.low} to {field.high}{names}, or "*"'
    )


def schedule_error(name: str, value: str, why: str) -> ScheduleError:
    """Return the error for a value of the field `name`. `why` says what is wrong and what to write instead."""
    return ScheduleError(f"{name} {quoted(value)}: {why}")


def quoted(text: str) -> str:
    """Quote a text of any length and content. The result is one line and shows invisible characters as escapes."""
    quoted = json.dumps(text)
    return quoted if len(quoted) <= 160 else f'{quoted[:156]}..."'
