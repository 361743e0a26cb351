"""Reads the items of JSON Feed (https://www.jsonfeed.org/version/1.1). Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from region_tick.adapters import Item
from region_tick.adapters.document_text import encoding_of
from region_tick.adapters.feed_entries import ENTRIES_LIMIT
from region_tick.adapters.feed_items import SUMMARY_LIMIT, TITLE_LIMIT, absolute, by_links
from region_tick.adapters.json_values import ITEM_ERRORS, make_raw
from region_tick.adapters.plain_text import one_line, plain_text
from region_tick.adapters.times import read_time

if TYPE_CHECKING:
    from region_tick.fetch import Response

_VERSION = "jsonfeed.org/version/"
_HEAD_BYTES = 2000
_BYTES_LIMIT = 2**20
_MARKS, _MARKS_LIMIT = (b"[", b"{", b","), 50_000
"""json makes everything at once, and a value of three bytes takes up to 200. Each value but the first follows a mark.
"""


class JsonFeedError(ValueError):
    """A JSON Feed cannot be read. The message names the place."""


def read_json_feed(response: Response) -> tuple[list[Item] | None, int]:
    """Return the items, and how many entries have no id and no link. The items are None if the document is no feed.

    Raises JsonFeedError.
    """
    body = response.body
    if _VERSION.encode() not in body.replace(b"\\/", b"/"):
        return None, 0
    if len(body) > _BYTES_LIMIT or sum(map(body.count, _MARKS)) > _MARKS_LIMIT:
        raise JsonFeedError("the feed is too large for JSON")
    try:
        feed = json.loads(body.decode(encoding_of(body, None), "replace").lstrip("\ufeff \t\r\n"))
    except (ValueError, RecursionError) as error:
        if _VERSION.encode() not in body[:_HEAD_BYTES].replace(b"\\/", b"/"):
            return None, 0
        place = f"in line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "because of its depth"
        raise JsonFeedError(f"the feed cannot be read {place}") from None
    if (
        not isinstance(feed, dict)
        or _VERSION not in str(feed.get("version"))
        or not isinstance(feed.get("items"), list)
    ):
        return None, 0
    items = [_to_item(entry, feed, response.url) for entry in feed["items"][:ENTRIES_LIMIT]]
    known = [item for item in items if item is not None and item.id]
    return by_links(known), len(items) - len(known)


def _to_item(entry: Any, feed: dict[str, Any], base: str) -> Item | None:
    """Return an entry as an item; None for an entry that is none."""
    try:
        url = absolute(base, str(entry["url"])) if entry.get("url") else None
        content = entry.get("summary") or entry.get("content_text") or ""
        html = "" if content else str(entry.get("content_html") or "")
        published = entry.get("date_published") or entry.get("date_modified") or ""
        return Item(
            id=one_line(str(entry.get("id") or url or ""), limit=10_000),
            url=url,
            title=one_line(str(entry.get("title") or ""), limit=TITLE_LIMIT) or None,
            published_at=read_time(str(published)),
            author=_author(entry) or _author(feed),
            summary=one_line(str(content), limit=SUMMARY_LIMIT) or plain_text(html, limit=SUMMARY_LIMIT) or None,
            raw=make_raw(entry),
        )
    except ITEM_ERRORS:
        return None


def _author(value: dict[str, Any]) -> str | None:
    authors = value.get("authors") or [value.get("author")]
    name = authors[0].get("name") if isinstance(authors, list) and isinstance(authors[0], dict) else None
    return one_line(name, limit=TITLE_LIMIT) or None if isinstance(name, str) else None
