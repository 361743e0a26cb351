"""Reads the items of Atom feeds (RFC 4287) and RSS 2.0 feeds.

The parser builds no tree: the tree of a large document takes more memory than a tick's pod has. expat reads no external
entities here, and refuses a document whose entities expand beyond a limit (since expat 2.4.1).
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
"""At most this many entries of a feed are read. Feeds begin with the newest entry."""
_TEXT_LIMIT = 4000
_DEPTH_LIMIT = 100
_PIECE_BYTES = 64 * 1024
_TEXT_TAGS = frozenset(
    {*(f"{ATOM}{name}" for name in ("id", "title", "published", "updated")), "guid", "title", "link", "pubDate"}
)
_ENTRY_PATHS = {f"{ATOM}feed": [f"{ATOM}feed", f"{ATOM}entry"], "rss": ["rss", "channel", "item"]}


def parse_feed(document: bytes) -> list[Item] | None:
    """Return a feed's entries that have an id, or None if the document is not a feed."""
    reader = _Reader()
    parser = XMLParser(target=reader)  # noqa: S314 - the module's docstring says why expat is safe here
    try:
        for start in range(0, len(document), _PIECE_BYTES):  # the parser raises the reader's errors after a whole piece
            parser.feed(document[start : start + _PIECE_BYTES])
        parser.close()
    except _EnoughError:
        pass
    except (_NoFeedError, ParseError, ValueError, LookupError):  # the last two: an encoding that does not exist
        return None
    return [item for item in map(_to_item, reader.entries) if item.id]


class _NoFeedError(Exception):
    """The document is not a feed."""


class _EnoughError(Exception):
    """ENTRIES_LIMIT entries have been read."""


class _Reader:
    """Receives expat's events, and keeps the texts of each entry's child elements by tag."""

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
            self._begin_field(tag, attributes)

    def _begin_field(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag in _TEXT_TAGS:
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


def _to_item(entry: Mapping[str, str]) -> Item:
    texts = {tag.removeprefix(ATOM): text.strip() for tag, text in entry.items()}
    return Item(
        id=texts.get("id") or texts.get("guid") or texts.get("link", ""),
        url=texts.get("link") or None,
        title=texts.get("title") or None,
        published_at=rfc3339(texts.get("published") or texts.get("updated", "")) or _rfc5322(texts.get("pubDate", "")),
    )


def rfc3339(text: str) -> datetime | None:
    """Read a time in RFC 3339 format, as in Atom and most JSON, in UTC; None for any other text."""
    try:
        return _to_utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def _rfc5322(text: str) -> datetime | None:
    try:
        return _to_utc(parsedate_to_datetime(text))
    except (ValueError, OverflowError):
        return None


def _to_utc(moment: datetime) -> datetime:
    """Convert a time to UTC: some feeds have offsets of 16 hours, and Postgres refuses such offsets."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
