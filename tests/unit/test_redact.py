"""Secrets that are taken out of kept texts: those of URLs, those with a name, and those of the process's variables."""

from __future__ import annotations

import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_tick.redact import REDACTED, SHORTEST, redact, secrets_of

VARIABLES = {
    "DATABASE_URL": "postgresql://tick:pa55%40word@db:5432/app?sslmode=require",
    "YOUTUBE_API_KEY": "AIza-0123456789",
    "SIGNING_KEY": "-----BEGIN\nMIIEvQIBADANBg\n-----END",
    "PASSWORD": "short",
    "PWD": "/home/region",
    "REGION_CODE": "ch-zrh",
}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (
            "connect to postgresql://tick:pa55%40word@db:5432/app failed",
            "connect to postgresql://***@db:5432/app failed",
        ),
        ("password authentication failed: pa55@word", "password authentication failed: ***"),
        ("{'url': 'https://ghp_abcdef@github.com/x'}", "{'url': 'https://***@github.com/x'}"),
        ("GET https://example.org/feed?key=AIza-0123456789&page=2", "GET https://example.org/feed?key=***&page=2"),
        (
            "GET https://example.org/feed?access_token=abc&page=2",
            "GET https://example.org/feed?access_token=***&page=2",
        ),
        ("{'Authorization': 'Bearer abc.def', 'Accept': '*/*'}", "{'Authorization': 'Bearer ***', 'Accept': '*/*'}"),
        ('{"client_secret": "abc", "n": 1}', '{"client_secret": "***", "n": 1}'),
        ("password=hunter2 attempt=2", "password=*** attempt=2"),
        ("line two is MIIEvQIBADANBg", "line two is ***"),
        ("ticks: ch-zrh in /home/region, short", None),
        ("mailto:a@b and https://example.org/a@b?q=c@d", None),
    ],
)
def test_what_is_taken_out_and_what_stays(text: str, kept: str | None) -> None:
    assert redact(text, secrets_of(VARIABLES)) == (kept or text)


@given(secret=st.text(min_size=SHORTEST), around=st.text())
def test_no_text_with_a_variables_secret_has_it_afterwards(secret: str, around: str) -> None:
    kept = redact(f"{around}{secret}{around}", secrets_of({"APP_TOKEN": secret}))
    assert secret not in kept.replace(REDACTED, "\0" * 3) or len(set(secret)) < SHORTEST


@given(password=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_password_in_a_url_is_taken_out_however_it_looks(password: str) -> None:
    encoded = quote(password, safe="")
    assert redact(f"at postgresql://tick:{encoded}@db/app.", ()) == f"at postgresql://{REDACTED}@db/app."


@pytest.mark.parametrize("piece", ["token", "://", "a", "secret-", "authorization: bearer "])
def test_a_long_text_takes_no_time(piece: str) -> None:
    began = time.process_time()
    redact(piece * (400_000 // len(piece)), ())
    assert time.process_time() - began < 5
