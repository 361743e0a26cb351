"""When a request is made again, when it is not, and how long the pauses are."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3 import HTTPHeaderDict

from region_tick.fetch import (
    CredentialsError,
    FetchError,
    GoneError,
    RefusedError,
    Request,
    Response,
    TransientError,
)
from region_tick.retry import (
    ATTEMPTS,
    BACKOFF_SECONDS,
    RETRY_AFTER_LIMIT_SECONDS,
    THROTTLED_SECONDS,
    WAIT_LIMIT_SECONDS,
    ThrottledError,
    ask,
    judge,
    retry_after,
)

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
REQUEST = Request(url="https://upstream.test/")
CONDITIONAL = Request(url="https://upstream.test/", headers={"If-None-Match": '"1"'})


def response(status: int, **headers: str) -> Response:
    named = HTTPHeaderDict({name.replace("_", "-"): value for name, value in headers.items()})
    return Response(host="upstream.test", status=status, headers=named, body=b"")


class Asking:
    """Asks an upstream that answers with these one after the other; remembers the pauses instead of making them."""

    def __init__(self, *answers: Response | FetchError, seconds: float = 1000.0, stopped: bool = False) -> None:
        self.answers, self.pauses, self.stopped = list(answers), list[float](), stopped
        self.given: list[float] = []
        self.began = time.monotonic()
        self.until = self.began + seconds

    def send(self, request: Request, until: float) -> Response:
        assert request is self.request
        self.given.append(until)
        answer = self.answers.pop(0)
        if isinstance(answer, FetchError):
            raise answer
        return answer

    def wait(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        return self.stopped

    def ask(self, request: Request = REQUEST) -> Response:
        self.request = request
        return ask(self.send, request, until=self.until, request_seconds=20.0, wait=self.wait)


@pytest.mark.parametrize(
    "failure",
    [response(status) for status in (408, 425, 429, 500, 502, 503, 504, 520, 599)]
    + [response(503, retry_after="0"), response(429, retry_after="1"), TransientError("reset")],
    ids=str,
)
def test_what_may_pass_is_asked_again(failure: Response | FetchError) -> None:
    asking = Asking(failure, failure, response(200))
    assert asking.ask().status == 200
    assert len(asking.pauses) == 2


@pytest.mark.parametrize("status", [200, 204, 304])
def test_an_answer_is_an_answer(status: int) -> None:
    asking = Asking(response(status))
    assert asking.ask(CONDITIONAL).status == status
    assert asking.pauses == []


def test_304_without_a_condition_is_refused() -> None:
    with pytest.raises(RefusedError, match="304 to a request without a condition"):
        Asking(response(304)).ask()


def test_410_is_final() -> None:
    with pytest.raises(GoneError, match="gone for good"):
        Asking(response(410, retry_after="1")).ask()


def test_a_requests_own_judge_is_asked_first() -> None:
    own = Request(url="https://upstream.test/", judge=lambda answer: CredentialsError(f"own {answer.status}"))
    asking = Asking(response(429))
    with pytest.raises(CredentialsError, match="own 429"):
        asking.ask(own)
    assert asking.pauses == []
    assert Asking(response(200)).ask(replace(own, judge=lambda _: None)).status == 200


@pytest.mark.parametrize("status", [300, 302, 400, 401, 403, 404, 418, 451])
def test_what_will_not_pass_is_asked_once(status: int) -> None:
    asking = Asking(response(status))
    with pytest.raises(RefusedError, match=f"upstream.test answers {status}") as caught:
        asking.ask()
    assert caught.value.response is not None
    assert asking.pauses == []


def test_it_ends_after_some_attempts_with_the_last_failure() -> None:
    asking = Asking(*(response(500 + n) for n in range(ATTEMPTS)))
    with pytest.raises(TransientError, match=f"answers {500 + ATTEMPTS - 1}"):
        asking.ask()
    assert asking.answers == []


def test_pauses_grow_and_are_jittered_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        drawn.append((low, high))
        return high

    monkeypatch.setattr("random.uniform", uniform)
    asking = Asking(response(500), response(500), response(500))
    with pytest.raises(TransientError):
        asking.ask()
    assert drawn == [(0.0, 2 * BACKOFF_SECONDS), (0.0, 4 * BACKOFF_SECONDS)]


def test_a_short_retry_after_is_waited_out() -> None:
    asking = Asking(response(429, retry_after="3"), response(200))
    asking.ask()
    assert asking.pauses[0] >= 3.0


@pytest.mark.parametrize(
    "headers",
    [
        {"retry_after": "120"},
        {"retry_after": format_datetime(NOW + timedelta(seconds=120), usegmt=True), "date": format_datetime(NOW)},
    ],
)
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_long_retry_after_ends_the_asking_and_is_told(status: int, headers: dict[str, str]) -> None:
    asking = Asking(response(status, **headers))
    with pytest.raises(ThrottledError) as caught:
        asking.ask()
    assert caught.value.seconds == 120.0 > WAIT_LIMIT_SECONDS
    assert asking.pauses == []


@pytest.mark.parametrize("status", [400, 403, 404, 451])
def test_a_retry_after_is_kept_to_whatever_the_status(status: int) -> None:
    asking = Asking(response(status, retry_after="120"))
    with pytest.raises(ThrottledError) as caught:
        asking.ask()
    assert caught.value.seconds == 120.0
    with pytest.raises(RefusedError):
        Asking(response(status, retry_after="0")).ask()


@pytest.mark.parametrize("text", ["-1", "soon", "PT1M", "1;2"])
def test_a_429_whose_retry_after_cannot_be_read_ends_the_asking(text: str) -> None:
    asking = Asking(response(429, retry_after=text))
    with pytest.raises(ThrottledError) as caught:
        asking.ask()
    assert caught.value.seconds == THROTTLED_SECONDS
    assert len(asking.given) == 1
    assert Asking(response(503, retry_after=text), response(200)).ask().status == 200


def test_only_a_429_speaks_for_the_whole_host() -> None:
    for status in (403, 429, 503):
        with pytest.raises(ThrottledError) as caught:
            Asking(response(status, retry_after="120")).ask()
        assert caught.value.whole_host == (status == 429)


def test_a_429_that_does_not_say_how_long_is_told_as_such() -> None:
    with pytest.raises(ThrottledError) as caught:
        Asking(*[response(429)] * ATTEMPTS).ask()
    assert caught.value.seconds is None


def test_no_request_has_more_time_than_the_whole() -> None:
    asking = Asking(response(200), seconds=5.0)
    asking.ask()
    assert asking.given == [asking.until]
    asking = Asking(response(200), seconds=1000.0)
    asking.ask()
    assert asking.given[0] < asking.until


def test_a_pause_that_does_not_fit_is_not_made() -> None:
    asking = Asking(response(503, retry_after="4"), seconds=3.0)
    with pytest.raises(ThrottledError):
        asking.ask()
    assert asking.pauses == []


def test_being_told_to_stop_ends_it() -> None:
    asking = Asking(response(500), stopped=True)
    with pytest.raises(TransientError):
        asking.ask()
    assert len(asking.given) == 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        (" 17 ", 17.0),
        ("99999999999999999999", RETRY_AFTER_LIMIT_SECONDS),
        ("Tue, 24 Nov 2026 09:01:00 GMT", 60.0),
        ("Tuesday, 24-Nov-26 09:01:00 GMT", 60.0),
        ("Tue, 24 Nov 2026 08:59:00 GMT", 0.0),
        ("Tue, 24 Nov 2036 08:59:00 GMT", RETRY_AFTER_LIMIT_SECONDS),
        ("120, 120", 120.0),
        ("10, 120", 120.0),
        ("1.5", 1.5),
        ("60s", 60.0),
        ("60 seconds", 60.0),
        ("2026-11-24T09:01:00Z", 60.0),
        ("2026-11-24T10:01:00+01:00", 60.0),
        ("Tue Nov 24 09:01:00 2026", 60.0),
        ("Tue, 24 Nov 2026 09:01:00 GMT, Tue, 24 Nov 2026 09:01:00 GMT", 60.0),
        ("-5", None),
        ("-1", None),
        ("PT1M", None),
        ("soon", None),
        ("", None),
        ("Tue, 24 Nov 99999 08:59:00 GMT", None),
    ],
)
def test_retry_after_is_read_in_both_forms(text: str, seconds: float | None) -> None:
    assert retry_after(HTTPHeaderDict({"Retry-After": text, "Date": format_datetime(NOW)})) == seconds


def test_a_time_without_the_answers_own_is_compared_with_this_clock() -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=1000))
    assert 990 < (retry_after(HTTPHeaderDict({"Retry-After": at})) or 0) <= 1000


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_header_breaks_it(text: str, date: str) -> None:
    seconds = retry_after({"retry-after": text, "date": date})
    assert seconds is None or 0 <= seconds <= RETRY_AFTER_LIMIT_SECONDS


@given(st.integers(100, 999))
def test_every_status_means_something(status: int) -> None:
    verdict = judge(CONDITIONAL, response(status))
    assert (verdict is None) == (200 <= status < 300 or status == 304)
