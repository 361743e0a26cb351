"""How a platform is asked what a creator has published, and what comes of it.

An adapter knows a platform's requests, answers and quota. When a creator is asked, how often again, how long and how
many at once is not its business: it is given `ask`, which raises FetchErrors that it lets pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from region_tick.fetch import Request, Response

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from region_tick.poll_settings import PollSettings

Ask: TypeAlias = Callable[[Request], Response]
"""From a request to its answer, of status 2xx or 304. Raises FetchErrors."""

VALIDATOR_LIMIT = 1024
"""How long an ETag or Last-Modified may be to be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Creator:
    """A row of region_tick.creator."""

    id: int
    platform: str
    handle: str | None
    url: str | None
    etag: str | None = None
    last_modified: str | None = None
    platform_id: str | None = None
    """What an adapter found out about the creator once and for all, e.g. the playlist of a channel's uploads."""
    last_polled_at: datetime | None = None
    """When the creator's upstream last gave an answer."""
    failures: int = 0
    """How often in a row asking was refused since; what may pass by itself does not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Something that a creator published; `id` is the platform's."""

    id: str
    url: str | None = None
    title: str | None = None
    published_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a creator has published lately, new or not, and what to send along the next time."""

    items: Sequence[Item]
    etag: str | None = None
    last_modified: str | None = None
    platform_id: str | None = None


class Adapter(Protocol):
    """One platform."""

    def host(self, creator: Creator) -> str:
        """Return the host (and port) whose limits the creator's requests count for. Raises RefusedError."""

    def poll(self, creator: Creator, ask: Ask) -> Found | None:
        """Return what the creator has published; None where nothing has changed. Raises FetchErrors."""


def adapters(settings: PollSettings, *, until: datetime) -> Mapping[str, Adapter]:
    """Return the adapter of each platform, for what was published until then."""
    from region_tick.adapters.generic import Generic  # they import this module
    from region_tick.adapters.tiktok import TikTok
    from region_tick.adapters.youtube import YouTube

    return {
        "http": Generic(),
        "youtube": YouTube(
            api_url=settings.youtube_api_url, feed_url=settings.youtube_feed_url, key=settings.youtube_api_key
        ),
        "tiktok": TikTok(
            api_url=settings.tiktok_api_url,
            client_key=settings.tiktok_client_key,
            client_secret=settings.tiktok_client_secret,
            until=until,
        ),
    }


def conditions(creator: Creator) -> dict[str, str]:
    """Return the headers that spare an unchanged answer (RFC 9110, 13.1)."""
    kept = {"If-None-Match": creator.etag, "If-Modified-Since": creator.last_modified}
    return {name: value for name, value in kept.items() if value is not None and _is_sendable(value)}


def found(response: Response, items: Sequence[Item], *, platform_id: str | None = None) -> Found:
    """Return what an answer holds, with its validators."""

    def validator(name: str) -> str | None:
        value = response.headers.get(name)
        return value if value is not None and _is_sendable(value) else None

    return Found(items=items, etag=validator("etag"), last_modified=validator("last-modified"), platform_id=platform_id)


def _is_sendable(value: str) -> bool:
    return 0 < len(value) <= VALIDATOR_LIMIT and value.isascii() and value.isprintable()
