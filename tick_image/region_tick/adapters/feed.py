"""Atom (RFC 4287) and RSS 2.0, read as items.

expat reads no external entity here and ends a document whose entities grow beyond measure (since 2.4.1), and what it
gets is bounded already.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from region_tick.adapters import Item

if TYPE_CHECKING:
    from collections.abc import Iterable
    from xml.etree.ElementTree import Element

ATOM = "{http://www.w3.org/2005/Atom}"


def parse_feed(document: bytes) -> list[Item] | None:
    """Return a feed's entries, without those that have nothing to know them again by; None for what is no feed."""
    try:
        root = ElementTree.fromstring(document)  # noqa: S314 - see above
    except (ElementTree.ParseError, ValueError, LookupError):  # the last two: an encoding that does not exist
        return None
    if root.tag == f"{ATOM}feed":
        return list(_known(_atom(entry) for entry in root.iterfind(f"{ATOM}entry")))
    if root.tag == "rss":
        return list(_known(_rss(entry) for entry in root.iterfind("channel/item")))
    return None


def _known(items: Iterable[Item]) -> Iterable[Item]:
    return (item for item in items if item.id)


def _atom(entry: Element) -> Item:
    links = [link.get("href") for link in entry.iterfind(f"{ATOM}link") if link.get("rel", "alternate") == "alternate"]
    published = _text(entry, f"{ATOM}published") or _text(entry, f"{ATOM}updated")
    return Item(
        id=_text(entry, f"{ATOM}id") or "",
        url=next(iter(links), None),
        title=_text(entry, f"{ATOM}title"),
        published_at=rfc3339(published) if published else None,
    )


def _rss(entry: Element) -> Item:
    url, published = _text(entry, "link"), _text(entry, "pubDate")
    return Item(
        id=_text(entry, "guid") or url or "",
        url=url,
        title=_text(entry, "title"),
        published_at=_rfc5322(published) if published else None,
    )


def _text(entry: Element, tag: str) -> str | None:
    found = entry.find(tag)
    return None if found is None else "".join(found.itertext()).strip() or None


def rfc3339(text: str) -> datetime | None:
    """Read a time as Atom and most JSON write it; None for what is none."""
    try:
        return _utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def _rfc5322(text: str) -> datetime | None:
    try:
        return _utc(parsedate_to_datetime(text))
    except (ValueError, OverflowError):
        return None


def _utc(moment: datetime) -> datetime:
    """Return a time in UTC: Postgres takes no offset of 16 hours, feeds have them."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
