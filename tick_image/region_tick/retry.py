"""Repeats a failed request politely: a few times, with exponential backoff and full jitter, and never before the
upstream's Retry-After.

urllib3's Retry cannot be used, for four reasons (urllib3.util.retry, get_backoff_time, sleep, parse_retry_after). Retry
adds jitter to a fixed backoff, instead of full jitter. Retry's sleep cannot be interrupted. Retry knows no deadline.
And Retry shortens a long Retry-After instead of giving up.
"""

from __future__ import annotations

import random
import re
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from region_tick.fetch import FetchError, GoneError, RefusedError, Request, Response, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ATTEMPTS = 3
BACKOFF_SECONDS = 0.5
WAIT_LIMIT_SECONDS = 5.0
"""The longest Retry-After that is waited out. A longer Retry-After ends the attempts; a later tick asks again."""
RETRY_AFTER_LIMIT_SECONDS = 86_400.0
"""The longest Retry-After that is obeyed in full: a wrong value must not silence a creator for ever."""
THROTTLED_SECONDS = 60.0
"""The pause after a 429 without a Retry-After, or with one that cannot be read."""
_RETRYABLE_STATUSES = frozenset({408, 425, 429})
_CONDITIONS = frozenset({"if-none-match", "if-modified-since"})
_SECONDS = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)\d*\s*(?:s|secs?|seconds?)?", re.ASCII | re.IGNORECASE)


class ThrottledError(FetchError):
    """The upstream asks for a pause of `seconds`; None if the upstream gives no length.

    `whole_host` tells whether the host's other creators wait too. One URL's 503 says nothing about the others.
    """

    def __init__(self, message: str, seconds: float | None, *, whole_host: bool = True) -> None:
        super().__init__(message)
        self.seconds, self.whole_host = seconds, whole_host

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
            failure = judge(request, response)
        except TransientError as error:
            failure = error
        if failure is None:
            return response
        pause = _pause_seconds(failure, attempt)
        if pause is None or time.monotonic() + pause >= until or wait(pause):
            raise failure


def judge(request: Request, response: Response) -> FetchError | None:
    """Return the error that an answer means, or None for a useful answer. The request's own judge is asked first."""
    if request.judge is not None and (error := request.judge(response)) is not None:
        return error
    status, message = response.status, f"{response.host} answers {response.status}"
    if 200 <= status < 300:
        return None
    if status == 304:
        conditional = {name.lower() for name in request.headers} & _CONDITIONS
        return None if conditional else RefusedError(f"{message} to a request without a condition", response)
    if status == 410:
        return GoneError(f"{message}: the URL is gone for good; delete the creator or correct its URL", response)
    passing = status >= 500 or status in _RETRYABLE_STATUSES
    seconds = retry_after(response.headers)
    if status == 429:
        vague = seconds is None and response.headers.get("retry-after", "").strip()
        return ThrottledError(message, THROTTLED_SECONDS if vague else seconds)
    if seconds is not None and (passing or seconds > 0):
        return ThrottledError(message, seconds, whole_host=False)
    return TransientError(message) if passing else RefusedError(message, response)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read a Retry-After header as seconds from now; None without a valid header.

    Both forms of RFC 9110, 10.2.3, are read, and what servers write beside them: fractions, a unit ("60s"), ISO 8601,
    and several values, of which the longest counts. A Retry-After with a date is compared with the answer's own Date
    header, because the upstream's clock may differ from this machine's clock.
    """
    text, now = headers.get("retry-after", ""), server_time(headers)
    pauses = [pause for part in text.split(",") if (pause := _pause(part.strip(), now)) is not None]
    return min(max(pauses), RETRY_AFTER_LIMIT_SECONDS) if pauses else None


def server_time(headers: Mapping[str, str]) -> datetime:
    """Return the time by the upstream's clock, or by this machine's clock without a Date header; in UTC."""
    return read_date(headers.get("date", "")) or datetime.now(UTC)


def _pause(text: str, now: datetime) -> float | None:
    """Read one value of a Retry-After. A date's weekday, which a comma cuts off, is no value."""
    if number := _SECONDS.fullmatch(text):
        return float(number[1])
    until = read_date(text)
    return None if until is None else max(0.0, (until - now).total_seconds())


def read_date(text: str) -> datetime | None:
    """Read a header's date, in HTTP's form or in ISO 8601; None for what is none. Without a zone it is UTC."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = read(text)
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            continue
    return None


def _pause_seconds(failure: FetchError, attempt: int) -> float | None:
    """Return how long to wait before the next attempt, or None if there is no next attempt."""
    if attempt >= ATTEMPTS or isinstance(failure, RefusedError):
        return None
    pause = random.uniform(0.0, BACKOFF_SECONDS * 2.0**attempt)  # noqa: S311
    if isinstance(failure, ThrottledError) and failure.seconds is not None:
        return failure.seconds + pause if failure.seconds <= WAIT_LIMIT_SECONDS else None
    return pause
