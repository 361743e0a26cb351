"""Says for how long an answer stays fresh: by its headers (RFC 9111, 4.2), or by what a feed says of itself. Pure.

Nobody has to ask for what is still fresh. How far an upstream is believed is a setting, because a wrong value must not
silence a creator.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from region_tick.retry import read_date, server_time

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_SECONDS = 31_536_000
"""A year: more means for ever."""
_NUMBER = re.compile(r"\d{1,12}", re.ASCII)
_PERIODS = {"hourly": 3600, "daily": 86_400, "weekly": 7 * 86_400, "monthly": 30 * 86_400, "yearly": LONGEST_SECONDS}


def seconds_of_headers(headers: Mapping[str, str]) -> int:
    """Return for how many seconds an answer is fresh from now on; 0 if its headers do not say so.

    `max-age` counts less the answer's Age, and before Expires. What must be revalidated is never fresh.
    """
    parts = [part.partition("=") for part in headers.get("cache-control", "").lower().split(",")]
    directives = {name.strip(): value.strip(' "') for name, _, value in parts}
    if directives.get("no-cache") == "" or "no-store" in directives:  # no-cache may be about single headers
        return 0
    if "max-age" in directives:
        return _limited(_number(directives["max-age"]) - _number(headers.get("age", "")))
    expires = read_date(headers.get("expires", ""))
    return 0 if expires is None else _limited(int((expires - server_time(headers)).total_seconds()))


def seconds_of_feed(said: Mapping[str, str]) -> int:
    """Return how long a feed wants to be left alone: the longer one of RSS's `ttl`, in minutes, and its
    `sy:updatePeriod` and `sy:updateFrequency` (https://web.resource.org/rss/1.0/modules/syndication/); 0 without these.
    """
    period = _PERIODS.get(said.get("sy:updatePeriod", "").strip().lower(), 0)
    frequency = _number(said.get("sy:updateFrequency", "")) or 1
    return _limited(max(60 * _number(said.get("ttl", "")), period // frequency))


def fresh_until(tick_at: datetime, seconds: int, *, at_most: int) -> datetime | None:
    """Return until when an answer to the tick of `tick_at` counts as fresh; None if it does not.

    Ticks are compared by their times and not by the time of a request, which is later: if an upstream says 15 minutes,
    a region that ticks every 15 minutes asks at each tick.
    """
    believed = min(seconds, at_most)
    return tick_at + timedelta(seconds=believed) if believed > 0 else None


def _number(text: str) -> int:
    text = text.strip()
    return int(text) if _NUMBER.fullmatch(text) else 0


def _limited(seconds: int) -> int:
    return max(0, min(seconds, LONGEST_SECONDS))
