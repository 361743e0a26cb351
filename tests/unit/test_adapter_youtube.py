"""What YouTube is asked and what its answers mean, with answers as YouTube documents them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest

from region_tick.adapters import Found, Item, NotModified
from region_tick.adapters.youtube import LIST_UNITS, PAGES_LIMIT, YouTube
from region_tick.adapters.youtube_errors import judge_api
from region_tick.fetch import CredentialsError, RefusedError, Request, Response, Secret, TransientError
from region_tick.retry import THROTTLED_SECONDS, ThrottledError
from tests.harness.upstream import NO_KEY
from tests.unit.asking import Asking, creator, found, response
from tests.unit.feeds import ATOM

KEY = Secret(NO_KEY)
CHANNEL = "UC" + "x" * 22
FEED = "https://www.youtube.com/feeds/videos.xml"
API = "https://www.googleapis.com/youtube/v3"
DATE = "Tue, 24 Nov 2026 09:00:00 GMT"
"""When YouTube answers: one o'clock in the morning, Pacific time."""

KEY_REASONS = [
    "API_KEY_SERVICE_BLOCKED",
    "SERVICE_DISABLED",
    "CONSUMER_SUSPENDED",
    "CONSUMER_INVALID",
    "BILLING_DISABLED",
]
OLDER_KEY_REASONS = [(400, "keyInvalid"), (403, "ipRefererBlocked"), (403, "accessNotConfigured"), (400, "keyExpired")]


def youtube(key: Secret | None = KEY) -> YouTube:
    return YouTube(api_url=API, feed_url=FEED, key=key, daily_units=10_000)


PLAYLIST: dict[str, Any] = {
    "items": [
        {
            "snippet": {
                "title": "One",
                "publishedAt": "2026-11-24T08:00:00Z",
                "channelTitle": "Someone",
                "description": "About",
            },
            "contentDetails": {"videoId": "abc", "videoPublishedAt": "2026-11-24T07:00:00Z"},
        },
        {
            "snippet": {"title": "Two", "publishedAt": "2026-11-23T08:00:00Z"},
            "contentDetails": {"videoId": "def"},
        },
    ]
}
CHANNELS = {"items": [{"contentDetails": {"relatedPlaylists": {"uploads": "UUx"}}}]}


@pytest.mark.parametrize(("handle", "parameter"), [(CHANNEL, "id"), ("@someone", "forHandle")])
def test_a_channel_is_looked_up_once_and_then_only_listed(handle: str, parameter: str) -> None:
    asking = Asking(response(CHANNELS), response(PLAYLIST, etag='"1"'))
    result = found(youtube().poll(creator(handle=handle), asking))
    assert (result.platform_id, result.etag) == ("UUx", '"1"')
    assert result.items[0] == Item(
        id="abc",
        url="https://www.youtube.com/watch?v=abc",
        title="One",
        published_at=datetime(2026, 11, 24, 7, tzinfo=UTC),
        author="Someone",
        summary="About",
        raw=PLAYLIST["items"][0],
    )
    assert parse_qs(urlsplit(asking.requests[0].url).query)[parameter] == [handle]
    assert sum(request.cost for request in asking.requests) == 2 * LIST_UNITS

    asking = Asking(response(PLAYLIST))
    youtube().poll(creator(handle=handle, platform_id="UUx", etag='"1"'), asking)
    (request,) = asking.requests
    assert parse_qs(urlsplit(request.url).query)["playlistId"] == ["UUx"]
    assert request.headers == {"If-None-Match": '"1"'}


def test_the_key_is_in_a_header_and_in_no_url() -> None:
    asking = Asking(response(CHANNELS), response(PLAYLIST))
    youtube().poll(creator(handle="@someone"), asking)
    for request in asking.requests:
        assert request.secrets == {"X-Goog-Api-Key": KEY}
        assert KEY.value not in f"{request!r}{request.url}"


def test_without_a_key_the_feed_is_read_and_its_ids_are_the_apis() -> None:
    asking = Asking(response(ATOM, etag='"f"'))
    result = found(youtube(None).poll(creator(handle=CHANNEL), asking))
    assert ([item.id for item in result.items], result.etag) == (["abc", "b"], '"f"')
    assert asking.requests == [Request(url=f"{FEED}?channel_id={CHANNEL}")]


def test_without_a_key_a_handle_cannot_be_resolved() -> None:
    with pytest.raises(CredentialsError, match=r"takes no handle '@someone'.*YOUTUBE_API_KEY.*UC"):
        youtube(None).poll(creator(handle="@someone"), Asking())


def refusal(status: int, *errors: str, details: tuple[str, ...] = (), message: str = "no") -> Response:
    infos = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason} for reason in details]
    body = {"error": {"code": status, "errors": [{"reason": reason} for reason in errors], "details": [{}, *infos]}}
    body["error"]["message"] = message
    return response(body, status, date=DATE)


@pytest.mark.parametrize("reason", ["quotaExceeded", "dailyLimitExceeded"])
def test_a_days_quota_pauses_until_midnight_pacific(reason: str) -> None:
    asking = Asking(refusal(403, reason))
    with pytest.raises(ThrottledError, match=reason) as caught:
        youtube().poll(creator(handle=CHANNEL, platform_id="UU1"), asking)
    assert caught.value.seconds is not None
    assert 0 <= caught.value.seconds - 23 * 3600 <= 120
    assert caught.value.whole_host


@pytest.mark.parametrize(
    ("date", "hours", "hours_without"),
    [
        ("Tue, 24 Nov 2026 09:00:00 GMT", 23, 23),
        ("Tue, 24 Nov 2026 07:00:00 GMT", 1, 1),
        ("Fri, 24 Jul 2026 06:00:00 GMT", 1, 2),
        ("Sun, 08 Mar 2026 09:00:00 GMT", 22, 23),
    ],
)
def test_midnight_pacific_is_known_with_and_without_a_time_zone_database(
    date: str, hours: int, hours_without: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seconds() -> float:
        answer = refusal(403, "quotaExceeded")
        error = judge_api(Response(host="h", status=403, headers={"date": date}, body=answer.body))
        assert isinstance(error, ThrottledError)
        assert error.seconds is not None
        return error.seconds

    assert 0 <= seconds() - hours * 3600 <= 120

    def unknown(name: str) -> ZoneInfo:
        raise ZoneInfoNotFoundError(name)

    monkeypatch.setattr("region_tick.adapters.youtube_errors.ZoneInfo", unknown)
    assert 0 <= seconds() - hours_without * 3600 <= 120


@pytest.mark.parametrize("answer", [refusal(403, "rateLimitExceeded"), refusal(403, details=("RATE_LIMIT_EXCEEDED",))])
def test_a_limit_of_a_minute_throttles(answer: Response) -> None:
    with pytest.raises(ThrottledError) as caught:
        youtube().poll(creator(handle=CHANNEL, platform_id="UU1"), Asking(answer))
    assert caught.value.seconds == THROTTLED_SECONDS


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (refusal(400, "badRequest", details=("API_KEY_INVALID",)), "API_KEY_INVALID"),
        *((refusal(403, "forbidden", details=(reason,)), reason) for reason in KEY_REASONS),
        *((refusal(status, reason), reason) for status, reason in OLDER_KEY_REASONS),
        (
            refusal(403, "forbidden", message=f"Consumer 'api_key:{NO_KEY}' has been suspended."),
            "answers 403, forbidden",
        ),
        (refusal(401, "authError"), "answers 401, authError"),
    ],
)
def test_a_key_that_is_refused_is_no_fault_of_the_creators(answer: Response, reason: str) -> None:
    with pytest.raises(CredentialsError, match=rf"{reason}: check YOUTUBE_API_KEY") as caught:
        youtube().poll(creator(handle=CHANNEL), Asking(answer))
    assert NO_KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (refusal(403, "forbidden"), "answers 403, forbidden$"),
        (refusal(404, "channelNotFound"), "answers 404, channelNotFound$"),
        (refusal(400, "quotaExceeded"), "answers 400, quotaExceeded$"),
        (refusal(400, "a b"), "answers 400$"),
        (response({"error": {"details": [{"reason": "API_KEY_\n"}, 1]}}, 403), "answers 403$"),
        (response({"error": "quotaExceeded"}, 403), "answers 403$"),
        (response(b"<html>", 403), "answers 403$"),
        (response(b"", 404), "answers 404$"),
    ],
)
def test_other_refusals_say_their_reason(answer: Response, said: str) -> None:
    with pytest.raises(RefusedError, match=said) as caught:
        youtube().poll(creator(handle=CHANNEL, platform_id="UU1"), Asking(answer))
    assert not isinstance(caught.value, CredentialsError)


def test_an_error_of_the_server_says_its_reason_and_may_pass() -> None:
    with pytest.raises(TransientError, match=r"answers 503, backendError$"):
        youtube().poll(creator(handle=CHANNEL), Asking(refusal(503, "backendError")))
    with pytest.raises(ThrottledError):
        youtube().poll(creator(handle=CHANNEL), Asking(response(b"", 503, retry_after="120")))


def test_a_channel_without_a_playlist_of_uploads_has_no_uploads() -> None:
    asking = Asking(response(CHANNELS), refusal(404, "playlistNotFound"))
    assert youtube().poll(creator(handle=CHANNEL), asking) == Found(items=(), platform_id="UUx")


def test_a_channel_that_does_not_exist_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"knows no channel '@nobody'"):
        youtube().poll(creator(handle="@nobody"), Asking(response({"items": []})))


def test_a_feed_that_answers_404_is_asked_again_within_the_hour() -> None:
    with pytest.raises(RefusedError) as caught:
        youtube(None).poll(creator(handle=CHANNEL), Asking(response(status=404)))
    assert caught.value.longest_pause == 3600.0


SINCE = datetime(2026, 11, 24, 9, tzinfo=UTC)


def page(first: int, *, last: bool = False, minutes: int = 1) -> Response:
    """Return a page of 50 uploads: upload number n was published n minutes before the last poll's next day."""
    published = [SINCE + timedelta(days=1) - timedelta(minutes=minutes * number) for number in range(first, first + 50)]
    items = [
        {
            "snippet": {"title": "x", "publishedAt": f"{at:%Y-%m-%dT%H:%M:%SZ}"},
            "contentDetails": {"videoId": f"v{first + n}"},
        }
        for n, at in enumerate(published)
    ]
    return response({"etag": f"page{first}", "items": items, **({} if last else {"nextPageToken": f"after{first}"})})


def known(**columns: Any) -> Any:
    return creator(handle=CHANNEL, platform_id="UU1", last_polled_at=SINCE, **columns)


def test_pages_are_read_until_the_last_poll() -> None:
    asking = Asking(page(0, minutes=12), page(50, minutes=12), page(100, minutes=12))
    result = found(youtube().poll(known(), asking))
    assert len({item.id for item in result.items}) == 150
    assert (result.counts, result.etag) == ({}, "page0")
    assert [parse_qs(urlsplit(request.url).query).get("pageToken") for request in asking.requests] == [
        None,
        ["after0"],
        ["after50"],
    ]


def test_one_page_is_enough_at_the_first_poll() -> None:
    result = found(youtube().poll(creator(handle=CHANNEL, platform_id="UU1"), Asking(page(0))))
    assert (len(result.items), result.counts) == (50, {})


def test_pages_end_and_then_there_is_a_gap() -> None:
    asking = Asking(*(page(50 * number) for number in range(PAGES_LIMIT + 1)))
    result = found(youtube().poll(known(), asking))
    assert (len(result.items), result.counts, len(asking.requests)) == (50 * PAGES_LIMIT, {"gap": 1}, PAGES_LIMIT)
    result = found(youtube().poll(known(), Asking(page(0), page(50, last=True))))
    assert (len(result.items), result.counts) == (100, {})


def test_the_feed_without_a_key_has_a_gap_if_all_of_it_is_new() -> None:
    for polled_at, counts in ((None, {}), (SINCE, {}), (datetime(2010, 1, 1, tzinfo=UTC), {"gap": 1})):
        row = creator(handle=CHANNEL, last_polled_at=polled_at)
        assert found(youtube(None).poll(row, Asking(response(ATOM)))).counts == counts


def test_an_etag_of_the_body_is_sent_and_one_of_the_headers_goes_before() -> None:
    assert found(youtube().poll(known(), Asking(response({**PLAYLIST, "etag": "body"})))).etag == "body"
    assert (
        found(youtube().poll(known(), Asking(response({**PLAYLIST, "etag": "body"}, etag='"head"')))).etag == '"head"'
    )
    asking = Asking(response(status=304))
    assert youtube().poll(known(etag="body"), asking) == NotModified(etag="body")
    assert asking.requests[0].headers == {"If-None-Match": "body"}


def test_an_odd_video_costs_itself_alone() -> None:
    result = found(youtube().poll(known(), Asking(response({"items": [*PLAYLIST["items"], {}, 1]}))))
    assert ([item.id for item in result.items], result.counts) == (["abc", "def"], {"unreadable": 2})


NONSENSE = [b"", b"[]", b"null", b"{", b'{"items": 1}', b'{"items": [1]}', b'{"items": [{}]}', b"[" * 100_000]


@pytest.mark.parametrize("body", NONSENSE, ids=range(len(NONSENSE)))
def test_what_is_not_as_documented_is_refused(body: bytes) -> None:
    for row in (creator(handle=CHANNEL), creator(handle=CHANNEL, platform_id="UU1")):
        with pytest.raises(RefusedError):
            youtube().poll(row, Asking(response(body)))
    with pytest.raises(RefusedError):
        youtube(None).poll(creator(handle=CHANNEL), Asking(response(body)))


@pytest.mark.parametrize("key", [None, KEY])
def test_a_creator_without_a_handle_is_refused_without_a_request(key: Secret | None) -> None:
    asking = Asking()
    with pytest.raises(RefusedError, match="has no handle"):
        youtube(key).poll(creator(), asking)
    assert asking.requests == []
