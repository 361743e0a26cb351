"""Reads single values of a row: a bounding box, a timeout, parameters. Pure.

Each value is returned as the operator goes on with it, or is refused by a ValueError that says what to write instead.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Self

from region_operator.durations import parse_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

PARAMS_LIMIT = 8192
"""How many bytes of JSON a region's params may have."""

TIMEOUT_LIMITS = (timedelta(seconds=1), timedelta(days=1))
"""The shortest and the longest timeout that a row may have."""

CORNERS = ("bbox_min_lon", "bbox_min_lat", "bbox_max_lon", "bbox_max_lat")
ROUNDING = Decimal("1e-9")
"""How far a corner may be beyond the limit, in degrees: a tenth of a millimetre, as floating point numbers round."""


@dataclass(frozen=True, slots=True)
class Bbox:
    """A bounding box in degrees. A tick gets the box as text: `min_lon,min_lat,max_lon,max_lat`."""

    min_lon: Decimal
    min_lat: Decimal
    max_lon: Decimal
    max_lat: Decimal

    def __str__(self) -> str:
        corners = (self.min_lon, self.min_lat, self.max_lon, self.max_lat)
        return ",".join(format(corner.normalize() + 0, "f") for corner in corners)  # equal boxes have equal texts

    @classmethod
    def from_corners(cls, corners: Sequence[object]) -> Self | None:
        """Read four corners in the order of the fields. Return None if all four are None.

        Raises ValueError; the message says what to write instead.
        """
        if all(corner is None for corner in corners):
            return None
        if None in corners:
            raise ValueError("bbox has some of its four corners but not all: fill in the others or set all to NULL")
        box = cls(*(_parse_degrees(name, corner) for name, corner in zip(CORNERS, corners, strict=True)))
        if box.min_lat > box.max_lat:
            raise ValueError(
                f"bbox_min_lat {box.min_lat} is greater than bbox_max_lat {box.max_lat}: write the southern edge first"
            )
        return box


def parse_timeout(value: object) -> timedelta | None:
    """Read a row's timeout: a Go duration or a timedelta; None stays None. Raises ValueError, with the remedy."""
    remedy = 'write a Go duration from 1s to 24h, e.g. "90s" or "1h30m", or NULL for that of the RegionScheduler'
    try:
        timeout = parse_duration(value)
    except (ValueError, OverflowError):
        timeout = value
    if timeout is None:
        return None
    if not isinstance(timeout, timedelta):
        raise ValueError(f'timeout "{printable(str(value))}" is not a duration: {remedy}')
    if not TIMEOUT_LIMITS[0] <= timeout <= TIMEOUT_LIMITS[1]:
        raise ValueError(f'timeout "{printable(str(value))}" is too short or too long: {remedy}')
    return timeout


def parse_params(value: object) -> str | None:
    """Check a row's params, JSON as text, and return the text; None for none. Raises ValueError, with the remedy."""
    text = text_of(value).strip()
    remedy = 'write a JSON object, e.g. {"depth": 3}, or NULL for none'
    if not text or text == "null":
        return None
    size = len(text.encode(errors="backslashreplace"))
    if size > PARAMS_LIMIT:
        raise ValueError(f"params has {size} bytes: write at most {PARAMS_LIMIT}, and keep more in a table of your own")
    try:
        params = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f'params "{printable(text)}" is no JSON ({error}): {remedy}') from error
    if not isinstance(params, dict):
        raise ValueError(f'params "{printable(text)}" is no object: {remedy}')
    return text if params else None


def printable(text: str, *, limit: int = 80) -> str:
    """Make a text fit for a message: one line, invisible characters escaped, cut to `limit` characters."""
    text = escaped(text)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def escaped(text: str) -> str:
    """Return a text with an escape in place of each character that cannot be seen."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def text_of(value: object) -> str:
    """Return the text of a column's value, "" for NULL."""
    return "" if value is None else str(value)


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not in JSON")


def _parse_degrees(column: str, corner: object) -> Decimal:
    limit = Decimal(180 if column.endswith("lon") else 90)
    try:
        degrees = Decimal(str(corner))  # by the text: Decimal(0.1) has 55 digits
    except InvalidOperation:
        degrees = Decimal("NaN")
    if not (degrees.is_finite() and -limit - ROUNDING <= degrees <= limit + ROUNDING):
        raise ValueError(f"{column} {printable(str(corner))} is not a place: write degrees, -{limit} to {limit}")
    return max(-limit, min(degrees, limit))
