"""No document costs more than its share, whatever it holds."""

from __future__ import annotations

import subprocess
import sys
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_tick.adapters.feed import read_feed
from region_tick.adapters.feed_entries import ENTRIES_LIMIT
from tests.unit.asking import response
from tests.unit.feeds import RSS, rss

if TYPE_CHECKING:
    from collections.abc import Iterator

BEFORE = [b"<rss><channel>", b"<rss><channel><item>", b"<rss><channel><item><guid>"]
FILLINGS = [
    b"<x/>",
    b"<item/>",
    b"<item><x/><guid>1</guid></item>",
    b"<item>",
    b"x",
    b"&#65;",
    b"&amp;",
    b"<x a='1' b='2'/>",
    b"<![CDATA[x]]>",
    b"]]>",
    b"<!--",
    b"< ",
    b"\n",
    b"\xc3\xa9",
    b"\xff",
    b"<item><guid>1</guid>" + b"<x>y</x>" * 200 + b"</item>",
]


def test_a_feed_without_entries_is_a_feed() -> None:
    for document in (b'<feed xmlns="http://www.w3.org/2005/Atom"/>', b"<rss/>", b"<rss><channel/></rss>"):
        feed = read_feed(response(document))
        assert feed is not None
        assert (list(feed.items), feed.problem) == ([], None)


@pytest.mark.parametrize("document", [b"", b"<html><body>", b"<html/>", b'{"a": 1}', b"{", b"\x00", b"<opml/>", b"<"])
def test_what_is_no_feed_is_none(document: bytes) -> None:
    assert read_feed(response(document)) is None


def test_a_long_feed_is_read_from_its_beginning() -> None:
    feed = read_feed(response(rss(*(f"<guid>{number}</guid>" for number in range(ENTRIES_LIMIT + 5))).encode()))
    assert feed is not None
    assert [item.id for item in feed.items] == [str(number) for number in range(ENTRIES_LIMIT)]
    assert feed.problem is None


def test_elements_elsewhere_are_none_of_an_entry() -> None:
    entry = b"<item><media><guid>1</guid></media><guid>2</guid><guid>3</guid></item>"
    channel = b"<guid>0</guid>" + entry + b"<x><item><guid>4</guid></item></x>"
    feed = read_feed(response(b"<rss><channel>" + channel + b"</channel></rss>"))
    assert feed is not None
    assert [item.id for item in feed.items] == ["2"]


@pytest.mark.parametrize("filling", FILLINGS[:-1], ids=range(len(FILLINGS) - 1))
@pytest.mark.parametrize("before", BEFORE)
def test_a_large_document_takes_little_memory(before: bytes, filling: bytes) -> None:
    document = before + filling * (2**17 // len(filling))
    tracemalloc.start()
    try:
        read_feed(response(document))
        assert tracemalloc.get_traced_memory()[1] < 5 * 2**20
    finally:
        tracemalloc.stop()


def test_the_parser_itself_takes_little_memory() -> None:
    """libxml2's memory is not traced: a process of its own, with a body as large as can be."""
    code = (
        "import resource; from tests.unit.test_adapter_feed import largest, read_feed, response\n"
        "read_feed(response(b'<rss/>')); before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for document in largest():\n    read_feed(response(document))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert int(done.stdout) < 45_000, "kB more than before"


def largest() -> Iterator[bytes]:
    """Yield documents of 5 MiB: many small entries, many entries, one long text."""
    size = 5 * 2**20
    for item in (b"<item><guid>1</guid>" + b"<x>y</x>" * 200 + b"</item>", b"<item>" + b"words " * 800 + b"</item>"):
        yield b"<rss><channel>" + item * (size // len(item))
    yield b"<rss><channel><item><guid>" + b"x" * size


@pytest.mark.parametrize("filling", FILLINGS, ids=range(len(FILLINGS)))
def test_a_large_document_takes_little_time(filling: bytes) -> None:
    document = b"<rss><channel><item><title>" + filling * (2**20 // len(filling))
    began = time.process_time()
    read_feed(response(document))
    assert time.process_time() - began < 10


@given(st.binary(max_size=200))
def test_no_document_breaks_it(document: bytes) -> None:
    read_feed(response(document))
    read_feed(response(RSS.replace(b"yesterday", document)))
    read_feed(response(RSS.replace(b"<item>", document)))


@given(st.text(max_size=100))
def test_no_text_breaks_it(text: str) -> None:
    encoded = text.encode("utf-8", "surrogatepass")
    read_feed(response(RSS.replace(b"yesterday", encoded), content_type=f"text/xml; charset={text[:20]}"))
