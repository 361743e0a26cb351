"""ledger/freshness.py: late by a region's own ticks, whatever the schedule, and whatever people did meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_operator.ledger.expected_ticks import count_tick_times, tick_times
from region_operator.ledger.freshness import LATE_BOUNDS, LATEST_REGIONS, InForce, KnownRegion, intervals_late, sum_up

NOON = datetime(2026, 11, 24, 12, 0, 30, tzinfo=UTC)
"""A Tuesday, half a minute after a tick of nearly every schedule."""
LONG_AGO = NOON - timedelta(days=10)


def ago(**units: float) -> datetime:
    return NOON.replace(second=0) - timedelta(**units)


def known(cron: str, last_success: datetime | None, *, since: datetime = LONG_AGO, code: str = "a") -> KnownRegion:
    return KnownRegion(code=code, schedules=(InForce(cron, since),), last_success=last_success)


@pytest.mark.parametrize(
    ("cron", "last_success", "late"),
    [
        ("* * * * *", ago(minutes=0), 0),
        ("* * * * *", ago(minutes=1), 1),  # the tick of this minute runs
        ("* * * * *", ago(minutes=60), 60),
        ("*/5 * * * *", ago(minutes=10), 2),
        ("0 0 * * *", ago(hours=12), 0),
        ("0 0 * * *", ago(hours=36), 1),
        ("0 9 * * 1-5", ago(days=4, hours=3), 2),  # since Friday: Monday and today, and no tick of the weekend
        ("0 0 1 1 *", ago(days=300), 0),
        ("@every 1m", ago(minutes=5), 0),  # a text of other hands
    ],
)
def test_a_region_is_late_by_its_own_ticks(cron: str, last_success: datetime, late: int) -> None:
    assert intervals_late(known(cron, last_success), now=NOON) == late


def test_a_region_that_never_succeeded_counts_from_when_its_schedule_began() -> None:
    assert intervals_late(known("* * * * *", None, since=ago(minutes=3)), now=NOON) == 3
    assert intervals_late(known("0 0 * * *", None, since=ago(hours=1)), now=NOON) == 0


def test_no_edit_makes_a_late_region_look_fresh() -> None:
    """Ten ticks by the first schedule, then two by the second."""
    edited = KnownRegion(
        code="a",
        last_success=ago(minutes=70),
        schedules=(
            InForce("*/5 * * * *", LONG_AGO, ago(minutes=20)),
            InForce("*/10 * * * *", ago(minutes=20)),
        ),
    )
    assert intervals_late(edited, now=NOON) == 10 + 2


def test_a_denser_schedule_makes_no_region_late_for_the_time_before_it() -> None:
    denser = KnownRegion(
        code="a",
        last_success=ago(minutes=60),
        schedules=(InForce("0 * * * *", LONG_AGO, ago(minutes=2)), InForce("* * * * *", ago(minutes=2))),
    )
    assert intervals_late(denser, now=NOON) == 2


@pytest.mark.parametrize(
    "before",
    [
        InForce("* * * * *", LONG_AGO, ago(minutes=30), suspended=True),
        InForce("* * * * *", LONG_AGO, ago(minutes=40)),  # then it had no CronJob for ten minutes
    ],
    ids=["suspended", "without a CronJob"],
)
def test_after_a_standstill_that_was_wanted_the_count_begins_anew(before: InForce) -> None:
    resumed = KnownRegion(
        code="a",
        last_success=ago(days=3),
        schedules=(before, InForce("*/10 * * * *", ago(minutes=30))),
    )
    assert intervals_late(resumed, now=NOON) == 3


def test_the_sum_counts_by_bounds_and_names_the_latest() -> None:
    regions = [known("* * * * *", ago(minutes=number), code=f"R{number}") for number in range(60)]
    found = sum_up(regions, now=NOON, within=2)
    assert found.regions == 60
    assert found.late == {bound: 59 - bound for bound in LATE_BOUNDS}
    assert found.behind == 57
    assert found.latest == tuple((f"R{number}", number) for number in range(59, 59 - LATEST_REGIONS, -1))


def test_nobody_is_named_while_all_are_fresh() -> None:
    for late, within in ((1, 0), (2, 2), (3, 3)):
        assert sum_up([known("* * * * *", ago(minutes=late))], now=NOON, within=within).latest == ()
    assert sum_up([], now=NOON, within=2).regions == 0


def test_of_equals_the_same_are_named_in_whatever_order_they_were_read() -> None:
    regions = [known("* * * * *", ago(minutes=9), code=f"R{number}") for number in range(2 * LATEST_REGIONS)]
    found = [sum_up(each, now=NOON, within=2).latest for each in (regions, regions[::-1])]
    assert found[0] == found[1]


MOMENTS = st.integers(0, 75 * 86_400).map(
    lambda seconds: datetime(2027, 12, 20, tzinfo=UTC) + timedelta(seconds=seconds)
)
"""Any second of a time with a leap day."""
CRONS = st.sampled_from(
    [
        "* * * * *",
        "7 * * * *",
        "*/15 8-17 * * *",
        "30 2 29 2 *",
        "0 0 31 * *",
        "5,50 0,23 1 * 1",
        "0 12 * * 0",
        "0 12 * * 1-5",
        "1 1 1 1 *",
    ]
)


@given(CRONS, MOMENTS, st.timedeltas(timedelta(), timedelta(days=40)))
def test_counted_is_what_would_be_listed(cron: str, after: datetime, length: timedelta) -> None:
    until = after + (length if cron != "* * * * *" else length / 20)
    assert count_tick_times(cron, after, until) == len(tick_times(cron, after, until))
    assert count_tick_times(cron, until, after) == 0
