"""Defines the adapters: an adapter asks one platform what a creator has published, and reads the answer.

An adapter knows its platform's requests, answers and quota. The poller decides when to ask, how often, for how long and
how many creators in parallel: the poller passes `ask` to the adapter, and the adapter lets the FetchErrors of `ask`
pass.
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
"""Sends a request and returns an answer with status 2xx or 304. Raises FetchErrors."""

VALIDATOR_LIMIT = 1024
"""The longest ETag or Last-Modified that is kept, in characters. A longer value is dropped."""


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
    """The platform's id for the creator, looked up once by the adapter, e.g. the playlist of a channel's uploads."""
    last_polled_at: datetime | None = None
    """When the creator's upstream last gave a useful answer."""
    failures: int = 0
    """The number of consecutive refusals since then. Failures that may pass by themselves do not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Something that a creator published. `id` is the platform's id."""

    id: str
    url: str | None = None
    title: str | None = None
    published_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A creator's latest items, new or known, and the validators for the next request."""

    items: Sequence[Item]
    etag: str | None = None
    last_modified: str | None = None
    platform_id: str | None = None


class Adapter(Protocol):
    """Asks one platform."""

    def host(self, creator: Creator) -> str:
        """Return the host (and port) to which the creator's requests go. Limits apply per host. Raises RefusedError."""

    def poll(self, creator: Creator, ask: Ask) -> Found | None:
        """Return what the creator has published, or None if nothing has changed. Raises FetchErrors."""


def make_adapters(settings: PollSettings, *, until: datetime) -> Mapping[str, Adapter]:
    """Return the adapters by platform. TikTok's adapter asks for videos published until the day of `until`."""
    from region_tick.adapters.generic import Generic  # the adapters' modules import this module
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


def conditional_headers(creator: Creator) -> dict[str, str]:
    """Return the headers of a conditional request (RFC 9110, 13.1): an unchanged upstream answers 304 with no body."""
    validators = {"If-None-Match": creator.etag, "If-Modified-Since": creator.last_modified}
    return {name: value for name, value in validators.items() if value is not None and _is_sendable(value)}


def make_found(response: Response, items: Sequence[Item], *, platform_id: str | None = None) -> Found:
    """Return an answer's items with the answer's validators."""

    def validator(name: str) -> str | None:
        value = response.headers.get(name)
        return value if value is not None and _is_sendable(value) else None

    return Found(items=items, etag=validator("etag"), last_modified=validator("last-modified"), platform_id=platform_id)


def _is_sendable(value: str) -> bool:
    return 0 < len(value) <= VALIDATOR_LIMIT and value.isascii() and value.isprintable()
