"""Collects the entries of a feed from a parser's events: Atom, RSS 2.0 and before, RSS 1.0. Pure.

No tree is built: the tree of a large document takes more memory than a tick's pod has. The limits hold for a document
of any shape. An entry that begins within an entry is the next one: an end tag was missing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import urljoin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ENTRIES_LIMIT = 1000
"""At most this many entries of a feed are read. Feeds begin with the newest entry."""
_DEPTH_LIMIT = 100
_FIELDS_LIMIT = 100
_FIELD_CHARACTERS = 16_000
_ENTRY_CHARACTERS = 64_000
_ATTRIBUTES_LIMIT = 20
_TEXT_LIMIT = 4000
_BASE = "{http://www.w3.org/XML/1998/namespace}base"
_PREFIXES = {
    "http://www.w3.org/2005/Atom": "atom:",
    "http://purl.org/dc/elements/1.1/": "dc:",
    "http://purl.org/dc/terms/": "dcterms:",
    "http://purl.org/rss/1.0/modules/content/": "content:",
    "http://search.yahoo.com/mrss/": "media:",
    "http://www.itunes.com/dtds/podcast-1.0.dtd": "itunes:",
    "http://www.youtube.com/xml/schemas/2015": "yt:",
    "http://purl.org/rss/1.0/modules/syndication/": "sy:",
}
"""How names of other namespaces than the document's own are written in `raw`."""
PREFIXES = {prefix.removesuffix(":"): uri for uri, prefix in _PREFIXES.items()}
_ENTRY_PATHS = {
    "feed": (("feed", "entry"),),
    "rss": (("rss", "channel", "item"), ("rss", "item")),
    "RDF": (("RDF", "item"),),
}
_MIXED = frozenset({"title", "summary", "description", "content", "content:encoded"})
"""The elements whose text may have markup that is not escaped."""
_OF_THE_FEED = frozenset({"ttl", "sy:updatePeriod", "sy:updateFrequency"})
"""The elements in which a feed says how often it changes."""
_RDF_ABOUT = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}about"


class NoFeedError(Exception):
    """The document is not a feed."""


class EnoughError(Exception):
    """ENTRIES_LIMIT entries have been read."""


@dataclass(slots=True)
class Field:
    """An element within an entry. `name` is its path below the entry, such as `author/name` or `dc:date`."""

    name: str
    attributes: Mapping[str, str]
    base: str
    """The URL against which the element's relative URLs count."""
    size: int = 0
    _parts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def add(self, text: str) -> None:
        self._parts.append(text)
        self.size += len(text)


@dataclass(slots=True)
class Entry:
    """An entry as it is written."""

    base: str
    about: str | None = None
    """The entry's URI in RSS 1.0."""
    fields: list[Field] = field(default_factory=list)
    room: int = _ENTRY_CHARACTERS

    def first(self, *names: str) -> Field | None:
        """Return the first element with the first of the names that has a text."""
        for name in names:
            for one in self.fields:
                if one.name == name and one.text.strip():
                    return one
        return None

    def text(self, *names: str) -> str:
        found = self.first(*names)
        return found.text.strip() if found else ""


@dataclass(slots=True)
class FeedEntries:
    """Receives the events of a parser (lxml's target interface)."""

    url: str
    """The document's own URL."""
    finish: Callable[[Entry, FeedEntries], None]
    """Takes each entry as soon as it ends."""
    begun: int = 0
    """How many entries have begun."""
    author: str = ""
    """The author of an Atom feed, who wrote the entries that name no other."""
    said: dict[str, str] = field(default_factory=dict)
    """What the feed says in the elements of _OF_THE_FEED."""
    kind: str = ""
    """The name of the root element; empty before the root element."""
    heard: bool = False
    """Set with each event, for whoever wants to know whether any came."""
    closed: bool = False
    """Whether the root element ended. A document that ends before was cut off."""
    _namespace: str = ""
    _path: list[str] = field(default_factory=list)
    _bases: list[str] = field(default_factory=list)
    _entry: Entry | None = None
    _entry_depth: int = 0
    """How many elements are open where the current entry begins."""
    _open: list[Field] = field(default_factory=list)

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self.heard = True
        name = self._enter(tag, attributes)
        paths = _ENTRY_PATHS[self.kind]
        if name == paths[0][-1] and any(tuple(self._path[: len(path)]) == path for path in paths):
            self._begin_entry(attributes)
        elif self._entry is not None:
            self._begin_field(self._entry, name, attributes)

    def _enter(self, tag: str, attributes: Mapping[str, str]) -> str:
        namespace, _, local = tag.rpartition("}")
        namespace = namespace.removeprefix("{")
        if not self._path:
            if self.closed or local not in _ENTRY_PATHS:
                raise NoFeedError
            self.kind, self._namespace = local, namespace
        elif self.kind == "RDF" and len(self._path) == 1:
            self._namespace = namespace  # the elements of RSS 1.0 are in another one than their root
        own = namespace in ("", self._namespace)
        name = local if own else f"{_PREFIXES.get(namespace, '{' + namespace + '}')}{local}"
        base = self._bases[-1] if self._bases else self.url
        self._path.append(name)
        self._bases.append(_join(base, attributes[_BASE]) if _BASE in attributes else base)
        if len(self._path) > _DEPTH_LIMIT:
            raise NoFeedError
        return name

    def _begin_entry(self, attributes: Mapping[str, str]) -> None:
        self.finish_entry()
        if self.begun == ENTRIES_LIMIT:
            raise EnoughError
        self.begun += 1
        self._entry_depth = len(self._path)
        self._entry = Entry(base=self._bases[-1], about=attributes.get(_RDF_ABOUT))

    def _begin_field(self, entry: Entry, name: str, attributes: Mapping[str, str]) -> None:
        outer = self._open[-1] if self._open else None
        if outer is not None and outer.name in _MIXED:  # its elements are its text
            outer.add(" ")
            self._open.append(outer)
            return
        few = {name: value[:_TEXT_LIMIT] for name, value in islice(attributes.items(), _ATTRIBUTES_LIMIT)}
        inner = Field(f"{outer.name}/{name}"[:_TEXT_LIMIT] if outer else name, few, self._bases[-1])
        if len(entry.fields) < _FIELDS_LIMIT:
            entry.fields.append(inner)
        self._open.append(inner)

    def data(self, text: str) -> None:
        self.heard = True
        if self._entry is not None and self._open:
            current = self._open[-1]
            text = text[: max(0, min(self._entry.room, _FIELD_CHARACTERS - current.size))]
            self._entry.room -= len(text)
            current.add(text)
        elif self._path == ["feed", "author", "name"]:
            self.author = (self.author + text)[:1000]
        elif self._entry is None and self._path and (name := self._path[-1]) in _OF_THE_FEED:
            self.said[name] = (self.said.get(name, "") + text)[:40]

    def end(self, _tag: str) -> None:
        self.heard = True
        if len(self._path) == self._entry_depth:
            self.finish_entry()
        elif self._open:
            self._open.pop()
        self._path.pop()
        self._bases.pop()
        self.closed = self.closed or not self._path

    def close(self) -> None:
        """Needed by the parser."""

    def finish_entry(self) -> None:
        """End the current entry, if there is one."""
        entry, self._entry = self._entry, None
        self._open.clear()
        if entry is not None:
            self.finish(entry, self)


def _join(base: str, url: str) -> str:
    try:
        return urljoin(base, url.strip())
    except ValueError:
        return base
