"""Defines the adapters: an adapter asks one platform what a creator has published, and reads the answer.

An adapter knows its platform's requests, answers and quota. The poller decides when to ask, how often, for how long and
how many creators in parallel: the poller passes `ask` to the adapter, and the adapter lets the FetchErrors of `ask`
pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from region_tick.answer_freshness import seconds_of_headers
from region_tick.fetch import Request, Response

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from region_tick.poll_settings import PollSettings

Ask: TypeAlias = Callable[[Request], Response]
"""Sends a request and returns an answer with status 2xx or 304. Raises FetchErrors."""

VALIDATOR_LIMIT = 1024
"""The longest ETag or Last-Modified that is kept, in characters. A longer value is dropped."""
RAW_LIMIT = 16_000
"""The longest `raw` of an item as JSON, in characters."""


class Kind(StrEnum):
    """What a creator's document was when it was first read. A feed that is broken today is no page."""

    FEED = "feed"
    PAGE = "page"


@dataclass(frozen=True, slots=True, kw_only=True)
class Creator:
    """A row of region_tick.creator, with what is known of its upstream."""

    id: int
    upstream_id: int = 0
    """The row of region_tick.upstream, which all creators with this address share."""
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
    transient_failures: int = 0
    """The number of consecutive failures that may have passed by themselves."""
    kind: str | None = None
    """The Kind of the creator's document; None before the first answer, and on platforms without a choice."""
    fresh_seconds: int = 0
    """For how long an answer is fresh, as the last one that said so said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Something that a creator published. `id` is the platform's id."""

    id: str
    url: str | None = None
    """An absolute URL."""
    title: str | None = None
    published_at: datetime | None = None
    author: str | None = None
    summary: str | None = None
    """The beginning of the description or the text, without markup."""
    raw: Mapping[str, Any] | None = None
    """The entry as the platform sent it, as values for JSON: RAW_LIMIT characters at most, without what is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A creator's latest items, new or known, and the validators for the next request."""

    items: Sequence[Item]
    etag: str | None = None
    last_modified: str | None = None
    platform_id: str | None = None
    kind: Kind | None = None
    """What the document is, for the next poll; None on platforms without a choice."""
    moved_to: str | None = None
    """The URL to which the upstream moved the creator's URL for good (301, 308)."""
    fresh_seconds: int = 0
    """For how long the answer is fresh: nobody has to ask again meanwhile."""
    problem: str | None = None
    """What is wrong with the answer although items could be read. Such an answer has no validators, and is not fresh.
    """
    counts: Mapping[str, int] = field(default_factory=dict)
    """What else the tick's counts shall hold, e.g. entries that have nothing to know them by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotModified:
    """Nothing has changed since the last answer. The validators are the ones for the next request."""

    etag: str | None = None
    last_modified: str | None = None
    moved_to: str | None = None
    """As in Found."""
    fresh_seconds: int = 0
    """As in Found."""


class Adapter(Protocol):
    """Asks one platform."""

    def host(self, creator: Creator) -> str:
        """Return the host (and port) to which the creator's requests go. Limits apply per host. Raises RefusedError."""

    def poll(self, creator: Creator, ask: Ask) -> Found | NotModified:
        """Return what the creator has published, or that nothing has changed. Raises FetchErrors."""


def make_adapters(settings: PollSettings, *, until: datetime) -> Mapping[str, Adapter]:
    """Return the adapters by platform. `until` is the tick's time, for a rerun now: nothing later needs to be found.

    To ask for an adapter raises KeyError for an unknown platform, RefusedError for an adapter that cannot be made.
    """
    from region_tick.adapters.loading import Adapters  # the adapters' modules import this module

    return Adapters(settings, until=until)


def conditional_headers(creator: Creator) -> dict[str, str]:
    """Return the headers of a conditional request (RFC 9110, 13.1): an unchanged upstream answers 304 with no body.

    A Last-Modified in the future may bring a 304 for ever, whatever changes. The first request of such a creator on
    each day (UTC) is unconditional.
    """
    now, polled_at = datetime.now(UTC), creator.last_polled_at
    if _is_after(creator.last_modified, now) and (polled_at is None or polled_at.astimezone(UTC).date() < now.date()):
        return {}
    validators = {"If-None-Match": creator.etag, "If-Modified-Since": creator.last_modified}
    return {name: value for name, value in validators.items() if value is not None and _is_sendable(value)}


def _is_after(last_modified: str | None, now: datetime) -> bool:
    try:
        return last_modified is not None and parsedate_to_datetime(last_modified).timestamp() > now.timestamp()
    except (ValueError, OverflowError):
        return False


def make_found(
    response: Response,
    items: Sequence[Item],
    *,
    platform_id: str | None = None,
    kind: Kind | None = None,
    etag: str | None = None,
    fresh_seconds: int = 0,
    problem: str | None = None,
    counts: Mapping[str, int] | None = None,
) -> Found:
    """Return an answer's items with the answer's validators.

    `etag` is what the body says where the headers have none, and `fresh_seconds` counts if it is longer than what the
    headers say. An answer with a problem has no validators: a later 304 would say that the rest is known.
    """
    found = Found(
        items=items,
        platform_id=platform_id,
        kind=kind,
        moved_to=response.moved_to,
        problem=problem,
        counts=counts or {},
    )
    if problem is not None:
        return found
    etag = _validator(response, "etag") or (etag if etag is not None and _is_sendable(etag) else None)
    fresh = max(seconds_of_headers(response.headers), fresh_seconds)
    return replace(found, etag=etag, last_modified=_validator(response, "last-modified"), fresh_seconds=fresh)


def make_not_modified(response: Response, creator: Creator) -> NotModified:
    """Return a 304's validators and how long it is fresh, and what is known for what it lacks (RFC 9111, 4.3.4)."""
    return NotModified(
        etag=_validator(response, "etag") or creator.etag,
        last_modified=_validator(response, "last-modified") or creator.last_modified,
        moved_to=response.moved_to,
        fresh_seconds=seconds_of_headers(response.headers) or creator.fresh_seconds,
    )


def _validator(response: Response, name: str) -> str | None:
    value = response.headers.get(name)
    return value if value is not None and _is_sendable(value) else None


def _is_sendable(value: str) -> bool:
    return 0 < len(value) <= VALIDATOR_LIMIT and value.isascii() and value.isprintable()
