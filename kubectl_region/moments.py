"""Times and durations as people write and read them. Pure: the present is passed in."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_PART = re.compile(r"(\d+)([dhms])", re.ASCII)
_DURATION = re.compile(r"(\d+[dhms])+", re.ASCII)
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})Z?", re.ASCII)
_UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1), "s": timedelta(seconds=1)}
_SIZES = {unit: int(size.total_seconds()) for unit, size in _UNITS.items()}
_STEPS = (
    (120, "s", ""),
    (600, "m", "s"),
    (3 * 3600, "m", ""),
    (8 * 3600, "h", "m"),
    (48 * 3600, "h", ""),
    (8 * 86400, "d", "h"),
    (10**12, "d", ""),
)
"""Below how many seconds which units are written."""
EXAMPLES = "2026-11-30T01:05:00Z, 01:05 or 2h"
_TOO_FAR = "is too long: times are of the years 1 to 9999"


def parse_duration(text: str) -> timedelta:
    """Read a duration such as 24h, 1d12h or 90m. Raises ValueError."""
    if not _DURATION.fullmatch(text):
        raise ValueError(f'"{text}" is no duration such as 24h, 90m or 7d')
    try:
        return sum((int(number) * _UNITS[unit] for number, unit in _PART.findall(text)), timedelta())
    except OverflowError:
        raise ValueError(f'"{text}" {_TOO_FAR}') from None


def parse_past(text: str, *, now: datetime) -> datetime:
    """Read a moment of the past: a time, the last such time of day (01:05), or a duration ago (2h). Raises ValueError.

    A time without a zone is in UTC, as every time of the product is.
    """
    if match := _CLOCK.fullmatch(text):
        at = _at_time_of_day(now, match)
        return at if at <= now else at - timedelta(days=1)
    return _moved(now, text, -1) if _DURATION.fullmatch(text) else _parse(text)


def parse_future(text: str, *, now: datetime) -> datetime:
    """Read a moment to come: a time, the next such time of day, or a duration from now. Raises ValueError."""
    if match := _CLOCK.fullmatch(text):
        at = _at_time_of_day(now, match)
        return at if at > now else at + timedelta(days=1)
    at = _moved(now, text, 1) if _DURATION.fullmatch(text) else _parse(text)
    if at <= now:
        raise ValueError(f"{format_time(at)} is past: it is {format_time(now)} now")
    return at


def is_time_of_day(text: str) -> bool:
    """Whether a text names a time of any day, such as 01:05."""
    return _CLOCK.fullmatch(text) is not None


def format_time(moment: datetime) -> str:
    """Write a moment as the API server does: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def brief(text: str | None) -> str:
    """Write a time of an answer in whole seconds; "-" for no time."""
    moment = read_time(text)
    return format_time(moment) if moment else "-"


def read_time(text: str | None) -> datetime | None:
    """Read a time of the console's JSON or of an object. Raises ValueError.

    The API server takes RFC 3339's small letters too (2026-11-30t01:05:00z).
    """
    return datetime.fromisoformat(text.upper()) if text else None


def now_of(answer: Mapping[str, Any]) -> datetime:
    """Return the present by the clock of an answer of the console, which is the database's."""
    return datetime.fromisoformat(answer["now"])


def short(seconds: float) -> str:
    """Write a duration as kubectl does (apimachinery, duration.HumanDuration): 45s, 3m20s, 5h, 12d."""
    whole = int(seconds)
    _, big, small = next(step for step in _STEPS if whole < step[0])
    count, rest = divmod(whole, _SIZES[big])
    fine = rest // _SIZES[small] if small else 0
    return f"{count}{big}{fine}{small}" if fine else f"{count}{big}"


def ago(text: str | None, now: datetime) -> str:
    """Say how long ago or how far ahead a time is: `5m ago`, `in 10s`; "-" for no time."""
    moment = read_time(text)
    if moment is None:
        return "-"
    seconds = (now - moment).total_seconds()
    return f"{short(seconds)} ago" if seconds >= 0 else f"in {short(-seconds)}"


def age_of(answer: Mapping[str, Any], *, fresh_seconds: float) -> str:
    """Say of when an answer of the console is that has a `madeAt`; "" if it is no older than `fresh_seconds`."""
    made_at, now = answer["madeAt"], now_of(answer)
    if (now - datetime.fromisoformat(made_at)).total_seconds() <= fresh_seconds:
        return ""
    return f"as of {brief(made_at)} ({ago(made_at, now)})"


def _moved(now: datetime, duration: str, sign: int) -> datetime:
    try:
        return now + sign * parse_duration(duration)
    except OverflowError:
        raise ValueError(f'"{duration}" {_TOO_FAR}') from None


def _at_time_of_day(now: datetime, match: re.Match[str]) -> datetime:
    try:
        return now.replace(hour=int(match[1]), minute=int(match[2]), second=0, microsecond=0)
    except ValueError:
        raise ValueError(f'"{match[0]}" is no time such as {EXAMPLES}') from None


def _parse(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError(f'"{text}" is no time such as {EXAMPLES}') from None
