"""Platform `http`: polls any URL. A feed gives its entries; any other document gives one item per version.

A creator is a feed or a page by what its document first was: a feed whose server answers a page of maintenance today is
not a page with a new version. A page that becomes a feed is one from then on.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from region_tick.adapters import (
    Creator,
    Found,
    Item,
    Kind,
    NotModified,
    conditional_headers,
    make_found,
    make_not_modified,
)
from region_tick.fetch import FetchError, RefusedError, Request, host_of
from region_tick.retry import ThrottledError, retry_after

if TYPE_CHECKING:
    from datetime import datetime

    from region_tick.adapters import Ask
    from region_tick.fetch import Response
    from region_tick.poll_settings import PollSettings

_BLANK = b"\xef\xbb\xbf \t\r\n"
_NO_DOCUMENT = frozenset({202, 204, 205, 206})
"""Useful answers to some request, but not the document that was asked for."""


def make(_settings: PollSettings, _until: datetime) -> Generic:
    """Return the adapter."""
    return Generic()


class Generic:
    """Requests a creator's `url`. The requests cost no quota."""

    def host(self, creator: Creator) -> str:
        """Return the host of the creator's URL. Raises RefusedError."""
        return host_of(_url(creator))

    def poll(self, creator: Creator, ask: Ask) -> Found | NotModified:
        """Request the URL conditionally. Raises FetchErrors."""
        url = _url(creator)
        response = ask(Request(url=url, headers=conditional_headers(creator), judge=_judge))
        if response.status == 304:
            return make_not_modified(response, creator)
        from region_tick.adapters.feed import read_feed  # libxml2 takes its time to load, and a 304 needs no parser

        feed = read_feed(response)
        if feed is not None:
            if feed.problem and not feed.items:
                raise RefusedError(f"{response.host}: {feed.problem}", response)
            counts = {"unidentified": feed.unidentified} if feed.unidentified else {}
            problem = f"{response.host}: {feed.problem}" if feed.problem else None
            return make_found(
                response,
                feed.items,
                kind=Kind.FEED,
                fresh_seconds=feed.fresh_seconds,
                problem=problem,
                counts=counts,
            )
        if creator.kind == Kind.FEED:
            answered = response.headers.get("content-type", "a document of no type")[:80]
            raise RefusedError(f"{response.host} answers {answered} that is no feed, where a feed was", response)
        version = Item(id=f"sha256:{sha256(response.body).hexdigest()}", url=url)
        return make_found(response, [version], kind=Kind.PAGE)


def _judge(response: Response) -> FetchError | None:
    """Refuse an answer that brings no document."""
    empty = response.status in (200, 203) and not response.body.strip(_BLANK)
    if response.status not in _NO_DOCUMENT and not empty:
        return None
    message = f"{response.host} answers {response.status} without {'content' if empty else 'the document'}"
    seconds = retry_after(response.headers)
    return ThrottledError(message, seconds, whole_host=False) if seconds else RefusedError(message, response)


def _url(creator: Creator) -> str:
    if creator.url is None:
        raise RefusedError('a creator of platform "http" has no url: set it')
    return creator.url
