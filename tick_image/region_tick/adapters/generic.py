"""Platform `http`: polls any URL. A feed gives its entries; any other document gives one item per version."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from region_tick.adapters import Creator, Found, Item, conditional_headers, make_found
from region_tick.adapters.feed import parse_feed
from region_tick.fetch import RefusedError, Request, host_of

if TYPE_CHECKING:
    from region_tick.adapters import Ask


class Generic:
    """Requests a creator's `url`. The requests cost no quota."""

    def host(self, creator: Creator) -> str:
        """Return the host of the creator's URL. Raises RefusedError."""
        return host_of(_url(creator))

    def poll(self, creator: Creator, ask: Ask) -> Found | None:
        """Request the URL conditionally; return None if the document has not changed. Raises FetchErrors."""
        url = _url(creator)
        response = ask(Request(url=url, headers=conditional_headers(creator)))
        if response.status == 304:
            return None
        items = parse_feed(response.body)
        if items is None:
            items = [Item(id=f"sha256:{sha256(response.body).hexdigest()}", url=url)]
        return make_found(response, items)


def _url(creator: Creator) -> str:
    if creator.url is None:
        raise RefusedError('a creator of platform "http" has no url: set it')
    return creator.url
