"""Platform `http`: any URL. A feed gives its entries; anything else gives an item for each version of it."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from region_tick.adapters import Creator, Found, Item, conditions, found
from region_tick.adapters.feed import parse_feed
from region_tick.fetch import RefusedError, Request, host_of

if TYPE_CHECKING:
    from region_tick.adapters import Ask


class Generic:
    """Asks for a creator's `url`. It costs no quota."""

    def host(self, creator: Creator) -> str:
        """Return the URL's host."""
        return host_of(_url(creator))

    def poll(self, creator: Creator, ask: Ask) -> Found | None:
        """Ask for the URL, on condition that it changed."""
        url = _url(creator)
        response = ask(Request(url=url, headers=conditions(creator)))
        if response.status == 304:
            return None
        items = parse_feed(response.body)
        if items is None:
            items = [Item(id=f"sha256:{sha256(response.body).hexdigest()}", url=url)]
        return found(response, items)


def _url(creator: Creator) -> str:
    if creator.url is None:
        raise RefusedError('a creator of platform "http" has no url: set it')
    return creator.url
