"""Platform `youtube`: the Data API v3 where there is a key, else the channel's feed.

The API finds a channel by its id or its @handle, once, and lists the newest of its uploads; the feed takes the id alone
and shows the last 15. The key goes in a header, which Google takes as well as a parameter
(https://cloud.google.com/docs/authentication/api-keys-use): a URL shows in too many places.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from region_tick.adapters import Creator, Found, Item, conditions, found
from region_tick.adapters.feed import parse_feed, rfc3339
from region_tick.fetch import CredentialsError, RefusedError, Request, host_of
from region_tick.retry import ThrottledError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from region_tick.adapters import Ask
    from region_tick.fetch import Response, Secret

LIST_UNITS = 1
"""What channels.list and playlistItems.list take of a project's 10,000 units a day
(https://developers.google.com/youtube/v3/determine_quota_cost). Whether a 304 is free is not said, so it counts."""
QUOTA_PAUSE_SECONDS = 3600.0
"""How long to leave the API alone when the day's quota is used up; it comes back at midnight, Pacific time."""
_LIMITS = {
    "quotaExceeded": QUOTA_PAUSE_SECONDS,
    "dailyLimitExceeded": QUOTA_PAUSE_SECONDS,
    "rateLimitExceeded": None,
    "userRateLimitExceeded": None,
}
"""The reasons of a 403 that mean a limit (https://developers.google.com/youtube/v3/docs/errors), with the seconds to
wait; None where there is no telling."""
_KEY_REFUSED = re.compile("API_KEY_[A-Z_]+|SERVICE_DISABLED")
"""The reasons that blame the key or its project, in the answer's details (google.api.ErrorReason)."""
_CHANNEL = re.compile(r"UC[\w-]{22}", re.ASCII)
_FEED_ID = "yt:video:"


class YouTube:
    """Asks for a channel's uploads; `handle` is the channel's id (UC...) or, with a key, its @handle."""

    def __init__(self, *, api_url: str, feed_url: str, key: Secret | None) -> None:
        self._api_url, self._feed_url, self._key = api_url, feed_url, key

    def host(self, creator: Creator) -> str:  # noqa: ARG002 - the same for each
        """Return the API's or the feed's host."""
        return host_of(self._api_url if self._key else self._feed_url)

    def poll(self, creator: Creator, ask: Ask) -> Found | None:
        """Ask for the newest uploads, on condition that they changed."""
        handle = (creator.handle or "").strip()
        if self._key is not None:
            return self._by_api(creator, handle, self._key, ask)
        if not handle:
            raise _without_handle()
        if not _CHANNEL.fullmatch(handle):  # a matter of the key, and no creator's fault, as long as there is none
            raise CredentialsError(
                f"YouTube's feed takes no handle {handle[:80]!r}: set YOUTUBE_API_KEY or write the channel's id (UC...)"
            )
        response = ask(
            Request(url=f"{self._feed_url}?{urlencode({'channel_id': handle})}", headers=conditions(creator))
        )
        if response.status == 304:
            return None
        items = parse_feed(response.body)
        if items is None:
            raise RefusedError(f"{response.host} answers what is no Atom feed", response)
        return found(response, [_as_the_api_says(item) for item in items])

    def _by_api(self, creator: Creator, handle: str, key: Secret, ask: Ask) -> Found | None:
        playlist = creator.platform_id or self._uploads(handle, key, ask)
        response = self._list(
            ask,
            key,
            "playlistItems",
            {"part": "snippet,contentDetails", "maxResults": "50", "playlistId": playlist},
            headers=conditions(creator) if creator.platform_id else {},
        )
        if response.status == 304:
            return None
        return found(response, [_video(item) for item in _items(response)], platform_id=playlist)

    def _uploads(self, handle: str, key: Secret, ask: Ask) -> str:
        if not handle:
            raise _without_handle()
        by = {"id": handle} if _CHANNEL.fullmatch(handle) else {"forHandle": handle}
        response = self._list(ask, key, "channels", {"part": "contentDetails", **by}, headers={})
        channels = _items(response)
        if not channels:
            raise RefusedError(f"YouTube knows no channel {handle[:80]!r}", response)
        try:
            return str(channels[0]["contentDetails"]["relatedPlaylists"]["uploads"])
        except (KeyError, TypeError):
            raise _unreadable(response) from None

    def _list(
        self, ask: Ask, key: Secret, resource: str, parameters: Mapping[str, str], headers: Mapping[str, str]
    ) -> Response:
        request = Request(
            url=f"{self._api_url}/{resource}?{urlencode(parameters)}",
            headers=headers,
            secrets={"X-Goog-Api-Key": key},
            cost=LIST_UNITS,
        )
        try:
            return ask(request)
        except RefusedError as error:
            for reason in _LIMITS.keys() & _reasons(error.response):
                raise ThrottledError(f"YouTube answers 403, {reason}", _LIMITS[reason]) from None
            for reason in filter(_KEY_REFUSED.fullmatch, _detailed_reasons(error.response)):
                raise CredentialsError(f"YouTube refuses the key, {reason}: check YOUTUBE_API_KEY") from None
            raise


def _items(response: Response) -> list[Any]:
    try:
        return list(json.loads(response.body).get("items", []))
    except (ValueError, AttributeError, TypeError, RecursionError):
        raise _unreadable(response) from None


def _video(item: Any) -> Item:
    try:
        video = str(item["contentDetails"]["videoId"])
        published = item["contentDetails"].get("videoPublishedAt") or item["snippet"]["publishedAt"]
        return Item(
            id=video,
            url=f"https://www.youtube.com/watch?v={video}",
            title=str(item["snippet"]["title"]),
            published_at=rfc3339(str(published)),
        )
    except (KeyError, TypeError, AttributeError):
        raise RefusedError("YouTube answers an item that is not as documented") from None


def _as_the_api_says(item: Item) -> Item:
    video = item.id.removeprefix(_FEED_ID)
    return Item(id=video, url=item.url, title=item.title, published_at=item.published_at)


def _reasons(response: Response | None) -> set[str]:
    """Return the reasons in the body of a 403."""
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
