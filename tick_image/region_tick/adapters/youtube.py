"""Platform `youtube`: polls the Data API v3 if there is a key, or the channel's feed without a key.

The API finds a channel by its id or its @handle, once, and lists the channel's newest uploads. The feed needs the
channel's id and shows the last 15 uploads. The key is sent in a header and not in the URL, because URLs appear in logs
and messages. Google accepts both (https://cloud.google.com/docs/authentication/api-keys-use).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from region_tick.adapters import Creator, Found, Item, conditional_headers, make_found
from region_tick.adapters.feed import parse_feed, rfc3339
from region_tick.fetch import CredentialsError, RefusedError, Request, host_of
from region_tick.retry import ThrottledError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from region_tick.adapters import Ask
    from region_tick.fetch import Response, Secret

LIST_UNITS = 1
"""What channels.list and playlistItems.list take from a project's 10,000 units a day
(https://developers.google.com/youtube/v3/determine_quota_cost). YouTube does not say if a 304 is free; a 304 counts."""
QUOTA_PAUSE_SECONDS = 3600.0
"""The pause after the day's quota is used up. YouTube renews the quota at midnight, Pacific time."""
_LIMIT_REASONS = {
    "quotaExceeded": QUOTA_PAUSE_SECONDS,
    "dailyLimitExceeded": QUOTA_PAUSE_SECONDS,
    "rateLimitExceeded": None,
    "userRateLimitExceeded": None,
}
"""The reasons of a 403 that mean a limit (https://developers.google.com/youtube/v3/docs/errors), with the seconds to
wait; None if the length is unknown."""
_KEY_REFUSED_REASON = re.compile("API_KEY_[A-Z_]+|SERVICE_DISABLED")
"""The reasons that blame the key or the key's project, in the answer's details (google.api.ErrorReason)."""
_CHANNEL_ID = re.compile(r"UC[\w-]{22}", re.ASCII)
_FEED_ID_PREFIX = "yt:video:"


class YouTube:
    """Requests a channel's uploads. `handle` is the channel's id (UC...) or, with a key, its @handle."""

    def __init__(self, *, api_url: str, feed_url: str, key: Secret | None) -> None:
        self._api_url, self._feed_url, self._key = api_url, feed_url, key

    def host(self, creator: Creator) -> str:  # noqa: ARG002 - all creators have the same host
        """Return the API's or the feed's host."""
        return host_of(self._api_url if self._key else self._feed_url)

    def poll(self, creator: Creator, ask: Ask) -> Found | None:
        """Request the newest uploads conditionally; return None if nothing has changed. Raises FetchErrors."""
        handle = (creator.handle or "").strip()
        if self._key is not None:
            return self._poll_api(creator, handle, self._key, ask)
        if not handle:
            raise _without_handle()
        if not _CHANNEL_ID.fullmatch(handle):  # an @handle needs a key: the key is missing, the creator is not wrong
            raise CredentialsError(
                f"YouTube's feed takes no handle {handle[:80]!r}: set YOUTUBE_API_KEY or write the channel's id (UC...)"
            )
        response = ask(
            Request(url=f"{self._feed_url}?{urlencode({'channel_id': handle})}", headers=conditional_headers(creator))
        )
        if response.status == 304:
            return None
        items = parse_feed(response.body)
        if items is None:
            raise RefusedError(f"{response.host} answers what is no Atom feed", response)
        return make_found(response, [_with_api_id(item) for item in items])

    def _poll_api(self, creator: Creator, handle: str, key: Secret, ask: Ask) -> Found | None:
        playlist = creator.platform_id or self._find_uploads_playlist(handle, key, ask)
        response = self._list(
            ask,
            key,
            "playlistItems",
            {"part": "snippet,contentDetails", "maxResults": "50", "playlistId": playlist},
            headers=conditional_headers(creator) if creator.platform_id else {},
        )
        if response.status == 304:
            return None
        return make_found(response, [_to_item(item) for item in _read_items(response)], platform_id=playlist)

    def _find_uploads_playlist(self, handle: str, key: Secret, ask: Ask) -> str:
        """Return the id of the playlist with the channel's uploads. Raises FetchErrors."""
        if not handle:
            raise _without_handle()
        selector = {"id": handle} if _CHANNEL_ID.fullmatch(handle) else {"forHandle": handle}
        response = self._list(ask, key, "channels", {"part": "contentDetails", **selector}, headers={})
        channels = _read_items(response)
        if not channels:
            raise RefusedError(f"YouTube knows no channel {handle[:80]!r}", response)
        try:
            return str(channels[0]["contentDetails"]["relatedPlaylists"]["uploads"])
        except (KeyError, TypeError):
            raise _unreadable(response) from None

    def _list(
        self, ask: Ask, key: Secret, resource: str, parameters: Mapping[str, str], headers: Mapping[str, str]
    ) -> Response:
        """Request a list of the API, and translate YouTube's reasons for a refusal into the right FetchError."""
        request = Request(
            url=f"{self._api_url}/{resource}?{urlencode(parameters)}",
            headers=headers,
            secrets={"X-Goog-Api-Key": key},
            cost=LIST_UNITS,
        )
        try:
            return ask(request)
        except RefusedError as error:
            for reason in _LIMIT_REASONS.keys() & _reasons(error.response):
                raise ThrottledError(f"YouTube answers 403, {reason}", _LIMIT_REASONS[reason]) from None
            for reason in filter(_KEY_REFUSED_REASON.fullmatch, _detailed_reasons(error.response)):
                raise CredentialsError(f"YouTube refuses the key, {reason}: check YOUTUBE_API_KEY") from None
            raise


def _read_items(response: Response) -> list[Any]:
    try:
        return list(json.loads(response.body).get("items", []))
    except (ValueError, AttributeError, TypeError, RecursionError):
        raise _unreadable(response) from None


def _to_item(item: Any) -> Item:
    try:
        video_id = str(item["contentDetails"]["videoId"])
        published = item["contentDetails"].get("videoPublishedAt") or item["snippet"]["publishedAt"]
        return Item(
            id=video_id,
            url=f"https://www.youtube.com/watch?v={video_id}",
            title=str(item["snippet"]["title"]),
            published_at=rfc3339(str(published)),
        )
    except (KeyError, TypeError, AttributeError):
        raise RefusedError("YouTube answers an item that is not as documented") from None


def _with_api_id(item: Item) -> Item:
    """Return a feed's item with the id that the API uses for the same video."""
    video_id = item.id.removeprefix(_FEED_ID_PREFIX)
    return Item(id=video_id, url=item.url, title=item.title, published_at=item.published_at)


def _reasons(response: Response | None) -> set[str]:
    """Return the reasons in the body of a 403, or an empty set for any other answer."""
    if response is None or response.status != 403:
        return set()
    try:
        return {str(error["reason"]) for error in json.loads(response.body)["error"]["errors"]}
    except (ValueError, KeyError, TypeError, RecursionError):
        return set()


def _detailed_reasons(response: Response | None) -> list[str]:
    try:
        return [
            str(detail.get("reason")) for detail in json.loads(response.body if response else b"")["error"]["details"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def _without_handle() -> RefusedError:
    return RefusedError('a creator of platform "youtube" has no handle: write the channel\'s id or @handle')


def _unreadable(response: Response) -> RefusedError:
    return RefusedError(f"{response.host} answers what is not as YouTube documents it", response)
