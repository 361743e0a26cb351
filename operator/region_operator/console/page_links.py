"""Makes the addresses in the pages. Pure.

All are relative: the console does not know under which path a reader reaches it, e.g. the API server's service proxy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from region_operator.console.time_words import iso
from region_operator.regions.row_values import printable

if TYPE_CHECKING:
    from datetime import datetime

    from region_operator.console.request_views import RequestContext


_LONGEST_SEGMENT = 1000
"""How many bytes a segment may have, encoded: a character may become twelve. `server.LONG_PATH` has room for the rest
of the address too.
"""


def link(context: RequestContext, *segments: str, **query: object) -> str:
    """Return the address of another page. Each segment is encoded; a query value of None or "" is left out.

    A code that is too long for an address is named as it is shown, cut: the console finds a region so too.
    """
    return f"{context.root or './'}{'/'.join(map(_segment, segments))}{_encode(query)}"


def same_page(context: RequestContext, **changes: object) -> str:
    """Return the address of this page with other parameters. A value of None or "" takes a parameter away."""
    return _encode({**context.query, **changes}) or "?"


def tick_link(context: RequestContext, code: str, tick_at: datetime, manual_uid: str = "") -> str:
    """Return the address of a tick. A manual run has the tick's minute and a uid of its own."""
    return link(context, "regions", code, "ticks", iso(tick_at), manual=manual_uid)


def _segment(text: str) -> str:
    encoded = quote(text, safe="")
    return encoded if len(encoded) <= _LONGEST_SEGMENT else quote(printable(text), safe="")


def _encode(query: dict[str, object]) -> str:
    given = {name.rstrip("_"): str(value) for name, value in query.items() if value not in (None, "")}
    return f"?{urlencode(given)}" if given else ""
