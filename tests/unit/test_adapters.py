"""What each platform is asked and what its answers mean, with answers as the platforms document them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from urllib3 import HTTPHeaderDict

from region_tick.adapters import (
    VALIDATOR_LIMIT,
    Adapter,
    Creator,
    Found,
    Item,
    conditional_headers,
    make_adapters,
    make_found,
)
from region_tick.adapters.generic import Generic
from region_tick.adapters.tiktok import QUERY_REQUESTS, TikTok
from region_tick.adapters.youtube import LIST_UNITS, QUOTA_PAUSE_SECONDS, YouTube
from region_tick.fetch import CredentialsError, RefusedError, Request, Response, Secret, TransientError
from region_tick.poll_settings import PollSettings
from region_tick.retry import ThrottledError
from tests.harness.upstream import NO_KEY
from tests.unit.feeds import ATOM, RSS

KEY = Secret(NO_KEY)
CHANNEL = "UC" + "x" * 22
NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
FEED = "https://www.youtube.com/feeds/videos.xml"
API = "https://www.googleapis.com/youtube/v3"


def response(body: object = b"", status: int = 200, **headers: str) -> Response:
    named = HTTPHeaderDict({name.replace("_", "-"): value for name, value in headers.items()})
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(host="upstream.test", status=status, headers=named, body=text)


class Asking:
    """Stands for the way to an upstream: gives these answers, remembers the requests."""

    def __init__(self, *answers: Response | Exception) -> None:
        self.answers, self.requests = list(answers), list[Request]()

    def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def creator(**columns: Any) -> Creator:
    row: dict[str, Any] = {"id": 1, "platform": "any", "handle": None, "url": None}
    return Creator(**row | columns)


def refused(body: object, status: int) -> RefusedError:
    return RefusedError(f"upstream.test answers {status}", response(body, status))


def youtube(key: Secret | None = KEY) -> YouTube:
    return YouTube(api_url=API, feed_url=FEED, key=key)


def tiktok(**changes: Any) -> TikTok:
    arguments: dict[str, Any] = {
        "api_url": "https://open.tiktokapis.com",
        "client_key": Secret("client"),
        "client_secret": Secret("hidden"),
        "until": NOW,
    }
    return TikTok(**arguments | changes)


def test_each_platform_has_its_adapter() -> None:
    every = make_adapters(PollSettings(), until=NOW)
    assert set(every) == {"http", "youtube", "tiktok"}
    assert every["youtube"].host(creator()) == "www.youtube.com"
    assert every["tiktok"].host(creator()) == "open.tiktokapis.com"
    assert every["http"].host(creator(url="https://upstream.test:8443/a")) == "upstream.test:8443"


# Conditions


def test_what_is_known_is_sent_along() -> None:
    known = creator(etag='W/"1"', last_modified="Fri, 06 Mar 2015 21:40:57 GMT")
    assert conditional_headers(known) == {
        "If-None-Match": 'W/"1"',
        "If-Modified-Since": "Fri, 06 Mar 2015 21:40:57 GMT",
    }
    assert conditional_headers(creator()) == {}


@pytest.mark.parametrize("value", ["", "x" * (VALIDATOR_LIMIT + 1), '"\n"', '"\x00"', '"é"'])
def test_a_validator_that_could_not_be_sent_is_neither_kept_nor_sent(value: str) -> None:
    assert conditional_headers(creator(etag=value, last_modified=value)) == {}
    kept = make_found(response(etag=value, last_modified=value), [])
    assert (kept.etag, kept.last_modified) == (None, None)


# http


def test_a_feed_gives_its_entries() -> None:
    asking = Asking(response(RSS, etag='"2"', last_modified="Fri"))
    result = Generic().poll(creator(url="https://upstream.test/feed", etag='"1"'), asking)
    assert result is not None
    assert ([item.id for item in result.items], result.etag) == (["1", "https://upstream.test/2"], '"2"')
    assert asking.requests == [Request(url="https://upstream.test/feed", headers={"If-None-Match": '"1"'})]


def test_anything_else_gives_an_item_for_each_version() -> None:
    page = creator(url="https://upstream.test/page")
    ids = []
    for body in (b"<html>1", b"<html>2", b"<html>1"):
        result = Generic().poll(page, Asking(response(body)))
        assert result is not None
        (item,) = result.items
        ids.append(item.id)
        assert item.url == page.url
    assert ids[0] == ids[2] != ids[1]


@pytest.mark.parametrize(
    ("adapter", "row"),
    [
        (Generic(), creator(url="https://upstream.test/")),
        (youtube(None), creator(handle=CHANNEL)),
        (youtube(), creator(handle=CHANNEL, platform_id="UU1", etag='"1"')),
    ],
)
def test_304_is_nothing_new(adapter: Adapter, row: Creator) -> None:
    assert adapter.poll(row, Asking(response(status=304))) is None


@pytest.mark.parametrize(
    ("adapter", "said"),
    [
        (Generic(), "has no url"),
        (youtube(), "has no handle"),
        (youtube(None), "has no handle"),
        (tiktok(), "has no handle"),
    ],
)
def test_a_creator_without_an_address_is_refused_without_a_request(adapter: Adapter, said: str) -> None:
    asking = Asking()
    with pytest.raises(RefusedError, match=said):
        adapter.poll(creator(), asking)
    assert asking.requests == []


# youtube


PLAYLIST = {
    "items": [
        {
            "snippet": {"title": "One", "publishedAt": "2026-11-24T08:00:00Z"},
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
    result = youtube().poll(creator(handle=handle), asking)
    assert result is not None
    assert (result.platform_id, result.etag) == ("UUx", '"1"')
    assert result.items[0] == Item(
        id="abc",
        url="https://www.youtube.com/watch?v=abc",
        title="One",
        published_at=datetime(2026, 11, 24, 7, tzinfo=UTC),
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
    result = youtube(None).poll(creator(handle=CHANNEL), asking)
    assert result is not None
    assert ([item.id for item in result.items], result.etag) == (["abc", "b"], '"f"')
    assert asking.requests == [Request(url=f"{FEED}?channel_id={CHANNEL}")]


def test_without_a_key_a_handle_cannot_be_resolved() -> None:
    with pytest.raises(CredentialsError, match=r"takes no handle '@someone'.*YOUTUBE_API_KEY.*UC"):
        youtube(None).poll(creator(handle="@someone"), Asking())


@pytest.mark.parametrize(("reason", "seconds"), [("quotaExceeded", QUOTA_PAUSE_SECONDS), ("rateLimitExceeded", None)])
def test_a_limit_throttles(reason: str, seconds: float | None) -> None:
    body = {"error": {"code": 403, "errors": [{"reason": reason}]}}
    with pytest.raises(ThrottledError) as caught:
        youtube().poll(creator(handle=CHANNEL, platform_id="UU1"), Asking(refused(body, 403)))
    assert caught.value.seconds == seconds


@pytest.mark.parametrize(("status", "reason"), [(400, "API_KEY_INVALID"), (403, "SERVICE_DISABLED")])
def test_a_key_that_is_refused_is_no_fault_of_the_creators(status: int, reason: str) -> None:
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}
    body = {"error": {"code": status, "errors": [{"reason": "badRequest"}], "details": [{}, info]}}
    with pytest.raises(CredentialsError, match=rf"{reason}: check YOUTUBE_API_KEY"):
        youtube().poll(creator(handle=CHANNEL), Asking(refused(body, status)))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"error": {"details": [{"reason": "API_KEY_\n"}, 1]}}, 403),
        ({"error": {"errors": [{"reason": "forbidden"}]}}, 403),
        ({"error": {"errors": [{"reason": "quotaExceeded"}]}}, 400),
        ({"error": "quotaExceeded"}, 403),
        (b"<html>", 403),
        (b"", 404),
    ],
)
def test_other_refusals_pass_as_they_are(body: object, status: int) -> None:
    with pytest.raises(RefusedError, match=f"answers {status}"):
        youtube().poll(creator(handle=CHANNEL, platform_id="UU1"), Asking(refused(body, status)))


def test_a_channel_that_does_not_exist_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"knows no channel '@nobody'"):
        youtube().poll(creator(handle="@nobody"), Asking(response({"items": []})))


NONSENSE = [b"", b"[]", b"null", b"{", b'{"items": 1}', b'{"items": [1]}', b'{"items": [{}]}', b"[" * 100_000]


@pytest.mark.parametrize("body", NONSENSE, ids=range(len(NONSENSE)))
def test_what_is_not_as_documented_is_refused(body: bytes) -> None:
    for row in (creator(handle=CHANNEL), creator(handle=CHANNEL, platform_id="UU1")):
        with pytest.raises(RefusedError):
            youtube().poll(row, Asking(response(body)))
    if body != b"":
        with pytest.raises(RefusedError):
            youtube(None).poll(creator(handle=CHANNEL), Asking(response(body)))
    with pytest.raises(RefusedError, match="no token"):
        tiktok().poll(creator(handle="someone"), Asking(response(body)))
    with pytest.raises(RefusedError, match="not as TikTok documents it"):
        tiktok().poll(creator(handle="someone"), Asking(response(TOKEN), response(body)))


# tiktok


TOKEN = {"access_token": "clt.hush", "expires_in": 7200, "token_type": "Bearer"}
VIDEOS = {
    "data": {
        "videos": [{"id": 7213456789012345678, "create_time": 1764140400, "video_description": "Hello"}],
        "cursor": 1,
        "has_more": False,
    },
    "error": {"code": "ok", "message": "", "log_id": "1"},
}


def test_a_query_names_the_user_and_the_days() -> None:
    asking = Asking(response(TOKEN), response(VIDEOS))
    result = tiktok().poll(creator(handle="@someone", last_polled_at=NOW - timedelta(minutes=5)), asking)
    assert result == Found(
        items=[
            Item(
                id="7213456789012345678",
                url="https://www.tiktok.com/@someone/video/7213456789012345678",
                title="Hello",
                published_at=datetime.fromtimestamp(1764140400, UTC),
            )
        ]
    )
    token, query = asking.requests
    assert token.body == b"client_key=client&client_secret=hidden&grant_type=client_credentials"
    assert (token.cost, query.cost) == (0, QUERY_REQUESTS)
    assert query.body is not None
    asked = json.loads(query.body)
    assert asked["query"]["and"] == [{"operation": "EQ", "field_name": "username", "field_values": ["someone"]}]
    assert (asked["start_date"], asked["end_date"]) == ("20261121", "20261124")
    assert query.secrets["Authorization"].value == "Bearer clt.hush"


def test_no_query_asks_for_more_than_thirty_days() -> None:
    asking = Asking(response(TOKEN), response(VIDEOS))
    tiktok().poll(creator(handle="someone", last_polled_at=NOW - timedelta(days=400)), asking)
    assert asking.requests[1].body is not None
    asked = json.loads(asking.requests[1].body)
    assert (asked["start_date"], asked["end_date"]) == ("20261025", "20261124")


def test_the_token_is_asked_for_once_a_tick() -> None:
    asking, adapter = Asking(response(TOKEN), response(VIDEOS), response(VIDEOS)), tiktok()
    for _ in range(2):
        adapter.poll(creator(handle="someone"), asking)
    assert [urlsplit(request.url).path for request in asking.requests] == [
        "/v2/oauth/token/",
        "/v2/research/video/query/",
        "/v2/research/video/query/",
    ]


@pytest.mark.parametrize("answer", [refused({"error": "invalid_client"}, 401), response({"error": "invalid_client"})])
def test_a_token_that_is_refused_is_asked_for_once_a_tick(answer: Response | RefusedError) -> None:
    asking, adapter = Asking(answer), tiktok()
    for _ in range(3):
        with pytest.raises(CredentialsError, match=r"answers 401|no token"):
            adapter.poll(creator(handle="someone"), asking)
    assert len(asking.requests) == 1


def test_a_token_that_does_not_serve_is_tried_once_a_tick() -> None:
    asking, adapter = Asking(response(TOKEN), refused({"error": {"code": "scope_not_authorized"}}, 401)), tiktok()
    for _ in range(3):
        with pytest.raises(CredentialsError, match="401 to this client's token"):
            adapter.poll(creator(handle="someone"), asking)
    assert len(asking.requests) == 2


def test_a_query_that_is_refused_is_its_creators_own() -> None:
    asking = Asking(response(TOKEN), refused({"error": {"code": "invalid_params"}}, 400), response(VIDEOS))
    adapter = tiktok()
    with pytest.raises(RefusedError) as caught:
        adapter.poll(creator(handle="no such"), asking)
    assert not isinstance(caught.value, CredentialsError)
    assert adapter.poll(creator(handle="someone"), asking).items


def test_a_client_that_was_refused_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("region_tick.adapters.tiktok.REFUSAL_SECONDS", 0.0)
    asking = Asking(response(TOKEN), refused({}, 401), response(TOKEN), response(VIDEOS))
    adapter = tiktok()
    with pytest.raises(CredentialsError):
        adapter.poll(creator(handle="someone"), asking)
    assert adapter.poll(creator(handle="someone"), asking).items
    assert asking.answers == []


def test_a_token_that_did_not_come_is_asked_for_again() -> None:
    asking, adapter = Asking(TransientError("timeout"), response(TOKEN), response(VIDEOS)), tiktok()
    with pytest.raises(TransientError):
        adapter.poll(creator(handle="someone"), asking)
    assert adapter.poll(creator(handle="someone"), asking).items


@pytest.mark.parametrize("missing", ["client_key", "client_secret"])
def test_without_a_client_nothing_is_asked(missing: str) -> None:
    with pytest.raises(CredentialsError, match="set TIKTOK_CLIENT_KEY and TIKTOK_CLIENT_SECRET"):
        tiktok(**{missing: None}).poll(creator(handle="someone"), Asking())


def test_no_request_shows_the_client_or_its_token() -> None:
    asking = Asking(response(TOKEN), response(VIDEOS))
    tiktok().poll(creator(handle="someone"), asking)
    for request in asking.requests:
        assert "hidden" not in f"{request!r}"
        assert "clt." not in f"{request!r}"


def test_a_token_that_is_none_is_refused_without_being_shown() -> None:
    with pytest.raises(RefusedError, match="no token") as caught:
        tiktok().poll(creator(handle="someone"), Asking(response({"access_token": "clt\nhush"})))
    assert "hush" not in str(caught.value)
