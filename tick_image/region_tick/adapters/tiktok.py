"""Platform `tiktok`: the Research API (https://developers.tiktok.com/doc/research-api-specs-query-videos).

It takes a client that TikTok approved, which few get, and answers no conditional requests. A video shows there up to
two days after it was published (https://developers.tiktok.com/doc/research-api-faq), so each query looks back. The
Display API is not used: it shows a user's own videos to that user's own token, which a table of creators does not have.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from region_tick.adapters import Creator, Found, Item
from region_tick.fetch import CredentialsError, RefusedError, Request, Secret, host_of

if TYPE_CHECKING:
    from region_tick.adapters import Ask
    from region_tick.fetch import Response

QUERY_REQUESTS = 1
"""What a query takes of a client's 1,000 requests a day (https://developers.tiktok.com/doc/research-api-faq)."""
REFUSAL_SECONDS = 60.0
"""How long a client that was refused is not tried again, for whichever creator."""
LOOK_BACK = timedelta(days=3)
LONGEST = timedelta(days=30)
"""The longest time that one query may ask for."""
AT_MOST = 100
"""Videos of one query; more of one creator in a few days are not looked for."""


class TikTok:
    """Asks for the videos of `handle` since the last answer, and some days more."""

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
        """Why there is no token that serves, and until when (seconds of time.monotonic()) not to try again."""
        self._asking = Lock()

    def host(self, creator: Creator) -> str:  # noqa: ARG002 - the same for each
        """Return the API's host."""
        return host_of(self._api_url)

    def poll(self, creator: Creator, ask: Ask) -> Found:
        """Ask for the videos."""
        handle = (creator.handle or "").strip().removeprefix("@")
        if not handle:
            raise RefusedError('a creator of platform "tiktok" has no handle: write the user\'s name')
        start = max((creator.last_polled_at or self._until) - LOOK_BACK, self._until - LONGEST)
        query = {
            "query": {"and": [{"operation": "EQ", "field_name": "username", "field_values": [handle]}]},
            "start_date": f"{start.astimezone(UTC):%Y%m%d}",
            "end_date": f"{self._until.astimezone(UTC):%Y%m%d}",
            "max_count": AT_MOST,
        }
        response = self._ask(
            ask,
            Request(
                url=f"{self._api_url}/v2/research/video/query/?fields=id,username,create_time,video_description",
                method="POST",
                headers={"Content-Type": "application/json"},
                secrets={"Authorization": self._authorization(ask)},
                body=json.dumps(query).encode(),
                cost=QUERY_REQUESTS,
            ),
        )
        try:
            return Found(items=[_video(video, handle) for video in json.loads(response.body)["data"]["videos"]])
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError, RecursionError):
            raise _unreadable(response) from None

    def _ask(self, ask: Ask, request: Request) -> Response:
        """Ask with the token; a 401 says that it is not valid or not for this
        (https://developers.tiktok.com/doc/tiktok-api-v2-error-handling), and would say so for every creator.
        """
        try:
            return ask(request)
        except RefusedError as error:
            if error.response is None or error.response.status != 401:
                raise
            told = f"{error} to this client's token: check that TikTok approved it for the Research API"
            raise self._refused(told) from None

    def _authorization(self, ask: Ask) -> Secret:
        """Return the client's token, asked for once (it is valid for two hours) and, when refused, once a minute."""
        with self._asking:
            if time.monotonic() < self._refused_until:
                raise CredentialsError(self._refusal)
            if self._token is None:
                try:
                    self._token = Secret(f"Bearer {self._new_token(ask)}")
                except RefusedError as error:
                    raise self._refused(str(error)) from None
            return self._token

    def _refused(self, told: str) -> CredentialsError:
        """Keep a refusal, for the other creators, in the token's place."""
        self._token, self._refusal, self._refused_until = None, told, time.monotonic() + REFUSAL_SECONDS
        return CredentialsError(told)

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


def _video(video: Any, handle: str) -> Item:
    return Item(
        id=str(video["id"]),
        url=f"https://www.tiktok.com/@{handle}/video/{video['id']}",
        title=str(video.get("video_description", "")) or None,
        published_at=datetime.fromtimestamp(int(video["create_time"]), UTC),
    )


def _unreadable(response: Response) -> RefusedError:
    return RefusedError(f"{response.host} answers what is not as TikTok documents it", response)
