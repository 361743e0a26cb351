"""Learns the API server's clock from the Date header of each answer.

Every origin server with a clock sends a Date, in whole seconds (RFC 9110, 6.6.1), as Go's net/http does. If several API
servers answer in turn, the estimate is of the one that answered last, unless their clocks agree.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from datetime import datetime
    from types import SimpleNamespace

    from region_operator.runtime.remote_clock import RemoteClock


def learn_from_answers(clock: RemoteClock) -> aiohttp.TraceConfig:
    """Return a trace that lets `clock` learn from each answer, an error's too."""

    async def begin(_: aiohttp.ClientSession, request: SimpleNamespace, __: object) -> None:
        request.sent = clock.monotonic()

    async def end(_: aiohttp.ClientSession, request: SimpleNamespace, answer: aiohttp.TraceRequestEndParams) -> None:
        if date := parse_date(answer.response.headers.get("Date", "")):
            clock.observe(date, resolution=1, sent=request.sent)

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(begin)
    trace.on_request_headers_sent.append(begin)  # later, after the wait for a connection
    trace.on_request_end.append(end)
    return trace


@lru_cache(maxsize=16)
def parse_date(header: str) -> datetime | None:
    """Return the time in a Date header, in whole seconds (UTC); None if there is none.

    All answers of a second have the same header, so a burst of answers costs one reading.
    """
    try:
        date = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else None
