"""Recognises a schedule in the dialect of another scheduler, and says what to write instead. Pure.

| dialect | how it is recognised | what differs |
|---|---|---|
| EventBridge (AWS) | `cron()`, `rate()`, or six fields with a `?` in the third or fifth | the last field is a year |
| Quartz | six or seven fields with a `?` in the fourth or sixth | seconds come first, a year may come last |
| Spring, node-cron, Azure | six fields without a `?` | seconds come first |
| a line of a crontab | a command or a comment behind the fields | all that is behind the fields |
| any | a time zone before or behind the fields | Kubernetes' schedules are in UTC |

EventBridge and Quartz count the days of the week from Sunday as 1, Kubernetes from Sunday as 0. A text to write is
offered only if the text means the same ticks. Whether Kubernetes takes the text is left to `schedule`.

Sources: "Cron expressions" and "Rate expressions" in the EventBridge Scheduler user guide; org.quartz.CronExpression;
org.springframework.scheduling.support.CronExpression.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from region_operator.regions.cron_field import DAY, FIELDS, WEEKDAY, runs_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from region_operator.regions.cron_field import Field

_UTC = frozenset(
    "utc etc/utc gmt etc/gmt z zulu etc/zulu uct etc/uct universal etc/universal gmt0 +00:00 -00:00 +0000".split()  # noqa: SIM905
)
_ZONE = re.compile(
    r"[A-Z][A-Za-z]+(?:/[A-Z][A-Za-z_+\-0-9]*)+|(?:UTC|GMT)?[+-]\d{1,2}(?::?\d{2})?|"
    r"UTC|GMT0?|UCT|Z|[Zz]ulu|Universal|[CEMPW][DS]T|[CEW]ES?T|AE[DS]T|NZ[DS]T|BST|HST|[IJK]ST|MSK|SGT|[Ll]ocal(?:time)?"
)
"""A name of the tz database, an offset, or a usual abbreviation. No name of a day or a month is among them."""
_ZONE_BEFORE = re.compile(r"(?:cron_)?tz=(\S*)\s*(.*)", re.IGNORECASE)
_CALL = re.compile(r"(cron|rate|at)\s*\((.*)\)", re.IGNORECASE)
_RATE = re.compile(r"(\d{1,6}) (minute|hour|day)s?", re.IGNORECASE)
_GO_DURATION = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:0+s)?")
_COMMENT = re.compile(r"(.+?) #.*")
_YEARS = re.compile(r"(?:19|2[01])\d\d(?:[-,/]\d{1,4})*")
_EVERY_YEAR = ("*", "?", "*/1")
_ITEM = re.compile(r"(?P<low>[*?]|[A-Za-z]{3}|\d{1,2})(?:-(?P<high>[A-Za-z]{3}|\d{1,2}))?(?:/(?P<step>\d{1,3}))?")
_FIELD = re.compile(
    r"(?:[\d*?~]|[LHR](?![A-Za-z])|(?i:sun|mon|tue|wed|thu|fri|sat|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)).*"
)
"""What may be meant as a field, rightly or not."""
_COMMAND = re.compile(r"(?:/|\./|~/|\$)\S+(?: .*)?|[a-z_][\w.-]* .*")
"""A program by its path, or a user or a program with words behind it."""
_SUNDAY_IN_QUARTZ = 1
_QUOTES = "\"'`\u201c\u201d\u2018\u2019"
_NO_YEARS = (
    "Kubernetes has no years; leave the year out, write five fields, and set active to false when the time is over"
)
_NO_SECONDS = "Kubernetes has no seconds, its shortest interval is a minute; write five fields, beginning with minutes"


@dataclass(frozen=True, slots=True)
class Foreign:
    """A schedule in another dialect: what differs, and the text that means the same ticks in Kubernetes.

    Without such a text `meant` is None, and `why` says what to write.
    """

    why: str
    meant: str | None = None


def read_dialect(written: str) -> Foreign | None:
    """Recognise the dialect of a schedule with single blanks. Return None for a text of no known dialect."""
    if written[:1] in _QUOTES and written[-1:] in _QUOTES and len(written) > 1:
        return Foreign("a schedule has no quotes", written.strip(_QUOTES).strip())
    if match := _ZONE_BEFORE.fullmatch(written):
        return _in_zone(match[1].strip(_QUOTES), match[2])
    if match := _CALL.fullmatch(written):
        return _read_call(match[1].lower(), match[2].strip())
    if match := _COMMENT.fullmatch(written):
        return _without("a schedule has no comment", match[1])
    words = written.split(" ")
    if len(words) > (1 if written.startswith("@") else len(FIELDS)) and _ZONE.fullmatch(words[-1].strip("()")):
        return _in_zone(words[-1].strip("()"), " ".join(words[:-1]))
    if words[0].lower() == "@every":
        return _interval(_go_minutes(words[1]) if len(words) == 2 else None)
    has_blanks_in_list = any(word.startswith(",") or word.endswith(",") for word in words)
    if len(words) <= len(FIELDS) or written.startswith("@") or has_blanks_in_list:
        return None
    if all(map(_FIELD.fullmatch, words)):
        return _read_fields(words) if len(words) <= len(FIELDS) + 2 else None
    fields = list(takewhile(_FIELD.fullmatch, words))
    rest = words[len(fields) :]
    if len(fields) < len(FIELDS) or any(map(_FIELD.fullmatch, rest)) or not _COMMAND.fullmatch(" ".join(rest)):
        return None
    return _without("a schedule has no command behind it", " ".join(fields))


def _without(why: str, rest: str) -> Foreign:
    """Read what is left of a schedule after a part was dropped. `why` says why that part is no part of a schedule."""
    inner = read_dialect(rest)
    return Foreign(why, rest) if inner is None else Foreign(f"{why}, and {inner.why}", inner.meant)


def _in_zone(zone: str, rest: str) -> Foreign:
    if zone.lower() not in _UTC or not rest:
        return Foreign("schedules are in UTC; drop the time zone and write the time in UTC")
    return _without("schedules are in UTC and name no time zone", rest)


def _read_call(function: str, argument: str) -> Foreign:
    if function == "cron":
        words = argument.split(" ")
        if len(words) == len(FIELDS) + 1:
            return _read_eventbridge(words)
        return Foreign("a schedule has the fields alone, without cron()", argument)
    match = _RATE.fullmatch(argument)
    if function == "at" or match is None:
        return Foreign("not a schedule in five fields; write minutes, hours, days, months and days of the week")
    return _interval(int(match[1]) * {"minute": 1, "hour": 60, "day": 24 * 60}[match[2].lower()])


def _read_fields(words: list[str]) -> Foreign | None:
    """Read six or seven words, all of which look like fields."""
    if len(words) == len(FIELDS) + 1 and "?" in (words[2], words[4]) and "?" not in (words[3], words[5]):
        return _read_eventbridge(words)
    has_question_mark = "?" in (words[3], words[5])
    if len(words) == len(FIELDS) + 2:
        if words[-1] not in _EVERY_YEAR:
            return Foreign(_NO_YEARS) if _YEARS.fullmatch(words[-1]) else None
        return _without_seconds(words[:-1], counts_from_one=True, what="seconds and no years")
    if _YEARS.fullmatch(words[-1]):
        return Foreign(_NO_YEARS)
    if not has_question_mark and words[3] != "*" and words[5] != "*":
        return Foreign(
            "Kubernetes has no seconds, and ticks on a day that one of day of month and day of week names;"
            " drop the seconds and write one of the two as *"
        )
    return _without_seconds(words, counts_from_one=has_question_mark, what="seconds")


def _read_eventbridge(words: list[str]) -> Foreign:
    if words[-1] not in _EVERY_YEAR:
        return Foreign(_NO_YEARS)
    return Foreign(
        "the sixth field is a year, as in EventBridge, and Kubernetes has none", _translate(words[:-1], from_one=True)
    )


def _without_seconds(words: list[str], *, counts_from_one: bool, what: str) -> Foreign:
    if re.fullmatch("[0-5]?[0-9]", words[0]) is None:
        return Foreign(_NO_SECONDS)
    text = _translate(words[1:], from_one=counts_from_one)
    counts = ", and Quartz counts Sunday as 1" if counts_from_one and re.search(r"\d", words[5]) else ""
    return Foreign(f"Kubernetes has no {what}{counts}; drop the seconds field", text)


def _translate(words: Sequence[str], *, from_one: bool) -> str:
    """Write five fields as Kubernetes has them. What cannot be translated stays as it is.

    `from_one` says that the digits of the days of the week count from Sunday as 1.
    """
    return " ".join(
        ",".join(_translate_item(field, item, from_one=from_one and field is WEEKDAY) for item in word.split(","))
        for field, word in zip(FIELDS, words, strict=True)
    )


def _translate_item(field: Field, item: str, *, from_one: bool) -> str:
    if from_one and item.upper() == "L":
        return "sat"  # Quartz: L alone is the last day of the week
    match = _ITEM.fullmatch(item)
    if match is None:
        return item
    step = f"/{match['step']}" if match["step"] else ""
    if match["low"] in ("*", "?"):
        return f"*{step}"
    low = _value(field, match["low"], from_one=from_one)
    high = low if match["high"] is None else _value(field, match["high"], from_one=from_one)
    if low is None or high is None or match["step"] == "0":
        return item
    if match["high"] is None and step:
        high = field.high
    in_order = field.low <= low <= high <= field.high
    if in_order and not (from_one and re.search(r"\d", match["low"] + (match["high"] or ""))):
        return item
    highest = field.high + 1 if field is WEEKDAY else field.high  # 7 is Sunday too, in most crons
    if field is DAY or not (field.low <= low <= highest and field.low <= high <= highest):
        return item  # months differ in length, so a range of days that wraps around has no one meaning
    return ",".join(_spelled(field, run, named=from_one) for run in runs_of(field, low, high, int(match["step"] or 1)))


def _value(field: Field, text: str, *, from_one: bool) -> int | None:
    """Return the number of a value in Kubernetes, or None for a text that is no value."""
    if not text.isdigit():
        return next((value for value, name in enumerate(field.names, field.low) if name[:3] == text.lower()), None)
    if not from_one:
        return int(text)
    return int(text) - _SUNDAY_IN_QUARTZ if _SUNDAY_IN_QUARTZ <= int(text) <= WEEKDAY.size else None


def _spelled(field: Field, run: Sequence[int], *, named: bool) -> str:
    ends = (run[0],) if len(run) == 1 else (run[0], run[-1])
    return "-".join(field.names[end - field.low][:3] if named else str(end) for end in ends)


def _interval(minutes: int | None) -> Foreign:
    """Return the schedule for an interval that divides the hour or the day, in whole minutes."""
    why = "an interval is not aligned to the clock"
    if minutes and minutes < 60 and 60 % minutes == 0:
        return Foreign(why, "* * * * *" if minutes == 1 else f"*/{minutes} * * * *")
    if minutes and minutes % 60 == 0 and (24 * 60) % minutes == 0:
        hours = {60: "*", 24 * 60: "0"}.get(minutes, f"*/{minutes // 60}")
        return Foreign(why, f"0 {hours} * * *")
    return Foreign(f"{why}; write minutes that divide the hour, or hours that divide the day")


def _go_minutes(text: str) -> int | None:
    match = _GO_DURATION.fullmatch(text)
    return int(match[1] or 0) * 60 + int(match[2] or 0) if match else None
