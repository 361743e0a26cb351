"""Repeats a failed request politely: a few times, with exponential backoff and full jitter, and never before the
upstream's Retry-After.

urllib3's Retry cannot be used, for four reasons (urllib3.util.retry, get_backoff_time, sleep, parse_retry_after). Retry
adds jitter to a fixed backoff, instead of full jitter. Retry's sleep cannot be interrupted. Retry knows no deadline.
And Retry shortens a long Retry-After instead of giving up.
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
"""The longest Retry-After that is waited out. A longer Retry-After ends the attempts; a later tick asks again."""
RETRY_AFTER_LIMIT_SECONDS = 86_400.0
"""The longest Retry-After that is obeyed in full: a wrong value must not silence a creator for ever."""
THROTTLED_SECONDS = 60.0
"""The pause after an upstream asks for a pause without a Retry-After."""
_RETRYABLE_STATUSES = frozenset({408, 425, 429})


class ThrottledError(FetchError):
    """The upstream asks for a pause of `seconds`; None if the upstream gives no length."""

    def __init__(self, message: str, seconds: float | None) -> None:
        super().__init__(message)
        self.seconds = seconds

    @property
    def leave_alone_seconds(self) -> float:
        """The length of the pause: the upstream's, or THROTTLED_SECONDS if the upstream gives none."""
        return THROTTLED_SECONDS if self.seconds is None else self.seconds


def ask(
    send: Callable[[Request, float], Response],
    request: Request,
    *,
    until: float,
    request_seconds: float,
    wait: Callable[[float], bool],
) -> Response:
    """Send a request, repeat it if that may help, and return an answer with status 2xx or 304.

    All attempts end by the time `until` (seconds of time.monotonic()). `send` gets the request and the time at which
    that single attempt must end, `request_seconds` after its start at most. `wait` waits for a number of seconds, and
    returns True if `ask` must stop. Raises TransientError, ThrottledError, and RefusedError for every other status.
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
        pause = _pause_seconds(failure, attempt)
        if pause is None or time.monotonic() + pause >= until or wait(pause):
            raise failure


def judge(response: Response) -> FetchError | None:
    """Return the error that a response's status means, or None for a useful answer."""
    message = f"{response.host} answers {response.status}"
    if 200 <= response.status < 300 or response.status == 304:
        return None
    if response.status >= 500 or response.status in _RETRYABLE_STATUSES:
        seconds = retry_after(response.headers)
        if response.status == 429 or seconds is not None:
            return ThrottledError(message, seconds)
        return TransientError(message)
    return RefusedError(message, response)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read a Retry-After header in either form (RFC 9110, 10.2.3) as seconds from now; None without a valid header.

    A Retry-After with a date is compared with the answer's own Date header, because the upstream's clock may differ
    from this machine's clock.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:12])
    else:
        until, now = _parse_date(text), _parse_date(headers.get("date", "")) or datetime.now(UTC)
        if until is None:
            return None
        seconds = (until - now).total_seconds()
    return min(max(0.0, seconds), RETRY_AFTER_LIMIT_SECONDS)


def _parse_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _pause_seconds(failure: FetchError, attempt: int) -> float | None:
    """Return how long to wait before the next attempt, or None if there is no next attempt."""
    if attempt >= ATTEMPTS or isinstance(failure, RefusedError):
        return None
    pause = random.uniform(0.0, BACKOFF_SECONDS * 2.0**attempt)  # noqa: S311
    if isinstance(failure, ThrottledError) and failure.seconds is not None:
        return failure.seconds + pause if failure.seconds <= WAIT_LIMIT_SECONDS else None
    return pause
