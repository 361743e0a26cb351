"""For how long an answer is fresh, as it says itself, and how far that is believed."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from urllib3 import HTTPHeaderDict

from region_tick.adapters import Found, NotModified
from region_tick.adapters.generic import Generic
from region_tick.answer_freshness import LONGEST_SECONDS, fresh_until, seconds_of_feed, seconds_of_headers
from tests.unit.asking import URL, Asking, creator, found, response

DATE = "Tue, 24 Nov 2026 09:00:00 GMT"
LATER = "Tue, 24 Nov 2026 09:10:00 GMT"
AT = datetime(2026, 11, 24, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"cache-control": "max-age=600"}, 600),
        ({"cache-control": 'Public, MAX-AGE = "600" , must-revalidate'}, 600),
        ({"cache-control": "max-age=600", "age": "100"}, 500),
        ({"cache-control": "max-age=600", "age": "700"}, 0),
        ({"cache-control": "max-age=600", "age": "old"}, 600),
        ({"cache-control": "max-age=0", "expires": LATER, "date": DATE}, 0),
        ({"cache-control": "max-age=600", "expires": DATE, "date": DATE}, 600),
        ({"cache-control": "max-age=-1"}, 0),
        ({"cache-control": "max-age=soon"}, 0),
        ({"cache-control": "max-age=" + "9" * 12}, LONGEST_SECONDS),
        ({"cache-control": "max-age=" + "9" * 5000}, 0),
        ({"cache-control": "s-maxage=600"}, 0),
        ({"cache-control": "no-cache, max-age=600"}, 0),
        ({"cache-control": "no-store, max-age=600"}, 0),
        ({"cache-control": 'no-cache="set-cookie", max-age=600'}, 600),
        ({"expires": LATER, "date": DATE}, 600),
        ({"expires": DATE, "date": LATER}, 0),
        ({"expires": "0"}, 0),
        ({"expires": "-1"}, 0),
        ({"expires": "Thu, 19 Nov 1981 08:52:00 GMT"}, 0),
    ],
)
def test_what_headers_say(headers: dict[str, str], seconds: int) -> None:
    assert seconds_of_headers(HTTPHeaderDict(headers)) == seconds


@pytest.mark.parametrize("piece", ["a", "a ", "a=", ",", '"', 'a="', " "])
def test_any_header_is_read_in_no_time(piece: str) -> None:
    began = time.process_time()
    seconds_of_headers({"cache-control": piece * (200_000 // len(piece))})
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ({}, 0),
        ({"ttl": " 15\n"}, 900),
        ({"ttl": "0"}, 0),
        ({"ttl": "often"}, 0),
        ({"ttl": "999999999999"}, LONGEST_SECONDS),
        ({"sy:updatePeriod": " hourly\n"}, 3600),
        ({"sy:updatePeriod": "Daily", "sy:updateFrequency": "4"}, 21_600),
        ({"sy:updatePeriod": "hourly", "sy:updateFrequency": "0"}, 3600),
        ({"sy:updatePeriod": "often", "sy:updateFrequency": "2"}, 0),
        ({"sy:updateFrequency": "2"}, 0),
        ({"sy:updatePeriod": "hourly", "ttl": "120"}, 7200),
    ],
)
def test_what_a_feed_says(said: dict[str, str], seconds: int) -> None:
    assert seconds_of_feed(said) == seconds


@pytest.mark.parametrize(
    ("seconds", "at_most", "minutes"), [(0, 3600, None), (600, 3600, 10), (7200, 3600, 60), (600, 0, None)]
)
def test_it_is_believed_up_to_a_limit_from_the_time_of_the_tick(
    seconds: int, at_most: int, minutes: int | None
) -> None:
    until = None if minutes is None else AT + timedelta(minutes=minutes)
    assert fresh_until(AT, seconds, at_most=at_most) == until


ITEM = "<item><guid>1</guid><ttl>99</ttl></item>"
SY = 'xmlns:sy="http://purl.org/rss/1.0/modules/syndication/"'
TWICE_A_DAY = "<sy:updatePeriod>daily</sy:updatePeriod><sy:updateFrequency>2</sy:updateFrequency>"
RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"'


@pytest.mark.parametrize(
    ("document", "seconds"),
    [
        (f"<rss><channel><ttl>15</ttl>{ITEM}</channel></rss>", 900),
        (f"<rss><channel>{ITEM}<ttl>15</ttl></channel></rss>", 900),
        (f"<rss><channel>{ITEM}</channel></rss>", 0),
        (f"<rss {SY}><channel><sy:updatePeriod>\n hourly \n</sy:updatePeriod>{ITEM}</channel></rss>", 3600),
        (f"<rss><channel><sy:updatePeriod>hourly</sy:updatePeriod>{ITEM}</channel></rss>", 3600),
        (
            f"<rdf:RDF {RDF} {SY}><channel>{TWICE_A_DAY}</channel><item rdf:about='https://a.test/1'/></rdf:RDF>",
            43_200,
        ),
        (
            f'<feed xmlns="http://www.w3.org/2005/Atom" {SY}>{TWICE_A_DAY}<entry><id>1</id></entry></feed>',
            43_200,
        ),
        (f"<rss><channel><ttl>15</ttl>{ITEM}<item>", 0),
    ],
    ids=["ttl", "after the items", "of an item", "sy", "sy undeclared", "RSS 1.0", "Atom", "broken off"],
)
def test_a_feed_is_fresh_as_long_as_it_says(document: str, seconds: int) -> None:
    asked = Asking(response(document.encode(), etag='"1"'))
    assert found(Generic().poll(creator(url=URL), asked)).fresh_seconds == seconds


@pytest.mark.parametrize(
    ("headers", "known", "seconds"),
    [({}, 0, 0), ({}, 900, 900), ({"cache_control": "max-age=60"}, 900, 60), ({"cache_control": "max-age=60"}, 0, 60)],
)
def test_a_304_says_it_anew_or_leaves_it_as_it_was(headers: dict[str, str], known: int, seconds: int) -> None:
    asked = Asking(response(status=304, **headers))
    result = Generic().poll(creator(url=URL, etag='"1"', fresh_seconds=known), asked)
    assert isinstance(result, NotModified)
    assert result.fresh_seconds == seconds


def test_the_longer_one_counts_of_header_and_feed() -> None:
    for age, seconds in ((60, 900), (1800, 1800)):
        document = b"<rss><channel><ttl>15</ttl></channel></rss>"
        result: Found = found(
            Generic().poll(creator(url=URL), Asking(response(document, cache_control=f"max-age={age}")))
        )
        assert result.fresh_seconds == seconds
