"""plan/demand.py: which ticks are due in which minute, against the times of the schedules themselves."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from region_operator.plan.demand import count_ticks, group_regions
from region_operator.regions.schedule import Schedule, parse_schedule

START = datetime(2026, 2, 27, 22, 41, tzinfo=UTC)
TEXTS = [
    "*/5 * * * *", "* * * * *", "41 22 * * *", "40 22 * * *", "0 0 1 * *", "0 0 13 * fri", "H H H * *", "@weekly H",
    "*/7 */5 28-31 2,3 *", "0 0 * * sat", "59 23 * * *", "0 0 29 2 *",
]  # fmt: skip


def schedule(text: str, code: str = "FR/75") -> Schedule:
    return parse_schedule(text, code=code)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from(TEXTS), max_size=4), st.integers(0, 60 * 24 * 400), st.sampled_from([1, 90, 1500]))
def test_ticks_are_due_when_the_schedules_say(texts: list[str], later: int, minutes: int) -> None:
    start = START + timedelta(minutes=later)
    expected: Counter[int] = Counter()
    for text in texts:
        moment = schedule(text).next_after(start - timedelta(seconds=1))
        while (place := (moment - start) // timedelta(minutes=1)) < minutes:
            expected[place] += 1
            moment = schedule(text).next_after(moment)
    demand = count_ticks(group_regions(map(schedule, texts), start_deadline=None), start=start, minutes=minutes)
    assert {place: sum(counts.values()) for place, counts in demand.items()} == expected
    assert list(demand) == sorted(demand)


def test_regions_of_one_schedule_are_one_group() -> None:
    regions = [schedule("H/2 * * * *", f"R{number}") for number in range(100)] + [schedule("0 * * * *")] * 50
    groups = group_regions(regions, start_deadline=None)
    assert len(groups) == 3
    assert sum(groups.values()) == 150


@pytest.mark.parametrize(
    ("text", "given_seconds", "seconds"),
    [
        ("* * * * *", None, 20),
        ("0 * * * *", None, 300),
        ("0 * * * *", 900, 900),
        ("* * * * *", 900, 60),
        ("*/5 * * * *", 15, 15),
    ],
)
def test_no_tick_waits_beyond_the_regions_next(text: str, given_seconds: int | None, seconds: int) -> None:
    deadline = None if given_seconds is None else timedelta(seconds=given_seconds)
    assert dict(group_regions([schedule(text)], start_deadline=deadline)) == {(schedule(text), seconds): 1}


def test_ticks_of_one_minute_are_told_apart_by_their_deadlines() -> None:
    groups = group_regions(map(schedule, ["* * * * *", "*/5 * * * *", "*/5 * * * *"]), start_deadline=None)
    demand = count_ticks(groups, start=datetime(2026, 2, 27, 12, 4, tzinfo=UTC), minutes=2)
    assert demand == {0: {20: 1}, 1: {20: 1, 100: 2}}
