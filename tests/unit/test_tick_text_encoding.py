"""text_encoding.py: what a database of each encoding can hold. Postgres: test_database_settings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_tick.text_encoding import NotUtf8, OutOfRange, Unreadable, escape

ENCODINGS = ["UTF8", "SQL_ASCII", "LATIN1", "LATIN9", "WIN1252", "KOI8R", "EUC_JP", "EUC_KR", "EUC_TW", "unheard of"]


@pytest.mark.parametrize(
    ("encoding", "text", "held"),
    [
        ("UTF8", "Łódź 🚀", "Łódź 🚀"),
        ("SQL_ASCII", "Łódź 🚀", "Łódź 🚀"),
        ("UTF8", "a\0b \ud83d", r"ab \ud83d"),
        ("LATIN1", "Zürich €", r"Zürich \u20ac"),
        ("LATIN9", "Zürich €", "Zürich €"),
        ("WIN1252", "“Zürich” ł 🚀", r"“Zürich” \u0142 \U0001f680"),
        ("EUC_JP", "東京 ¥ 〜", r"東京 \xa5 \u301c"),
        ("EUC_KR", "서울 갂", r"서울 \uac02"),
        ("EUC_TW", "臺北", r"\u81fa\u5317"),
    ],
)
def test_a_character_that_the_database_cannot_hold_is_an_escape(encoding: str, text: str, held: str) -> None:
    assert escape(text, encoding) == held


@given(st.text(), st.sampled_from(ENCODINGS))
def test_what_is_held_stays_as_it_is(text: str, encoding: str) -> None:
    held = escape(text, encoding)
    assert escape(held, encoding) == held
    assert "\0" not in held
    held.encode()


@pytest.mark.parametrize("kind", [NotUtf8, OutOfRange])
def test_an_unreadable_value_is_a_text_that_says_what_to_write(kind: type[Unreadable]) -> None:
    assert kind("infinity") == "infinity"
    assert "write" in kind.problem
