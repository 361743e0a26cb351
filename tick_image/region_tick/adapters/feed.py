"""Reads the items of feeds: Atom, RSS, RSS 1.0 (RDF) and JSON Feed, well-formed or not.

A feed that is not well-formed gives what can be read of it. libxml2 goes on after an error; this module only tells what
is lost: where the document breaks off. A document that declares entities is not read, and libxml2 fetches nothing here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lxml.etree import LxmlError, XMLParser

from region_tick.adapters.document_text import CleanText, encoding_of
from region_tick.adapters.feed_entries import PREFIXES, EnoughError, FeedEntries, NoFeedError
from region_tick.adapters.feed_items import ItemMaker, by_links
from region_tick.adapters.json_feed import JsonFeedError, read_json_feed
from region_tick.answer_freshness import seconds_of_feed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from region_tick.adapters import Item
    from region_tick.fetch import Response

_NO_ELEMENT = re.compile(rb"[\s\xef\xbb\xbf]*<\?xml[^<]*").fullmatch
"""Matches XML that is cut off before its first element."""
_BEFORE = "\ufeff\u200b \t\r\n"

_ROOT = re.compile(r"<(?:\w+:)?(?:rss|feed|RDF)(?=([\s/>][^>]*))")
_PAGE = re.compile(r"<html|<!doctype html", re.IGNORECASE)
_SILENCE_LIMIT = 256 * 1024
"""After so many characters without an event, libxml2 collects a tag or a comment: each attribute takes many times its
characters.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """What a feed holds."""

    items: Sequence[Item]
    problem: str | None = None
    """Where the document breaks off, for people; None for a whole document."""
    unidentified: int = 0
    """The number of entries that have nothing to know them by: no id and no link."""
    fresh_seconds: int = 0
    """For how long the feed wants to be left alone; 0 if it does not say."""


def read_feed(response: Response) -> Feed | None:
    """Return the feed of an answer, or None if the document is of another kind."""
    document = response.body
    if document.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{":
        try:
            items, unidentified = read_json_feed(response)
        except JsonFeedError as error:
            return Feed(items=(), problem=str(error))
        return None if items is None else Feed(items=items, unidentified=unidentified)
    made = ItemMaker()
    feed = FeedEntries(url=response.url, finish=made.add)
    try:
        problem = _parse(document, encoding_of(document, response.headers.get("content-type")), feed)
    except NoFeedError:
        return Feed(items=(), problem="the document ends before its first element") if _NO_ELEMENT(document) else None
    fresh_seconds = seconds_of_feed(feed.said)
    return Feed(
        items=by_links(made.items), problem=problem, unidentified=made.unidentified, fresh_seconds=fresh_seconds
    )


def _parse(document: bytes, encoding: str, feed: FeedEntries) -> str | None:
    """Parse the document into `feed`, and return where it breaks off, if it does. Raises NoFeedError."""
    parser = XMLParser(
        target=feed, encoding="utf-8", recover=True, resolve_entities=False, no_network=True, remove_comments=True
    )
    text, silent = CleanText(document, encoding), 0
    try:
        for number, piece in enumerate(text):
            if text.declares_entities:
                return "the document declares entities, which are not read"
            feed.heard = False
            parser.feed((piece if number else _make_ready(piece)).encode(errors="replace"))
            silent = 0 if feed.heard or feed.closed else silent + len(piece)
            if silent > _SILENCE_LIMIT and feed.kind:
                return f"the feed has a tag or a comment that is too long, which ends after line {text.line} if at all"
            if silent > _SILENCE_LIMIT:
                raise NoFeedError
        parser.close()
    except EnoughError:
        return None
    except (NoFeedError, LxmlError, ValueError):
        if not feed.kind:
            raise NoFeedError from None
        return f"the feed is nested too deeply, or broken, about line {text.line}"
    if not feed.kind:
        raise NoFeedError
    if not feed.closed and not text.ends:  # the entry that is open may have half an id
        return f"the feed breaks off in line {text.line}"
    if len(text.entry_lines) > feed.begun:
        return f"the feed is broken at its entry in line {text.entry_lines[feed.begun]}, or shortly before"
    feed.finish_entry()
    return None


def _make_ready(beginning: str) -> str:
    """Return a document from its root element on, with the namespaces that it forgets.

    A declaration goes: it names the bytes' encoding, not the text's. So does what programs print before it by mistake.
    """
    root = _ROOT.search(beginning)
    if root is None or _PAGE.search(beginning, 0, root.start()):
        return beginning.lstrip(_BEFORE)
    return root[0] + _forgotten(root[1], beginning) + beginning[root.end() :]


def _forgotten(root: str, beginning: str) -> str:
    """Return the declarations of well-known namespaces that are used and not declared."""
    return "".join(
        f' xmlns:{prefix}="{uri}"'
        for prefix, uri in PREFIXES.items()
        if f"xmlns:{prefix}" not in root and f"<{prefix}:" in beginning
    )
