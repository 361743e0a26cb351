"""kubectl_region/moments.py: which times and durations people may write, and how they are shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kubectl_region.moments import ago, format_time, parse_duration, parse_future, parse_past, read_time, short

NOW = datetime(2026, 11, 30, 1, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("24h", timedelta(hours=24)),
        ("1d12h", timedelta(hours=36)),
        ("90m", timedelta(minutes=90)),
        ("5s", timedelta(seconds=5)),
    ],
)
def test_a_duration(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "h", "24", "-1h", "1.5h", "1h ago"])
def test_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="no duration such as"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-29T23:05:00Z", "2026-11-29T23:05:00Z"),
        ("2026-11-29T23:05", "2026-11-29T23:05:00Z"),
        ("2026-11-30T01:05:00+02:00", "2026-11-29T23:05:00Z"),
        ("00:55", "2026-11-30T00:55:00Z"),
        ("01:00", "2026-11-30T01:00:00Z"),
        ("01:05", "2026-11-29T01:05:00Z"),
        ("2h", "2026-11-29T23:00:00Z"),
    ],
)
def test_a_moment_of_the_past(text: str, expected: str) -> None:
    assert format_time(parse_past(text, now=NOW)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("02:00", "2026-11-30T02:00:00Z"), ("00:30", "2026-12-01T00:30:00Z"), ("1d", "2026-12-01T01:00:00Z")],
)
def test_a_moment_to_come(text: str, expected: str) -> None:
    assert format_time(parse_future(text, now=NOW)) == expected


@pytest.mark.parametrize("text", ["99999999999d", "3000000d", "9999999999999999999999s"])
def test_a_duration_that_no_calendar_has(text: str) -> None:
    for parse in (parse_past, parse_future):
        with pytest.raises(ValueError, match=f'"{text}" is too long: times are of the years 1 to 9999'):
            parse(text, now=NOW)


def test_a_time_whose_zone_leaves_the_calendar() -> None:
    with pytest.raises(ValueError, match="is no time such as"):
        parse_future("9999-12-31T23:59:59-01:00", now=NOW)


def test_a_moment_to_come_is_not_past() -> None:
    with pytest.raises(ValueError, match="2026-11-29T00:00:00Z is past: it is 2026-11-30T01:00:00Z now"):
        parse_future("2026-11-29", now=NOW)


def test_a_time_as_the_api_server_takes_it() -> None:
    """RFC 3339 lets its letters be small."""
    assert read_time("2026-11-30t01:00:00z") == NOW


@pytest.mark.parametrize("text", ["yesterday", "25:00x", "2026-13-01", ""])
def test_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match="is no time such as"):
        parse_past(text, now=NOW)


@pytest.mark.parametrize("text", ["25:00", "01:75"])
def test_no_time_of_day(text: str) -> None:
    with pytest.raises(ValueError, match="is no time such as"):
        parse_past(text, now=NOW)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.4, "0s"),
        (119, "119s"),
        (120, "2m"),
        (200, "3m20s"),
        (3600, "60m"),
        (4 * 3600 + 120, "4h2m"),
        (9 * 3600 + 120, "9h"),
        (50 * 3600, "2d2h"),
        (30 * 86400, "30d"),
    ],
)
def test_a_duration_is_written_as_kubectl_does(seconds: float, expected: str) -> None:
    assert short(seconds) == expected


def test_how_long_ago() -> None:
    assert [ago("2026-11-30T00:55:00Z", NOW), ago("2026-11-30T01:00:10Z", NOW), ago(None, NOW)] == [
        "5m ago",
        "in 10s",
        "-",
    ]
