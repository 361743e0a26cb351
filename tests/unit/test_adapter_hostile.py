"""What a stranger writes into a document costs a poll little time and memory."""

from __future__ import annotations

import time

import pytest

from region_tick.adapters.document_text import encoding_of
from region_tick.adapters.plain_text import plain_text
from region_tick.adapters.times import read_time

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
    ],
)
def test_what_nobody_sees_is_taken_out(html: str, text: str) -> None:
    assert plain_text(html, limit=100) == text


def test_a_charset_after_many_blanks_is_soon_looked_for() -> None:
    began = time.process_time()
    assert encoding_of(b"\xe9t\xe9 ", f"text/xml; charset={' ' * 60_000}") == "cp1252"
    assert time.process_time() - began < 1
