"""Atom (RFC 4287) and RSS 2.0, read as items.

No tree is built: that of a large document takes more memory than a tick's pod has. expat reads no external entity here
and ends a document whose entities grow beyond measure (since 2.4.1).
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError, XMLParser

from region_tick.adapters import Item

if TYPE_CHECKING:
    from collections.abc import Mapping

ATOM = "{http://www.w3.org/2005/Atom}"
ENTRIES_LIMIT = 1000
"""Entries of one feed; feeds begin with the newest."""
_TEXT_LIMIT = 4000
_DEPTH_LIMIT = 100
_PIECE = 64 * 1024
_WANTED = frozenset(
    {*(f"{ATOM}{name}" for name in ("id", "title", "published", "updated")), "guid", "title", "link", "pubDate"}
)
_ENTRY_PATHS = {f"{ATOM}feed": [f"{ATOM}feed", f"{ATOM}entry"], "rss": ["rss", "channel", "item"]}


def parse_feed(document: bytes) -> list[Item] | None:
    """Return a feed's entries, without those that have nothing to know them again by; None for what is no feed."""
    reader = _Reader()
    parser = XMLParser(target=reader)  # noqa: S314 - see above
    try:
        for start in range(0, len(document), _PIECE):  # what the reader raises ends a piece, not the middle of one
            parser.feed(document[start : start + _PIECE])
        parser.close()
    except _EnoughError:
        pass
    except (_NoFeedError, ParseError, ValueError, LookupError):  # the last two: an encoding that does not exist
        return None
    return [item for item in map(_item, reader.entries) if item.id]


class _NoFeedError(Exception):
    pass


class _EnoughError(Exception):
    pass


class _Reader:
    """Takes what expat finds; keeps the texts of each entry's own elements, under their tags."""

    def __init__(self) -> None:
        self.entries: list[dict[str, str]] = []
        self._path: list[str] = []
        self._entry_path: list[str] = []
        self._field: str | None = None

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._path.append(tag)
        if len(self._path) > _DEPTH_LIMIT:
            raise _NoFeedError
        depth = len(self._path) - len(self._entry_path)
        if len(self._path) == 1:
            if tag not in _ENTRY_PATHS:
                raise _NoFeedError
            self._entry_path = _ENTRY_PATHS[tag]
        elif depth == 0 and self._path == self._entry_path:
            if len(self.entries) == ENTRIES_LIMIT:
                raise _EnoughError
            self.entries.append({})
        elif depth == 1 and self._path[:-1] == self._entry_path and tag not in self.entries[-1]:
            self._begin(tag, attributes)

    def _begin(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag in _WANTED:
            self._field, self.entries[-1][tag] = tag, ""
        elif tag == f"{ATOM}link" and attributes.get("rel", "alternate") == "alternate":
            self.entries[-1][tag] = attributes.get("href", "")[:_TEXT_LIMIT]

    def data(self, text: str) -> None:
        if self._field is not None and len(self.entries[-1][self._field]) < _TEXT_LIMIT:
            self.entries[-1][self._field] += text[:_TEXT_LIMIT]

    def end(self, _tag: str) -> None:
        self._path.pop()
        if len(self._path) == len(self._entry_path):
            self._field = None


def _item(entry: Mapping[str, str]) -> Item:
    texts = {tag.removeprefix(ATOM): text.strip() for tag, text in entry.items()}
    return Item(
        id=texts.get("id") or texts.get("guid") or texts.get("link", ""),
        url=texts.get("link") or None,
        title=texts.get("title") or None,
        published_at=rfc3339(texts.get("published") or texts.get("updated", "")) or _rfc5322(texts.get("pubDate", "")),
    )


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
