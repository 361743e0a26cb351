"""Reads the parameters of a request. Every refusal names the parameter, the value, and what is allowed. Pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from region_operator.regions.row_values import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

E = TypeVar("E", bound=StrEnum)

LONGEST = 200
"""How many characters a parameter may have."""
FARTHEST = timedelta(days=3660)
"""How far a time may be from now: farther ones cannot be in the ledger, and might leave the calendar."""


class BadParameterError(ValueError):
    """A parameter cannot be used. `allowed` says what can."""

    def __init__(self, name: str, value: str, allowed: str) -> None:
        super().__init__(f"the parameter {name} cannot be {printable(value)!r}")
        self.allowed = f"{name}: write {allowed}"


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of a request. A parameter that is empty counts as absent, because forms send those."""

    given: Mapping[str, str]
    now: datetime

    def expect(self, *names: str) -> None:
        """Refuse a parameter that has none of the `names`: a misspelt filter must not look like no filter."""
        for name, value in self.given.items():
            if name not in (*names, "format", "errors", "v"):
                raise BadParameterError(printable(name), value, f"one of {', '.join((*names, 'format'))}")
            if len(value) > LONGEST:
                raise BadParameterError(name, value, f"at most {LONGEST} characters")
            if "\0" in value:  # no text of Postgres can have it
                raise BadParameterError(name, value, "a text without NUL")

    def text(self, name: str) -> str:
        """Return a text, "" if absent."""
        return self.given.get(name, "").strip()

    def number(self, name: str, *, default: int, most: int) -> int:
        """Return a whole number from 1 to `most`."""
        value = self.text(name)
        if not value:
            return default
        if not re.fullmatch("[0-9]{1,9}", value) or not 1 <= int(value) <= most:
            raise BadParameterError(name, value, f"a whole number from 1 to {most}")
        return int(value)

    def choice(self, name: str, allowed: type[E], *, default: E) -> E:
        """Return one of an enumeration."""
        return next(iter(self.choices(name, tuple(allowed))), default)

    def choices(self, name: str, allowed: Collection[E]) -> tuple[E, ...]:
        """Return the members that a list separated by commas names; () if absent."""
        by_value = {member.value: member for member in allowed}
        values = [part.strip() for part in self.text(name).split(",") if part.strip()]
        for value in values:
            if value not in by_value:
                raise BadParameterError(name, value, f"one or more of {', '.join(by_value)}, separated by commas")
        return tuple(dict.fromkeys(by_value[value] for value in values))

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the items of a list separated by commas; () if absent."""
        return tuple(part.strip() for part in self.text(name).split(",") if part.strip())

    def time(self, name: str, *, default: datetime) -> datetime:
        """Return a moment in UTC: an ISO 8601 time, or how long ago, such as 90m, 6h, 7d."""
        value = self.text(name)
        if not value:
            return default
        moment = read_time(value, self.now)
        if moment is None:
            raise BadParameterError(
                name, value, "a time like 2026-11-30T01:05:00Z, or how long ago, like 90m, 6h or 7d"
            )
        return moment

    def place(self, name: str, *, default: datetime) -> tuple[datetime, str | None]:
        """Return behind which tick a list begins, as the list before said in `next`: its time and its `manual_uid`.

        Behind a mere time, and behind the `default`, the uid is None.
        """
        value = self.text(name)
        if not value:
            return default, None
        time, tilde, uid = value.partition("~")
        at = read_time(time, self.now)
        if at is None:
            raise BadParameterError(name, value, "what the list before has in `next`, or a time")
        return (at, uid) if tilde else (at - timedelta(microseconds=1), None)


_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def read_time(text: str, now: datetime) -> datetime | None:
    """Return the moment that a text means (UTC); None if none, or one too far away. Without a zone it is in UTC."""
    try:
        if match := re.fullmatch(r"(\d{1,6})([mhd])", text, re.ASCII):
            moment = now - int(match[1]) * _UNITS[match[2]]
        else:
            moment = datetime.fromisoformat(re.sub(r"(T.+) (\d\d:?\d\d)$", r"\1+\2", text))  # a + in a URL is a blank
            moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return moment if abs(moment - now) <= FARTHEST else None


def count_pages(total: int, size: int) -> int:
    """Return how many pages so many items fill, at least 1."""
    return max(1, math.ceil(total / size))
