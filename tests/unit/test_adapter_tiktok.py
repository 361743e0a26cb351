"""What TikTok is asked and what its answers mean, with answers as TikTok documents them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from region_tick.adapters import Found, Item
from region_tick.adapters.tiktok import PAGES_LIMIT, QUERY_REQUESTS, TikTok
from region_tick.fetch import CredentialsError, RefusedError, Response, Secret, TransientError
from region_tick.retry import ThrottledError
from tests.unit.asking import Asking, creator, response

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)


def tiktok(**changes: Any) -> TikTok:
    arguments: dict[str, Any] = {
        "api_url": "https://open.tiktokapis.com",
        "client_key": Secret("client"),
        "client_secret": Secret("hidden"),
        "until": NOW,
    }
    return TikTok(**arguments | changes)


TOKEN = {"access_token": "clt.hush", "expires_in": 7200, "token_type": "Bearer"}
VIDEOS: dict[str, Any] = {
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
                author="someone",
                raw=VIDEOS["data"]["videos"][0],
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


@pytest.mark.parametrize("answer", [response({"error": "invalid_client"}, 401), response({"error": "invalid_client"})])
def test_a_token_that_is_refused_is_asked_for_once_a_tick(answer: Response) -> None:
    asking, adapter = Asking(answer), tiktok()
    for _ in range(3):
        with pytest.raises(CredentialsError, match=r"answers 401|no token"):
            adapter.poll(creator(handle="someone"), asking)
    assert len(asking.requests) == 1


def test_a_token_that_does_not_serve_is_tried_once_a_tick() -> None:
    asking, adapter = Asking(response(TOKEN), response({"error": {"code": "scope_not_authorized"}}, 401)), tiktok()
    for _ in range(3):
        with pytest.raises(CredentialsError, match="401 to this client's token"):
            adapter.poll(creator(handle="someone"), asking)
    assert len(asking.requests) == 2


def test_a_query_that_is_refused_is_its_creators_own() -> None:
    asking = Asking(response(TOKEN), response({"error": {"code": "invalid_params"}}, 400), response(VIDEOS))
    adapter = tiktok()
    with pytest.raises(RefusedError) as caught:
        adapter.poll(creator(handle="no such"), asking)
    assert not isinstance(caught.value, CredentialsError)
    assert adapter.poll(creator(handle="someone"), asking).items


def test_a_client_that_was_refused_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("region_tick.adapters.tiktok.REFUSAL_SECONDS", 0.0)
    asking = Asking(response(TOKEN), response({}, 401), response(TOKEN), response(VIDEOS))
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


def videos(*found: object, **data: object) -> Response:
    return response({"data": {"videos": list(found), **data}, "error": {"code": "ok"}})


def video(number: int) -> dict[str, object]:
    return {"id": number, "create_time": 1764140400, "video_description": "Hello"}


def test_pages_are_read_and_there_is_a_gap_where_they_do_not_end() -> None:
    more = {"has_more": True, "cursor": 100, "search_id": "s"}
    asking = Asking(response(TOKEN), videos(video(1), **more), videos(video(2), has_more=False))
    result = tiktok().poll(creator(handle="someone"), asking)
    assert ([item.id for item in result.items], result.counts) == (["1", "2"], {})
    assert asking.requests[2].body is not None
    second = json.loads(asking.requests[2].body)
    assert (second["cursor"], second["search_id"]) == (100, "s")
    asking = Asking(response(TOKEN), *(videos(video(number), **more) for number in range(PAGES_LIMIT + 1)))
    result = tiktok().poll(creator(handle="someone"), asking)
    assert (len(result.items), result.counts) == (PAGES_LIMIT, {"gap": 1})


def test_an_odd_video_costs_itself_alone() -> None:
    asking = Asking(response(TOKEN), videos(video(1), {"id": 2}, None))
    result = tiktok().poll(creator(handle="someone"), asking)
    assert ([item.id for item in result.items], result.counts) == (["1"], {"unreadable": 2})


@pytest.mark.parametrize("status", [200, 403, 429])
def test_the_days_quota_pauses_until_midnight_utc(status: int) -> None:
    code = {"data": {}, "error": {"code": "daily_quota_limit_exceeded"}}
    asking = Asking(response(TOKEN), response(code, status, date="Tue, 24 Nov 2026 21:00:00 GMT"))
    with pytest.raises(ThrottledError, match="daily_quota_limit_exceeded: until 00:00 UTC") as caught:
        tiktok().poll(creator(handle="someone"), asking)
    assert caught.value.seconds is not None
    assert 0 <= caught.value.seconds - 3 * 3600 <= 120


def test_other_limits_and_errors_of_the_server_may_pass() -> None:
    for status, error in ((429, ThrottledError), (500, TransientError)):
        asking = Asking(response(TOKEN), response({"error": {"code": "internal_error"}}, status))
        with pytest.raises(error, match=f"answers {status}"):
            tiktok().poll(creator(handle="someone"), asking)


@pytest.mark.parametrize("status", [200, 400, 403, 404])
def test_an_error_is_named(status: int) -> None:
    asking = Asking(response(TOKEN), response({"data": {}, "error": {"code": "invalid_params"}}, status))
    with pytest.raises(RefusedError, match=f"answers {status}, 'invalid_params'"):
        tiktok().poll(creator(handle="someone"), asking)


def test_a_user_without_videos_has_none() -> None:
    nothing: object
    for nothing in ([], None):
        asking = Asking(response(TOKEN), response({"data": {"videos": nothing}, "error": {"code": "ok"}}))
        assert tiktok().poll(creator(handle="someone"), asking) == Found(items=[])


NONSENSE = [b"", b"[]", b"null", b"{", b'{"data": 1}', b'{"data": {}}', b'{"data": {"videos": [1]}}', b"[" * 100_000]


@pytest.mark.parametrize("body", NONSENSE, ids=range(len(NONSENSE)))
def test_what_is_not_as_documented_is_refused(body: bytes) -> None:
    with pytest.raises(RefusedError, match="no token"):
        tiktok().poll(creator(handle="someone"), Asking(response(body)))
    with pytest.raises(RefusedError, match="not as TikTok documents it"):
        tiktok().poll(creator(handle="someone"), Asking(response(TOKEN), response(body)))


def test_a_creator_without_a_handle_is_refused_without_a_request() -> None:
    asking = Asking()
    with pytest.raises(RefusedError, match="has no handle"):
        tiktok().poll(creator(), asking)
    assert asking.requests == []
