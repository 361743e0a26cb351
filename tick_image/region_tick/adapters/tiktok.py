"""Platform `tiktok`: polls the Research API (https://developers.tiktok.com/doc/research-api-specs-query-videos).

The Research API is for researchers of non-profit institutions with a project that TikTok approved, not for businesses,
advertisers or creators (https://developers.tiktok.com/doc/research-api-faq). The API supports no conditional requests.
A video appears up to two days after its publication (the same FAQ), so each query also covers the days before the last
answer. The Display API cannot be used: the Display API shows a user's videos only to the user's own token, and a table
of creators has no tokens.

This module needs nothing but what a package of your own can import, and can be the model of an adapter of your own.
"""

from __future__ import annotations

import json
import random
import time
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from region_tick.adapters import Creator, Found, Item
from region_tick.adapters.json_values import ITEM_ERRORS, make_raw, read_items
from region_tick.fetch import (
    CredentialsError,
    FetchError,
    RefusedError,
    Request,
    Secret,
    TransientError,
    host_of,
)
from region_tick.retry import ThrottledError, retry_after, server_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from region_tick.adapters import Ask
    from region_tick.fetch import Response
    from region_tick.poll_settings import PollSettings

QUERY_REQUESTS = 1
"""What a query takes from a client's 1,000 requests a day (https://developers.tiktok.com/doc/research-api-faq)."""
REFUSAL_SECONDS = 60.0
"""How long no request is sent after TikTok refused the client, for any creator."""
LOOK_BACK = timedelta(days=3)
"""How long before the last answer each query begins, because videos appear late."""
LONGEST_QUERY = timedelta(days=30)
"""The longest span of time for which TikTok allows a query."""
VIDEOS_LIMIT = 100
"""The largest number of videos of one page."""
PAGES_LIMIT = 5
"""How many pages one poll reads, because each page is a request. A creator with more videos has a gap."""
_FIELDS = "id,username,create_time,video_description"
_RENEWAL_JITTER_SECONDS = 120.0


def make(settings: PollSettings, until: datetime) -> TikTok:
    """Return the adapter."""
    return TikTok(
        api_url=settings.tiktok_api_url,
        client_key=settings.tiktok_client_key,
        client_secret=settings.tiktok_client_secret,
        until=until,
    )


class TikTok:
    """Requests the videos of `handle` since the last answer, and of LOOK_BACK before."""

    def __init__(
        self,
        *,
        api_url: str,
        client_key: Secret | None,
        client_secret: Secret | None,
        until: datetime,
    ) -> None:
        self._api_url, self._client_key, self._client_secret = api_url, client_key, client_secret
        self._until = until
        self._token: Secret | None = None
        self._refusal, self._refused_until = "", 0.0
        """Why the client has no valid token, and until when not to try again (seconds of time.monotonic())."""
        self._token_lock = Lock()

    def host(self, creator: Creator) -> str:  # noqa: ARG002 - all creators have the same host
        """Return the API's host."""
        return host_of(self._api_url)

    def poll(self, creator: Creator, ask: Ask) -> Found:
        """Request the videos. Raises FetchErrors."""
        handle = (creator.handle or "").strip().removeprefix("@")
        if not handle:
            raise RefusedError('a creator of platform "tiktok" has no handle: write the user\'s name')
        start = max((creator.last_polled_at or self._until) - LOOK_BACK, self._until - LONGEST_QUERY)
        query = {
            "query": {"and": [{"operation": "EQ", "field_name": "username", "field_values": [handle]}]},
            "start_date": f"{start.astimezone(UTC):%Y%m%d}",
            "end_date": f"{self._until.astimezone(UTC):%Y%m%d}",
            "max_count": VIDEOS_LIMIT,
        }
        items, counts = list[Item](), {"unreadable": 0, "gap": 0}
        for _ in range(PAGES_LIMIT):
            page = self._query(ask, query)
            videos, odd = _read_videos(page, handle)
            items, counts["unreadable"] = items + videos, counts["unreadable"] + odd
            counts["gap"] = int(page["data"].get("has_more") is True)
            if not counts["gap"]:
                break
            query |= {name: page["data"][name] for name in ("cursor", "search_id") if name in page["data"]}
        return Found(items=items, counts={name: number for name, number in counts.items() if number})

    def _query(self, ask: Ask, query: Mapping[str, Any]) -> Mapping[str, Any]:
        """Request a page of videos, and return the answer, which has `data`. Raises FetchErrors."""
        response = self._ask_with_token(
            ask,
            Request(
                url=f"{self._api_url}/v2/research/video/query/?fields={_FIELDS}",
                method="POST",
                headers={"Content-Type": "application/json"},
                secrets={"Authorization": self._authorization(ask)},
                body=json.dumps(query).encode(),
                cost=QUERY_REQUESTS,
                judge=_judge,
            ),
        )
        answer = _read(response)
        if not isinstance(answer.get("data"), dict) or "videos" not in answer["data"]:
            raise _unreadable(response.host)
        return answer | {"host": response.host}

    def _ask_with_token(self, ask: Ask, request: Request) -> Response:
        """Send a request that has the client's token.

        A 401 means that the token is not valid or lacks the permission
        (https://developers.tiktok.com/doc/tiktok-api-v2-error-handling). Every creator would get the same answer, so
        the refusal is recorded.
        """
        try:
            return ask(request)
        except RefusedError as error:
            if error.response is None or error.response.status != 401:
                raise
            message = f"{error} to this client's token: check that TikTok approved it for the Research API"
            raise self._record_refusal(message) from None

    def _authorization(self, ask: Ask) -> Secret:
        """Return the Authorization header with the client's token.

        The token is requested once, because a token is valid for two hours. After a refusal, the token is requested
        once a minute at most. Raises CredentialsError, TransientError and ThrottledError.
        """
        with self._token_lock:
            if time.monotonic() < self._refused_until:
                raise CredentialsError(self._refusal)
            if self._token is None:
                try:
                    self._token = Secret(f"Bearer {self._new_token(ask)}")
                except RefusedError as error:
                    raise self._record_refusal(str(error)) from None
            return self._token

    def _record_refusal(self, message: str) -> CredentialsError:
        """Replace the token by a refusal, for the other creators too, and return the error to raise."""
        self._token, self._refusal, self._refused_until = None, message, time.monotonic() + REFUSAL_SECONDS
        return CredentialsError(message)

    def _new_token(self, ask: Ask) -> str:
        if self._client_key is None or self._client_secret is None:
            raise RefusedError("TikTok takes a client's key and secret: set TIKTOK_CLIENT_KEY and TIKTOK_CLIENT_SECRET")
        form = {
            "client_key": self._client_key.value,
            "client_secret": self._client_secret.value,
            "grant_type": "client_credentials",
        }
        response = ask(
            Request(
                url=f"{self._api_url}/v2/oauth/token/",
                method="POST",
                headers={"Content-Type": "application/x-www-form-urlencoded"},
                body=urlencode(form).encode(),
            )
        )
        try:
            token = json.loads(response.body)["access_token"]
        except (ValueError, KeyError, TypeError, RecursionError):
            token = None
        if not (isinstance(token, str) and token.isascii() and token.isprintable() and token):
            raise RefusedError("TikTok gives no token to this client: check TIKTOK_CLIENT_KEY and its secret", response)
        return token


def _judge(response: Response) -> FetchError | None:
    """Return the error that a code in the answer's body means; None if the body names none.

    An error may come with the status 200, too (https://developers.tiktok.com/doc/tiktok-api-v2-error-handling).
    """
    error = _read(response).get("error")
    code = error.get("code") if isinstance(error, dict) else None
    if code == "daily_quota_limit_exceeded":
        now = server_time(response.headers)
        midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        seconds = (midnight - now).total_seconds() + random.uniform(0.0, _RENEWAL_JITTER_SECONDS)  # noqa: S311
        return ThrottledError(f"{response.host} answers {response.status}, {code}: until 00:00 UTC", seconds)
    if not isinstance(code, str) or code == "ok":
        return None
    message = f"{response.host} answers {response.status}, {code[:60]!r}"
    if response.status >= 500 and retry_after(response.headers) is None:
        return TransientError(message)
    return RefusedError(message, response) if response.status in (200, 400, 403, 404) else None


def _read(response: Response) -> dict[str, Any]:
    try:
        answer = json.loads(response.body)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _read_videos(page: Mapping[str, Any], handle: str) -> tuple[list[Item], int]:
    try:
        return read_items(page["data"]["videos"] or [], lambda video: _to_item(video, handle))
    except ITEM_ERRORS:
        raise _unreadable(page["host"]) from None


def _to_item(video: Any, handle: str) -> Item:
    return Item(
        id=str(video["id"]),
        url=f"https://www.tiktok.com/@{handle}/video/{video['id']}",
        title=str(video.get("video_description", "")) or None,
        published_at=datetime.fromtimestamp(int(video["create_time"]), UTC),
        author=video.get("username") or handle,
        raw=make_raw(video),
    )


def _unreadable(host: str) -> RefusedError:
    return RefusedError(f"{host} answers what is not as TikTok documents it")
