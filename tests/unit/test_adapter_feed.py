"""Feeds as they are written, well and badly."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_tick.adapters import Item
from region_tick.adapters.feed import ENTRIES_LIMIT, parse_feed, rfc3339
from tests.unit.feeds import ATOM, RSS

LAUGHS = b"""<!DOCTYPE rss [<!ENTITY a "%b">%b]><rss><channel><item><guid>&i;</guid></item></channel></rss>""" % (
    b"lol" * 1000,
    b"".join(b'<!ENTITY %c "%b">' % (98 + n, b"&%c;" % (97 + n) * 100) for n in range(8)),
)
OUTSIDE = b'<!DOCTYPE rss [<!ENTITY e SYSTEM "file:///etc/hostname">]><rss><channel><item><guid>&e;</guid></item></channel></rss>'


def test_atom() -> None:
    assert parse_feed(ATOM) == [
        Item(
            id="yt:video:abc",
            url="https://upstream.test/abc",
            title="One & more",
            published_at=datetime(2015, 3, 6, 21, 40, 57, tzinfo=UTC),
        ),
        Item(id="b", url="https://upstream.test/b", published_at=datetime(2015, 3, 9, 19, 5, 24, tzinfo=UTC)),
    ]


def test_rss() -> None:
    assert parse_feed(RSS) == [
        Item(
            id="1",
            url="https://upstream.test/1",
            title="One",
            published_at=datetime(2015, 3, 6, 21, 40, 57, tzinfo=UTC),
        ),
        Item(id="https://upstream.test/2", url="https://upstream.test/2"),
    ]


def test_a_feed_without_entries_is_a_feed() -> None:
    assert parse_feed(b'<feed xmlns="http://www.w3.org/2005/Atom"/>') == []
    assert parse_feed(b"<rss/>") == []


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<html><body>",
        b"<html/>",
        b'{"a": 1}',
        b"\x00",
        b'<?xml version="1.0" encoding="klingon"?><rss/>',
        b"<rss>",
        LAUGHS,
        OUTSIDE,
    ],
    ids=range(9),
)
def test_what_is_no_feed_is_none(document: bytes) -> None:
    assert parse_feed(document) is None


@pytest.mark.parametrize("text", ["", "yesterday", "2015-13-01T00:00:00Z", "0001-01-01T00:00:00+14:00"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert rfc3339(text) is None


def test_a_time_is_in_utc_whatever_its_offset() -> None:
    moment = rfc3339("2015-03-06T23:00:00+23:00")
    assert moment == datetime(2015, 3, 6, tzinfo=UTC)
    assert moment.tzinfo is UTC
    assert rfc3339("2015-03-06T23:00:00") == datetime(2015, 3, 6, 23, tzinfo=UTC)


def test_a_long_feed_is_read_from_its_beginning() -> None:
    items = b"".join(b"<item><guid>%d</guid></item>" % number for number in range(ENTRIES_LIMIT + 5))
    found = parse_feed(b"<rss><channel>" + items + b"</channel></rss>")
    assert found is not None
    assert [item.id for item in found] == [str(number) for number in range(ENTRIES_LIMIT)]


def test_elements_elsewhere_are_none_of_an_entry() -> None:
    entry = b"<item><media><guid>1</guid></media><guid>2</guid><guid>3</guid></item>"
    channel = b"<guid>0</guid>" + entry + b"<x><item><guid>4</guid></item></x>"
    found = parse_feed(b"<rss><channel>" + channel + b"</channel><item><guid>5</guid></item></rss>")
    assert found == [Item(id="2")]


@pytest.mark.parametrize("filling", [b"<x/>", b"<item/>", b"<item><x/><guid>1</guid></item>", b"<item>", b"x"])
@pytest.mark.parametrize("before", [b"<rss><channel>", b"<rss><channel><item>", b"<rss><channel><item><guid>"])
def test_a_large_document_takes_little_memory(before: bytes, filling: bytes) -> None:
    document = before + filling * (2**20 // len(filling))
    tracemalloc.start()
    try:
        parse_feed(document)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=200))
def test_no_document_breaks_it(document: bytes) -> None:
    parse_feed(document)
    parse_feed(RSS.replace(b"yesterday", document.replace(b"<", b"").replace(b"&", b"")))
