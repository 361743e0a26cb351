"""Platform `youtube`: polls the Data API v3 if there is a key, or the channel's feed without a key.

The API finds a channel by its id or its @handle, once, and lists the channel's newest uploads. The feed needs the
channel's id and shows the last 15 uploads. The key is sent in a header and not in the URL, because URLs appear in logs
and messages. Google accepts both (https://cloud.google.com/docs/authentication/api-keys-use).
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from region_tick.adapters import (
    Creator,
    Found,
    Item,
    NotModified,
    conditional_headers,
    make_found,
    make_not_modified,
)
from region_tick.adapters.feed import read_feed
from region_tick.adapters.json_values import ITEM_ERRORS, make_raw, read_items
from region_tick.adapters.times import rfc3339
from region_tick.adapters.youtube_errors import judge_api, judge_feed, reasons_of
from region_tick.daily_budget import DailyBudget, account_of
from region_tick.fetch import CredentialsError, RefusedError, Request, host_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from region_tick.adapters import Ask
    from region_tick.fetch import Response, Secret
    from region_tick.poll_settings import PollSettings

LIST_UNITS = 1
"""What channels.list and playlistItems.list take from a project's 10,000 units a day
(https://developers.google.com/youtube/v3/determine_quota_cost). YouTube does not say if a 304 is free; a 304 counts."""
DAY_ZONE = "America/Los_Angeles"
"""YouTube renews the units at midnight, Pacific time (the same page)."""
PAGES_LIMIT = 10
"""How many pages of 50 uploads one poll reads. A channel with more uploads since its last poll has a gap."""
_CHANNEL_ID = re.compile(r"UC[\w-]{22}", re.ASCII)
_FEED_ID_PREFIX = "yt:video:"


def make(settings: PollSettings, _until: datetime) -> YouTube:
    """Return the adapter."""
    return YouTube(
        api_url=settings.youtube_api_url,
        feed_url=settings.youtube_feed_url,
        key=settings.youtube_api_key,
        daily_units=settings.youtube_daily_units,
    )


class YouTube:
    """Requests a channel's uploads. `handle` is the channel's id (UC...) or, with a key, its @handle."""

    def __init__(self, *, api_url: str, feed_url: str, key: Secret | None, daily_units: int) -> None:
        self._api_url, self._feed_url, self._key = api_url, feed_url, key
        self._budget = _budget(key, daily_units) if key else None

    def host(self, creator: Creator) -> str:  # noqa: ARG002 - all creators have the same host
        """Return the API's or the feed's host."""
        return host_of(self._api_url if self._key else self._feed_url)

    def poll(self, creator: Creator, ask: Ask) -> Found | NotModified:
        """Request the newest uploads conditionally. Raises FetchErrors."""
        handle = (creator.handle or "").strip()
        if self._key is not None:
            return self._poll_api(creator, handle, self._key, ask)
        if not handle:
            raise _without_handle()
        if not _CHANNEL_ID.fullmatch(handle):  # an @handle needs a key: the key is missing, the creator is not wrong
            raise CredentialsError(
                f"YouTube's feed takes no handle {handle[:80]!r}: set YOUTUBE_API_KEY or write the channel's id (UC...)"
            )
        return self._poll_feed(creator, handle, ask)

    def _poll_feed(self, creator: Creator, channel: str, ask: Ask) -> Found | NotModified:
        url = f"{self._feed_url}?{urlencode({'channel_id': channel})}"
        response = ask(Request(url=url, headers=conditional_headers(creator), judge=judge_feed))
        if response.status == 304:
            return make_not_modified(response, creator)
        feed = read_feed(response)
        if feed is None or (feed.problem and not feed.items):
            raise RefusedError(f"{response.host} answers what is no Atom feed", response)
        items = [replace(item, id=item.id.removeprefix(_FEED_ID_PREFIX)) for item in feed.items]
        missed = bool(items) and not _reaches(items, creator.last_polled_at)
        return make_found(response, items, problem=feed.problem, counts={"gap": 1} if missed else {})

    def _poll_api(self, creator: Creator, handle: str, key: Secret, ask: Ask) -> Found | NotModified:
        playlist = creator.platform_id or self._find_uploads_playlist(handle, key, ask)
        conditions = conditional_headers(creator) if creator.platform_id else {}
        try:
            response = self._list_uploads(ask, key, playlist, headers=conditions)
        except RefusedError as error:
            if "playlistNotFound" in reasons_of(error.response):  # a channel without public uploads has no playlist
                return Found(items=(), platform_id=playlist)
            raise
        if response.status == 304:
            return make_not_modified(response, creator)
        items, counts = self._read_uploads(response, creator.last_polled_at, playlist, key, ask)
        return make_found(response, items, platform_id=playlist, etag=_read(response).get("etag"), counts=counts)

    def _read_uploads(
        self, response: Response, since: datetime | None, playlist: str, key: Secret, ask: Ask
    ) -> tuple[list[Item], Mapping[str, int]]:
        """Read pages until a page reaches back to the last poll. Return the uploads, and what to count."""
        items, unreadable = list[Item](), 0
        for page in range(1, PAGES_LIMIT + 1):
            found, odd = _read_page(response)
            items, unreadable = items + found, unreadable + odd
            token = _read(response).get("nextPageToken")
            if not token or _reaches(found, since):
                gap = 0
                break
            gap = 1
            if page < PAGES_LIMIT:
                response = self._list_uploads(ask, key, playlist, page_token=str(token))
        return items, {name: number for name, number in (("gap", gap), ("unreadable", unreadable)) if number}

    def _list_uploads(
        self, ask: Ask, key: Secret, playlist: str, *, page_token: str = "", headers: Mapping[str, str] | None = None
    ) -> Response:
        parameters = {"part": "snippet,contentDetails", "maxResults": "50", "playlistId": playlist}
        more = {"pageToken": page_token} if page_token else {}
        return self._list(ask, key, "playlistItems", parameters | more, headers or {})

    def _find_uploads_playlist(self, handle: str, key: Secret, ask: Ask) -> str:
        """Return the id of the playlist with the channel's uploads. Raises FetchErrors."""
        if not handle:
            raise _without_handle()
        selector = {"id": handle} if _CHANNEL_ID.fullmatch(handle) else {"forHandle": handle}
        response = self._list(ask, key, "channels", {"part": "contentDetails", **selector}, headers={})
        channels = _read(response).get("items", [])
        if not channels:
            raise RefusedError(f"YouTube knows no channel {handle[:80]!r}", response)
        try:
            return str(channels[0]["contentDetails"]["relatedPlaylists"]["uploads"])
        except (KeyError, TypeError):
            raise _unreadable(response) from None

    def _list(
        self, ask: Ask, key: Secret, resource: str, parameters: Mapping[str, str], headers: Mapping[str, str]
    ) -> Response:
        return ask(
            Request(
                url=f"{self._api_url}/{resource}?{urlencode(parameters)}",
                headers=headers,
                secrets={"X-Goog-Api-Key": key},
                cost=LIST_UNITS,
                budget=self._budget,
                judge=judge_api,
            )
        )


def _budget(key: Secret, units: int) -> DailyBudget:
    return DailyBudget(
        platform="youtube",
        account=account_of("youtube", key),
        units=units,
        setting="YOUTUBE_DAILY_UNITS",
        zone=DAY_ZONE,
    )


def _reaches(items: Sequence[Item], since: datetime | None) -> bool:
    """Tell whether a page reaches back to the last poll. At the first poll, one page is enough."""
    return since is None or any(item.published_at is None or item.published_at < since for item in items)


def _read(response: Response) -> Mapping[str, Any]:
    try:
        answer = json.loads(response.body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise _unreadable(response)
    return answer


def _read_page(response: Response) -> tuple[list[Item], int]:
    try:
        return read_items(_read(response).get("items", []), _to_item)
    except ITEM_ERRORS:
        raise _unreadable(response) from None


def _to_item(item: Any) -> Item:
    video_id, snippet = str(item["contentDetails"]["videoId"]), item["snippet"]
    published = item["contentDetails"].get("videoPublishedAt") or snippet["publishedAt"]
    return Item(
        id=video_id,
        url=f"https://www.youtube.com/watch?v={video_id}",
        title=str(snippet["title"]),
        published_at=rfc3339(str(published)),
        author=snippet.get("videoOwnerChannelTitle") or snippet.get("channelTitle"),
        summary=snippet.get("description") or None,
        raw=make_raw(item),
    )


def _without_handle() -> RefusedError:
    return RefusedError('a creator of platform "youtube" has no handle: write the channel\'s id or @handle')


def _unreadable(response: Response) -> RefusedError:
    return RefusedError(f"{response.host} answers what is not as YouTube documents it", response)
