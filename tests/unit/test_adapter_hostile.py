"""What a stranger writes into a document costs a poll little time and memory."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from region_tick.adapters.document_text import encoding_of
from region_tick.adapters.feed import read_feed
from region_tick.adapters.plain_text import plain_text
from region_tick.adapters.times import read_time
from tests.unit.asking import response

if TYPE_CHECKING:
    from pathlib import Path

BLANKS = " " * 15_000


@pytest.mark.parametrize(
    "text",
    [
        f"10:00{BLANKS}!",
        f"10:00 GMT{BLANKS}+01:00{BLANKS}(x){BLANKS}!",
        f"10:00{'(' * 15_000}",
        "10:00:00." + "1" * 15_000 + "x",
    ],
    ids=["blanks", "blanks between", "parentheses", "digits"],
)
def test_a_time_that_is_none_is_soon_known_as_none(text: str) -> None:
    began = time.process_time()
    assert read_time(text) is None
    assert time.process_time() - began < 1


def test_blanks_around_a_time_and_in_it_do_not_matter() -> None:
    assert read_time(f"{BLANKS}2015-03-06 22:40:57   CET{BLANKS}") == read_time("2015-03-06T21:40:57Z")


@pytest.mark.parametrize(
    "piece", ["a-", "<a-", "<!--", "<script>", "<style ", "</script ", "<a", "<", "&", "&#", " "], ids=range(11)
)
@pytest.mark.parametrize("before", ["", "<", "<a", "<!--", "<script>"])
def test_any_title_is_read_in_no_time(piece: str, before: str) -> None:
    began = time.process_time()
    plain_text(before + piece * (400_000 // len(piece)), limit=50_000)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("a<script>1</script>b<STYLE x>2</style >c<!-- <b> -->d", "a b c d"),
        ("<!-- a <script>b --> c</script>d", "c d"),
        ("a<!-- b<i>c</i>", "a<!-- bc"),
        ("<scripture>a</scripture>", "a"),
        (f"&#65;&#{'9' * 5000};", "A\ufffd"),
    ],
)
def test_what_nobody_sees_is_taken_out(html: str, text: str) -> None:
    assert plain_text(html, limit=1000) == text


def test_a_charset_after_many_blanks_is_soon_looked_for() -> None:
    began = time.process_time()
    assert encoding_of(b"\xe9t\xe9 ", f"text/xml; charset={' ' * 60_000}") == "cp1252"
    assert time.process_time() - began < 1


SIZE = 5 * 2**20
VERSION = b'{"version":"https://jsonfeed.org/version/1.1","items":['
LARGE = {
    "JSON that is no feed": lambda: b'{"a":[' + b"[]," * (SIZE // 3) + b"0]}",
    "JSON of a feed": lambda: VERSION + b"[]," * (SIZE // 3) + b"0]}",
    "JSON within a megabyte": lambda: VERSION + b'{"":0},' * 140_000 + b"0]}",
    "as many values as can be": lambda: VERSION + b'{"":0},' * 24_900 + b'"' + b"x" * 800_000 + b'"]}',
    "words": lambda: VERSION + b'{"id":"1","content_text":"' + b"ab " * 330_000 + b'"}]}',
    "more words": lambda: VERSION + b'{"id":"1","content_text":"' + b"ab " * (SIZE // 3) + b'"}]}',
    "attributes": lambda: b"<rss><channel><item " + b"".join(b'a%x="" ' % number for number in range(531_000)),
    "attributes with marks": lambda: b"<rss><channel><item " + b"".join(b'a%x=">" ' % n for n in range(400_000)),
    "a comment in a tag": lambda: b"<rss><channel><item b='<!--'" + b"".join(b' a%x=""' % n for n in range(500_000)),
    "long tags": lambda: b"<rss><channel>" + (b"<x " + b"".join(b'a%x="" ' % n for n in range(25_000)) + b"/>") * 20,
    "namespaces": lambda: b"<rss " + b"".join(b'xmlns:a%x="u" ' % number for number in range(300_000)),
    "a comment": lambda: b"<rss><channel><!--" + b"x" * SIZE,
}  # fmt: skip
PEAK = """
import pathlib, sys
from tests.unit.test_adapter_hostile import read_feed, response

def peak():
    return int(pathlib.Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])

document = response(pathlib.Path(sys.argv[1]).read_bytes())
read_feed(response(b"<rss/>"))
before = peak()
read_feed(document)
print(peak() - before)
"""


@pytest.mark.parametrize("name", LARGE)
def test_the_largest_document_takes_little_memory(name: str, tmp_path: Path) -> None:
    """A process of its own, because only a process has a peak: a quarter of what a tick's pod has left."""
    (tmp_path / "document").write_bytes(LARGE[name]())
    command = [sys.executable, "-c", PEAK, str(tmp_path / "document")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert int(done.stdout) < 22_000, "kB more than before"


def test_an_endless_tag_leaves_what_stands_before_it() -> None:
    entry = b"<rss><channel><item><guid>1</guid></item>\n<item "
    feed = read_feed(response(entry + b"".join(b'a%x="" ' % number for number in range(100_000))))
    assert feed is not None
    assert [item.id for item in feed.items] == ["1"]
    assert feed.problem == "the feed has a tag or a comment that is too long, which ends after line 2 if at all"
