"""Polling a URL: what kind of document it is, what of it is an item, and when it is an error."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from region_tick.adapters import Found, Item, Kind
from region_tick.adapters.generic import Generic
from region_tick.fetch import RefusedError, Request, Response
from region_tick.retry import ThrottledError
from tests.unit.asking import URL, Asking, creator, found, response
from tests.unit.feeds import ATOM, BEFORE, ONE, RSS, TIMES, TITLES, WORDS, atom, declared, rdf, rss

LAUGHS = b"<!DOCTYPE rss [<!ENTITY a 'ha'>" + b"".join(
    b"<!ENTITY %c '%b'>" % (98 + level, b"&%c;" % (97 + level) * 10) for level in range(9)
)
LAUGHS += b"]><rss><channel><item><guid>&j;</guid></item></channel></rss>"
OUTSIDE = b'<!DOCTYPE rss [<!ENTITY e SYSTEM "file:///etc/hostname">]><rss><channel><item><guid>&e;</guid></item></channel></rss>'


def poll(answer: Response | bytes | str, **columns: object) -> Found:
    body = answer.encode() if isinstance(answer, str) else answer
    asked = body if isinstance(body, Response) else response(body, etag='"2"')
    return found(Generic().poll(creator(url=URL, **columns), Asking(asked)))


def only(answer: Response | bytes | str) -> Item:
    (item,) = poll(answer).items
    return item


def test_a_feed_gives_its_entries() -> None:
    asking = Asking(response(RSS, etag='"2"', last_modified="Fri"))
    result = found(Generic().poll(creator(url="https://upstream.test/feed", etag='"1"'), asking))
    assert ([item.id for item in result.items], result.etag) == (["1", "https://upstream.test/2"], '"2"')
    assert (result.kind, result.problem, result.counts) == (Kind.FEED, None, {"unidentified": 1})
    assert asking.requests == [Request(url="https://upstream.test/feed", headers={"If-None-Match": '"1"'})]


def test_anything_else_gives_an_item_for_each_version() -> None:
    ids = []
    for body in (b"<html>1", b"<html>2", b"<html>1"):
        result = poll(body)
        (item,) = result.items
        ids.append(item.id)
        assert (item.url, result.kind) == (URL, Kind.PAGE)
    assert ids[0] == ids[2] != ids[1]


def test_a_creator_without_a_url_is_refused_without_a_request() -> None:
    asking = Asking()
    with pytest.raises(RefusedError, match="has no url"):
        Generic().poll(creator(), asking)
    assert asking.requests == []


@pytest.mark.parametrize("body", [b"", b" \n", b"\xef\xbb\xbf\n"])
@pytest.mark.parametrize("status", [200, 203])
def test_an_empty_answer_is_no_version_of_anything(status: int, body: bytes) -> None:
    with pytest.raises(RefusedError, match=f"answers {status} without content"):
        poll(response(body, status))


@pytest.mark.parametrize("status", [202, 204, 205, 206])
def test_what_is_not_the_document_is_refused(status: int) -> None:
    with pytest.raises(RefusedError, match=f"answers {status} without the document"):
        poll(response(RSS, status))
    with pytest.raises(ThrottledError) as caught:
        poll(response(RSS, status, retry_after="120"))
    assert caught.value.seconds == 120.0


@pytest.mark.parametrize("body", [b"<html>under maintenance", b'{"error": 1}', b"\x00\xff", b"busy"])
def test_a_feed_stays_a_feed(body: bytes) -> None:
    with pytest.raises(RefusedError, match="answers text/html that is no feed, where a feed was"):
        poll(response(body, content_type="text/html"), kind="feed")


def test_a_page_that_becomes_a_feed_is_one() -> None:
    assert poll(RSS, kind="page").kind is Kind.FEED
    assert poll(b"<html>", kind="page").kind is Kind.PAGE


# What a document begins with, and its encoding


@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE)
@pytest.mark.parametrize("head", ["", '<?xml version="1.0" encoding="utf-8"?>'])
def test_what_stands_before_a_feed_does_not_matter(before: str, head: str) -> None:
    result = poll(before + rss(ONE.format("a"), ONE.format("a").replace("1", "2"), head=head))
    assert [item.id for item in result.items] == ["1", "2"]
    assert (result.problem, result.etag) == (None, '"2"')


@pytest.mark.parametrize(("encoding", "words"), WORDS.items(), ids=WORDS)
def test_a_declared_encoding_is_read(encoding: str, words: str) -> None:
    assert only(declared(encoding, words)).title == words


@pytest.mark.parametrize(("encoding", "words"), WORDS.items(), ids=WORDS)
def test_an_encoding_of_the_answer_is_read(encoding: str, words: str) -> None:
    body = rss(ONE.format(words)).encode(encoding)
    assert only(response(body, content_type=f'text/xml; charset="{encoding.upper()}"')).title == words


@pytest.mark.parametrize(
    ("said", "real", "words"),
    [
        ("utf-8", "windows-1252", "Grüße “x”"),
        ("utf-16", "utf-8", "Grüße 中文"),
        ("iso-8859-1", "windows-1252", "“x” €"),
        ("us-ascii", "utf-8", "Grüße 中文"),
        ("iso-8859-1", "utf-8", "Grüße 中文"),
        ("klingon", "utf-8", "Grüße"),
        ("zlib", "utf-8", "Grüße"),
        ("unicode_escape", "utf-8", "Grüße"),
    ],
)
def test_a_wrong_declaration_does_no_harm(said: str, real: str, words: str) -> None:
    body = rss(ONE.format(words), head=f'<?xml version="1.0" encoding="{said}"?>').encode(real)
    assert only(body).title == words


def test_an_odd_byte_costs_itself_alone() -> None:
    body = rss(ONE.format("Grüße, 中文")).encode().replace(b",", b"\xff")
    assert only(body).title == "Grüße\ufffd 中文"


# What is broken


@pytest.mark.parametrize("end", range(10, 400, 7))
def test_of_a_feed_that_breaks_off_the_whole_entries_are_kept_and_no_validator(end: int) -> None:
    whole = rss(*(f"<guid>guid-{number}</guid><title>Title</title>" for number in range(10))).encode()
    body = whole[: len(whole) - end]
    result = poll(body, kind="feed")
    assert [item.id for item in result.items] == [f"guid-{number}" for number in range(len(result.items))]
    assert body.count(b"</item>") <= len(result.items) <= body.count(b"</title></")  # an end tag may be cut
    assert result.problem == f"upstream.test: the feed breaks off in line {body.count(chr(10).encode()) + 1}"
    assert (result.etag, result.last_modified, result.kind) == (None, None, Kind.FEED)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"<rss>", "the feed breaks off in line 1"),
        (b"<?xml version='1.0'?>\n<rss><channel><tit", "the feed breaks off in line 2"),
        (b"<?xml version='1.0'", "the document ends before its first element"),
        (b"\n<?xml version='1.0'?>\n<rss vers", "the feed breaks off in line 3"),
        (b"<rss version='2.0' xmlns", "the feed breaks off in line 1"),
        (b'{"version": "https:\\/\\/jsonfeed.org\\/version\\/1",\n"items": [{"i', "the feed cannot be read in line 2"),
        (b"<feed>" * 200, "the feed is nested too deeply"),
        (LAUGHS, "the document declares entities, which are not read"),
        (OUTSIDE, "the document declares entities, which are not read"),
    ],
)
def test_a_feed_without_a_readable_entry_is_an_error_with_the_place(body: bytes, place: str) -> None:
    with pytest.raises(RefusedError, match=rf"upstream\.test: {place}"):
        poll(body)


@pytest.mark.parametrize(
    "broken",
    [
        "<guid>2</guid><description>a <b>bold word</description>",
        "<guid>2</guid><description>a<br>b</description>",
        "<guid>2</guid><enclosure url='https://upstream.test/?a=1&b=2'/>",
        "<guid>2</guid><enclosure url=https://upstream.test/>",
        "<guid>2</guid><media:thumbnail url='x'/><dc:creator>A</dc:creator>",
        "<guid>2</guid><odd:thing>x</odd:thing>",
        "<guid>2</guid><title>\x00\x0c</title>",
        "<guid>2</guid><title>&#8;</title>",
        "<guid>2</guid><title>1 << 2 && 3</title>",
        "<guid>2</guid><!-- <item> -->",
        "<guid>2</guid><description><![CDATA[<item> &amp; </rss>]]></description>",
    ],
)
def test_an_error_within_an_entry_costs_no_other_entry(broken: str) -> None:
    result = poll(rss("<guid>1</guid>", broken, "<guid>3</guid>", "<guid>4</guid>"))
    assert [item.id for item in result.items] == ["1", "2", "3", "4"]
    assert (result.problem, result.etag) == (None, '"2"')


def test_entries_that_are_lost_are_a_problem_with_the_place() -> None:
    result = poll(rss("<guid>1</guid>", "<guid>2</guid></b></item></item>", "<guid>3</guid>"))
    assert [item.id for item in result.items] == ["1", "2"]
    assert result.problem == "upstream.test: the feed is broken at its entry in line 4, or shortly before"
    assert result.etag is None


@pytest.mark.parametrize("after", ["\n<!-- served in 3 ms -->", "<script>x()</script>", "\n\n", "\x00", "</html>"])
def test_what_stands_behind_a_feed_does_not_matter(after: str) -> None:
    assert poll(rss(ONE) + after).problem is None


# What an entry is


@pytest.mark.parametrize(("written", "read"), TITLES.values(), ids=TITLES)
def test_a_title_is_what_a_person_reads(written: str, read: str) -> None:
    assert only(rss(ONE.format(written))).title == read


@pytest.mark.parametrize(
    ("title", "read"),
    [
        ("<title>a &lt;b&gt; c</title>", "a <b> c"),
        ('<title type="text">a &lt;b&gt; c</title>', "a <b> c"),
        ('<title type="html">a &lt;b&gt;c&lt;/b&gt;&amp;nbsp;d</title>', "a c d"),
        ('<title type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml">a <b>c</b></div></title>', "a c"),
    ],
)
def test_atom_says_what_a_title_is(title: str, read: str) -> None:
    assert only(atom(f"<id>1</id>{title}")).title == read


@pytest.mark.parametrize(("written", "meant"), TIMES.items())
def test_a_time_is_read_if_it_is_certain(written: str, meant: str | None) -> None:
    item = only(rss(f"<guid>1</guid><pubDate>{written}</pubDate>"))
    assert item.published_at == (None if meant is None else datetime.fromisoformat(meant).replace(tzinfo=UTC))


@pytest.mark.parametrize(
    "element",
    [
        '<dc:date xmlns:dc="http://purl.org/dc/elements/1.1/">2015-03-06T22:40:57+01:00</dc:date>',
        "<dc:date>2015-03-06T22:40:57+01:00</dc:date>",
        '<a:updated xmlns:a="http://www.w3.org/2005/Atom">2015-03-06T21:40:57Z</a:updated>',
        "<pubDate>nonsense</pubDate><dc:date>2015-03-06T21:40:57Z</dc:date>",
    ],
)
def test_a_time_may_come_from_another_namespace(element: str) -> None:
    assert only(rss(f"<guid>1</guid>{element}")).published_at == datetime(2015, 3, 6, 21, 40, 57, tzinfo=UTC)


@pytest.mark.parametrize(
    ("elements", "url"),
    [
        ("<link>https://e.test/1</link><atom:link href='https://e.test/wrong'/>", "https://e.test/1"),
        ("<atom:link href='https://e.test/wrong'/><link>https://e.test/1</link>", "https://e.test/1"),
        ("<atom:link href='https://e.test/1'/>", "https://e.test/1"),
        ("<link>/posts/1</link>", "https://upstream.test/posts/1"),
        ("<link>posts/1?a=1&amp;b=2</link>", "https://upstream.test/blog/posts/1?a=1&b=2"),
        ("<link>//cdn.test/1</link>", "https://cdn.test/1"),
        ("<link>\n https://e.test/1\n</link>", "https://e.test/1"),
        ("<link/><guid>https://e.test/1</guid>", "https://e.test/1"),
        ("<guid isPermaLink='false'>https://e.test/1</guid>", None),
        ("<link>http://[broken</link>", "http://[broken"),
    ],
)
def test_a_link_is_the_documents_own_and_absolute(elements: str, url: str | None) -> None:
    item = only(rss(f"{elements}<guid>1</guid>"))
    assert item.url == url


def test_a_base_within_the_document_counts() -> None:
    root = '<feed xmlns="http://www.w3.org/2005/Atom" xml:base="https://base.test/a/">'
    entries = ('<id>1</id><link href="x"/>', '<id>2</id><link xml:base="/b/" href="x"/>')
    assert [item.url for item in poll(atom(*entries, root=root)).items] == [
        "https://base.test/a/x",
        "https://base.test/b/x",
    ]


def test_ids_that_say_nothing_give_way_to_links() -> None:
    items = [f"<guid>N/A</guid><link>https://e.test/{number}</link>" for number in range(3)]
    assert [item.id for item in poll(rss(*items)).items] == [f"https://e.test/{number}" for number in range(3)]
    twice = "<guid>1</guid><link>https://e.test/1</link>"
    assert {item.id for item in poll(rss(twice, twice)).items} == {"1"}
    assert [item.id for item in poll(rss("<guid>N/A</guid>", "<guid>N/A</guid>")).items] == ["N/A"] * 2


def test_entries_with_nothing_to_know_them_by_are_counted() -> None:
    assert poll(rss("<title>a</title>", "<guid>1</guid>", "<guid/>")).counts == {"unidentified": 2}


def test_author_summary_and_the_raw_entry_of_rss() -> None:
    item = only(
        rss(
            "<guid isPermaLink='false'>1</guid><dc:creator>Ann</dc:creator>"
            "<description>&lt;p&gt;Hello&lt;/p&gt; you</description>"
            "<category>a</category><category>b</category><enclosure url='https://e.test/a.mp3' length='3'/>",
            root='<rss xmlns:dc="http://purl.org/dc/elements/1.1/">',
        )
    )
    assert (item.author, item.summary) == ("Ann", "Hello you")
    assert item.raw == {
        "guid@isPermaLink": "false",
        "guid": "1",
        "dc:creator": "Ann",
        "description": "<p>Hello</p> you",
        "category": ["a", "b"],
        "enclosure@url": "https://e.test/a.mp3",
        "enclosure@length": "3",
    }


def test_author_and_summary_of_atom() -> None:
    own = "<id>1</id><author><name>Ann</name><email>a@e.test</email></author><content type='html'>&lt;p&gt;x</content>"
    document = atom(own, "<id>2</id><summary>s</summary>").replace(
        "<title>T", "<author><name>Bob</name></author><title>T"
    )
    first, second = poll(document).items
    assert (first.author, first.summary, second.author, second.summary) == ("Ann", "x", "Bob", "s")


def test_a_raw_entry_is_bounded() -> None:
    long = "".join(f"<x{number}>{'y' * 3000}</x{number}>" for number in range(50))
    items = poll(rss(*(f"<guid>{number}</guid>{long}" for number in range(30)))).items
    assert [item.id for item in items] == [str(number) for number in range(30)]
    sizes = [len(json.dumps(item.raw)) for item in items if item.raw is not None]
    assert max(sizes) <= 16_000
    assert sum(sizes) < 2_000_000


# Other formats


def test_rss_1_0() -> None:
    item = only(
        rdf(
            '<item rdf:about="https://e.test/1"><title>One</title><link>https://e.test/1</link>'
            "<description>d</description><dc:date>2015-03-06T21:40:57Z</dc:date><dc:creator>Ann</dc:creator></item>"
        )
    )
    assert (item.id, item.url, item.title) == ("https://e.test/1", "https://e.test/1", "One")
    assert (item.published_at, item.author, item.summary) == (datetime(2015, 3, 6, 21, 40, 57, tzinfo=UTC), "Ann", "d")


@pytest.mark.parametrize(
    "root", ["<feed>", '<feed xmlns="http://purl.org/atom/ns#">', '<feed xmlns="https://www.w3.org/2005/Atom">']
)
def test_atom_by_another_name(root: str) -> None:
    item = only(atom("<id>1</id><title>One</title><issued>2015-03-06T21:40:57Z</issued>", root=root))
    assert (item.id, item.title, item.published_at) == ("1", "One", datetime(2015, 3, 6, 21, 40, 57, tzinfo=UTC))


JSON_FEED = {
    "version": "https://jsonfeed.org/version/1.1",
    "title": "T",
    "authors": [{"name": "Ann"}],
    "items": [
        {"id": 1, "url": "/1", "title": "One", "content_html": "<p>x", "date_published": "2015-03-06T22:40:57+01:00"},
        {"id": "2", "content_text": "y", "author": {"name": "Bob"}, "_own": {"nul": "a\x00b", "inf": 1e999}},
        {"title": "nothing to know it by"},
        "no entry",
    ],
}


@pytest.mark.parametrize("mark", ["", "\ufeff", "\n"])
def test_json_feed(mark: str) -> None:
    result = poll(mark + json.dumps(JSON_FEED))
    first, second = result.items
    assert (first.id, first.url, first.title, first.author) == ("1", "https://upstream.test/1", "One", "Ann")
    assert (first.summary, second.summary, second.author) == ("x", "y", "Bob")
    assert first.published_at == datetime(2015, 3, 6, 22, 40, 57, tzinfo=UTC) - timedelta(hours=1)
    assert second.raw is not None
    assert second.raw["_own"] == {"nul": "ab", "inf": None}
    assert (result.kind, result.counts) == (Kind.FEED, {"unidentified": 2})


def test_youtubes_feed_is_atom() -> None:
    assert [item.id for item in poll(ATOM).items] == ["yt:video:abc", "b"]
