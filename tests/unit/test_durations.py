"""durations.py: durations are those of Go, and what is none is refused."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_operator.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("5m", 300), ("90s", 90), ("1h30m", 5400), ("300ms", 0.3), ("1.5h", 5400), ("0s", 0)]
)
def test_durations_are_those_of_go(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "-5m", "5d", "5m!", "\uff11m"])
def test_what_is_no_duration_is_refused_by_name_and_remedy(text: str) -> None:
    with pytest.raises(ValueError, match=r"write a number and a unit") as caught:
        parse_duration(text)
    assert f'"{text}"' in str(caught.value)


@given(st.integers(min_value=0, max_value=10**9))
def test_a_formatted_duration_parses_to_the_same(milliseconds: int) -> None:
    value = timedelta(milliseconds=milliseconds)
    assert parse_duration(format_duration(value)) == value


@pytest.mark.parametrize(
    ("seconds", "text"), [(600, "10m"), (90, "90s"), (5400, "90m"), (7200, "2h"), (1.5, "1500ms"), (0, "0s")]
)
def test_a_duration_is_written_as_people_write_it(seconds: float, text: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == text
