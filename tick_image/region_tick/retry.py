"""Asking again, politely: a few times, with exponential backoff and full jitter, and not before an upstream says so.

urllib3's Retry is not used: its jitter is added to a fixed backoff instead of being the whole of it, it sleeps where
nobody can wake it, knows no deadline, and cuts a long Retry-After short instead of giving up
(urllib3.util.retry, get_backoff_time, sleep, parse_retry_after).
"""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from region_tick.fetch import FetchError, RefusedError, Request, Response, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ATTEMPTS = 3
BACKOFF_SECONDS = 0.5
WAIT_LIMIT_SECONDS = 5.0
"""The longest Retry-After that is waited out; a longer one ends the asking, for a later tick."""
RETRY_AFTER_LIMIT_SECONDS = 86_400.0
"""The longest Retry-After that is believed: a wrong one must not silence a creator for ever."""
THROTTLED_SECONDS = 60.0
"""How long an upstream is left alone that did not say for how long."""
_AGAIN = frozenset({408, 425, 429})


class ThrottledError(FetchError):
    """The upstream wants to be left alone for `seconds`; None where it does not say for how long."""

    def __init__(self, message: str, seconds: float | None) -> None:
        super().__init__(message)
        self.seconds = seconds

    @property
    def leave_alone_seconds(self) -> float:
        """How long to leave it alone: as it said, else THROTTLED_SECONDS."""
        return THROTTLED_SECONDS if self.seconds is None else self.seconds


def ask(
    send: Callable[[Request, float], Response],
    request: Request,
    *,
    until: float,
    request_seconds: float,
    wait: Callable[[float], bool],
) -> Response:
    """Return an answer of status 2xx or 304. All of it is over at `until` (seconds of time.monotonic()).

    `send` gets a time for each single request, `wait` waits for so many seconds or returns True when it is not to go
    on. Raises TransientError, ThrottledError, and RefusedError for every other status.
    """
    attempt = 0
    while True:
        attempt += 1
        try:
            response = send(request, min(until, time.monotonic() + request_seconds))
            failure = judge(response)
        except TransientError as error:
            failure = error
        if failure is None:
            return response
        pause = _pause(failure, attempt)
        if pause is None or time.monotonic() + pause >= until or wait(pause):
            raise failure


def judge(response: Response) -> FetchError | None:
    """Say what a status means; None where it is an answer."""
    said = f"{response.host} answers {response.status}"
    if 200 <= response.status < 300 or response.status == 304:
        return None
    if response.status >= 500 or response.status in _AGAIN:
        seconds = retry_after(response.headers)
        if response.status == 429 or seconds is not None:
            return ThrottledError(said, seconds)
        return TransientError(said)
    return RefusedError(said, response)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read a Retry-After in either form (RFC 9110, 10.2.3) as seconds from now; None where there is none to read.

    A time is compared with the answer's own Date: the two clocks need not agree.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:12])
    else:
        until, now = _time(text), _time(headers.get("date", "")) or datetime.now(UTC)
        if until is None:
            return None
        seconds = (until - now).total_seconds()
    return min(max(0.0, seconds), RETRY_AFTER_LIMIT_SECONDS)


def _time(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _pause(failure: FetchError, attempt: int) -> float | None:
    """Return how long to wait before the next attempt; None where there is none."""
    if attempt >= ATTEMPTS or isinstance(failure, RefusedError):
        return None
    pause = random.uniform(0.0, BACKOFF_SECONDS * 2.0**attempt)  # noqa: S311
    if isinstance(failure, ThrottledError) and failure.seconds is not None:
        return failure.seconds + pause if failure.seconds <= WAIT_LIMIT_SECONDS else None
    return pause
