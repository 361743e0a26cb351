"""Reads times as feeds and APIs write them, in UTC. Pure. What cannot be read for certain is None: no time is better
than a wrong one.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_ZONES = {
    "UT": 0, "UTC": 0, "GMT": 0, "Z": 0, "WET": 0, "WEST": 1, "BST": 1, "CET": 1, "MEZ": 1, "CEST": 2, "MESZ": 2,
    "MET": 1, "MEST": 2, "EET": 2, "EEST": 3, "MSK": 3, "TRT": 3, "SAST": 2, "PKT": 5, "WIB": 7, "ICT": 7, "SGT": 8,
    "HKT": 8, "PHT": 8, "AWST": 8, "JST": 9, "KST": 9, "ACST": 9.5, "ACDT": 10.5, "AEST": 10, "AEDT": 11, "NZST": 12,
    "NZDT": 13, "NDT": -2.5, "NST": -3.5, "BRT": -3, "ART": -3, "ADT": -3, "AST": -4, "EDT": -4, "EST": -5, "CDT": -5,
    "CST": -6, "MDT": -6, "MST": -7, "PDT": -7, "PST": -8, "AKDT": -8, "AKST": -9, "HST": -10,
}  # fmt: skip
"""Hours east of Greenwich. The names of RFC 5322 mean what the RFC says; of the others, those with one usual meaning
are here.
"""
_ZONE = re.compile(r"(?:\(?([A-Za-z]{1,5})\)?)? ?(?:([+-])(\d{1,2}):?(\d{2})?)? ?(?:\([^)]*\))?", re.ASCII)
_TIME = re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?")
_SEPTEMBER = re.compile(r"\bSept\b", re.IGNORECASE)
_YEAR_OR_MONTH = re.compile(r"\d{4}(-\d{2})?", re.ASCII)
_LONGEST = 200
"""A longer text is no time. Strangers write these texts, and a regular expression may take long for a long one."""


def read_time(text: str) -> datetime | None:
    """Read a time in the format of RFC 5322 (RSS) or ISO 8601 (Atom, Dublin Core), whichever it is.

    A time without a zone is UTC. A time with an unknown zone is None.
    """
    text = text.strip()
    return rfc3339(text) or _with_zone(text) if len(text) <= _LONGEST else None


def rfc3339(text: str) -> datetime | None:
    """Read a time in RFC 3339 format, as in Atom and most JSON; None for any other text.

    A year or a month alone, as Dublin Core has them (https://www.w3.org/TR/NOTE-datetime), is its beginning.
    """
    text = text.strip()
    if alone := _YEAR_OR_MONTH.fullmatch(text):
        text += "-01" if alone[1] else "-01-01"
    try:
        return _to_utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def _with_zone(text: str) -> datetime | None:
    """Read a time such as `Fri, 06 Mar 2015 22:40:57 CET` or `2015-03-06 22:40:57 CET`."""
    time = _TIME.search(text)
    offset = None if time is None else _offset(text[time.end() :])
    if time is None or offset is None:
        return None
    local = _SEPTEMBER.sub("Sep", text[: time.end()].strip())
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            return _to_utc(read(local).replace(tzinfo=None) - offset)
        except (ValueError, OverflowError, IndexError, TypeError):
            continue
    return None


def _offset(zone: str) -> timedelta | None:
    """Read what follows the time of day: `GMT`, `+0100`, `GMT+01:00`, `CET (Berlin)` or nothing."""
    match = _ZONE.fullmatch(" ".join(zone.split()))
    if match is None:
        return None
    name, sign, hours, minutes = match.groups()
    if name is not None and name.upper() not in _ZONES:
        return None
    if sign is not None:
        return (1 if sign == "+" else -1) * timedelta(hours=int(hours), minutes=int(minutes or 0))
    return timedelta(hours=_ZONES[name.upper()] if name else 0)


def _to_utc(moment: datetime) -> datetime:
    """Convert a time to UTC: some feeds have offsets of 16 hours, and Postgres refuses such offsets."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
