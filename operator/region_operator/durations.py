"""Durations as Go writes them, which Kubernetes takes: `90s`, `1h30m`; and moments (RFC 3339). Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")


def parse_duration(text: object) -> object:
    """Parse a Go duration (`90s`, `1h30m`) into a timedelta. Return anything but text unchanged. Raises ValueError."""
    if not isinstance(text, str):
        return text
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(
            f'duration "{text}" is not one: write a number and a unit (ms, s, m, h), e.g. "90s" or "1h30m"'
        )
    return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))


def format_duration(value: timedelta) -> str:
    """Write a timedelta as a Go duration, in the largest unit of which it is a whole number: `10m`, `90s`, `1500ms`."""
    milliseconds = round(value / timedelta(milliseconds=1))
    for unit, seconds in reversed(_UNITS.items()):
        count, rest = divmod(milliseconds, round(1000 * seconds))
        if count and not rest:
            return f"{count}{unit}"
    return "0s"


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]


def _to_utc(moment: datetime) -> datetime:
    """Return a moment in UTC. Outside of the years 1 to 9999 the nearest one: who writes such a time means for ever."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        first, last = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
        return first if moment.year == first.year else last


Moment = Annotated[AwareDatetime, AfterValidator(_to_utc)]
"""A time with its zone, in UTC."""


def read_moment(text: str) -> datetime | None:
    """Read a time that anybody may have written, as a Moment. None: the text is no time with a zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return _to_utc(moment) if moment.tzinfo else None
