"""console/time_words.py: times and distances as a person reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from region_operator.console.time_words import iso, say_distance, say_minute, say_seconds, say_time

NOW = datetime(2026, 11, 30, 1, 5, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.034, "0.034 s"),
        (2.26, "2.3 s"),
        (9.99, "10 s"),
        (42.4, "42 s"),
        (59.7, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (3660 * 25, "1 d 1 h"),
        (86400 * 9 + 30, "9 d"),
        (-5, "-5 s"),
    ],
)
def test_seconds(seconds: float, words: str) -> None:
    assert say_seconds(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(10, "in 10 s"), (0.4, "now"), (-0.4, "now"), (-75, "1 min 15 s ago"), (7200, "in 2 h")]
)
def test_distance(seconds: float, words: str) -> None:
    assert say_distance(NOW + timedelta(seconds=seconds), NOW) == words


def test_times_are_in_utc_whatever_their_zone() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert (say_time(there), say_minute(there), iso(there)) == (
        "2026-11-30 01:05:09Z",
        "2026-11-30 01:05Z",
        "2026-11-30T01:05:09Z",
    )
