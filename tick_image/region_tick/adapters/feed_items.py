"""Makes items of the entries of a feed. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from sys import getsizeof
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from region_tick.adapters import Item
from region_tick.adapters.json_values import make_raw
from region_tick.adapters.plain_text import one_line, plain_text
from region_tick.adapters.times import read_time

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from region_tick.adapters.feed_entries import Entry, FeedEntries, Field

TITLE_LIMIT = 2000
SUMMARY_LIMIT = 500
_DOCUMENT_RAW_CHARACTERS = 500_000
"""How much of all entries together is kept as `raw`. The entries beyond have none."""
_ENTRY_CHARACTERS = 500
"""What an entry takes beside its text."""
_DOCUMENT_TEXT_BYTES = 4_000_000
"""How much memory the texts of a document's items may take. The entries beyond are not read. A thousand entries with
long titles and summaries take a quarter of it; but one wide character makes Python's text four times as large.
"""
_IDS = ("id", "guid", "dc:identifier")
_TIMES = ("published", "issued", "pubDate", "atom:published", "dc:date", "dcterms:issued", "updated", "modified",
          "atom:updated", "dcterms:created", "created")  # fmt: skip
_SUMMARIES = ("summary", "description", "atom:summary", "content", "content:encoded", "media:group/media:description")
_AUTHORS = ("author/name", "author", "dc:creator", "atom:author/atom:name", "itunes:author")


class ItemMaker:
    """Makes an item of each entry, and counts the entries that have no id and no link."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.unidentified = 0
        self._room = _DOCUMENT_RAW_CHARACTERS
        self._text_room = _DOCUMENT_TEXT_BYTES

    def add(self, entry: Entry, feed: FeedEntries) -> None:
        """Take an entry that has ended."""
        if self._text_room <= 0:
            return
        item = _make_item(entry, feed, with_raw=self._room > 0)
        self._room -= _ENTRY_CHARACTERS + sum(one.size + len(one.name) for one in entry.fields)
        self._text_room -= sum(map(getsizeof, (item.id, item.url, item.title, item.author, item.summary)))
        if item.id:
            self.items.append(item)
        else:
            self.unidentified += 1


def by_links(items: Sequence[Item]) -> list[Item]:
    """Give the items that share an id their links as ids: such an id says nothing ("N/A").

    Items that share the link too are one item, written twice.
    """
    links = defaultdict[str, set[str | None]](set)
    for item in items:
        links[item.id].add(item.url)
    return [replace(item, id=item.url) if item.url and len(links[item.id]) > 1 else item for item in items]


def _make_item(entry: Entry, feed: FeedEntries, *, with_raw: bool) -> Item:
    link, identity = _link(entry), entry.text(*_IDS)
    summary = entry.first(*_SUMMARIES)
    author = entry.text(*_AUTHORS) or feed.author
    return Item(
        id=one_line(identity or entry.about or link or "", limit=10_000),
        url=link or (entry.about if _is_absolute(entry.about) else None),
        title=_text(entry.first("title", "dc:title", "media:title"), feed.kind, limit=TITLE_LIMIT),
        published_at=_time(entry),
        author=one_line(author, limit=TITLE_LIMIT) or None,
        summary=_text(summary, feed.kind, limit=SUMMARY_LIMIT),
        raw=_raw(entry) if with_raw else None,
    )


def _link(entry: Entry) -> str | None:
    """Return the entry's link: the document's own element before one of another namespace."""
    for one in entry.fields:
        if one.name == "link" and one.attributes.get("rel", "alternate") == "alternate":
            href = one.attributes.get("href") or one.text
            if href.strip():
                return absolute(one.base, href)
    guid = next((one for one in entry.fields if one.name == "guid"), None)
    if guid and guid.attributes.get("isPermaLink", "true") != "false" and _is_absolute(guid.text.strip()):
        return guid.text.strip()
    for one in entry.fields:
        if one.name == "atom:link" and one.attributes.get("rel", "alternate") == "alternate":
            return absolute(one.base, one.attributes.get("href", "")) or None
    return None


def absolute(base: str, url: str) -> str:
    """Return a URL as a browser would follow it, or as it is written if that leads nowhere."""
    try:
        return urljoin(base, "".join(url.split("\n")).strip())
    except ValueError:
        return url.strip()


def _is_absolute(url: str | None) -> bool:
    return url is not None and url.lower().startswith(("http://", "https://"))


def _text(found: Field | None, kind: str, *, limit: int) -> str | None:
    """Return an element's text. Atom says whether a text is HTML; in RSS it may be."""
    if found is None:
        return None
    literal = kind == "feed" and found.attributes.get("type", "text") in ("text", "text/plain", "xhtml")
    return (one_line(found.text, limit=limit) if literal else plain_text(found.text, limit=limit)) or None


def _time(entry: Entry) -> datetime | None:
    for name in _TIMES:
        if (text := entry.text(name)) and (time := read_time(text)) is not None:
            return time
    return None


def _raw(entry: Entry) -> dict[str, Any]:
    """Return an entry's elements by name: the text, a list of texts, or attributes as `name@attribute`."""
    names, values = Counter(one.name for one in entry.fields), dict[str, Any]()
    for one in entry.fields:
        found = {f"{one.name}@{name}": value for name, value in one.attributes.items()}
        if one.text.strip() or not found:
            found[one.name] = one.text.strip()
        for name, value in found.items():
            if names[one.name] > 1:
                values.setdefault(name, []).append(value)
            else:
                values[name] = value
    return make_raw(values)
