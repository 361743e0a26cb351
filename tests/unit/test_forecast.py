"""plan/forecast.py: a day's forecast, the same at any hour, and quick enough for ten thousand regions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from region_operator.plan.demand import group_regions
from region_operator.plan.forecast import ASSUMED_TICK_TIME, Forecast, Minute, TickTime, make_forecast
from region_operator.regions.schedule import parse_schedule
from region_operator.scheduler import Spec

MONDAY = datetime(2026, 11, 23, 13, tzinfo=UTC)


def forecast(
    texts: list[str], *, start: datetime = MONDAY, tick_time: TickTime = ASSUMED_TICK_TIME, **spec: Any
) -> Forecast:
    """Return the forecast for one region with each of the schedules. `spec` is written as users write it."""
    parsed = Spec.model_validate(spec)
    schedules = [parse_schedule(text, code=f"region-{number:04}") for number, text in enumerate(texts)]
    groups = group_regions(schedules, start_deadline=parsed.tick.start_deadline)
    return make_forecast(groups, parsed, tick_time=tick_time, start=start)


def test_the_minutes_are_those_of_the_next_24_hours() -> None:
    found = forecast(["0 12 * * *", "0 13 * * *", "59 12 * * *", "0 14 * * mon", "0 14 * * tue"])
    assert found.minutes == (
        Minute(MONDAY, 1, 0, 0),
        Minute(MONDAY + timedelta(hours=1), 1, 0, 0),
        Minute(MONDAY + timedelta(hours=23), 1, 0, 0),
        Minute(MONDAY + timedelta(hours=23, minutes=59), 1, 0, 0),
    )
    assert (found.due, found.late, found.lost, found.fits) == (4, 0, 0, True)


def test_without_regions_all_fits() -> None:
    assert (forecast([]).due, forecast([]).fits, forecast([]).worst(3)) == (0, True, [])


def test_a_common_minute_of_many_does_not_fit_and_its_worst_minute_is_named() -> None:
    texts = ["0 14 * * *"] * 500 + ["0 15 * * *"] * 300 + ["0 16 * * *"] * 30
    found = forecast(texts, tick={"startDeadline": "5m"})
    assert (found.lost > 250, found.late > 200, found.fits) == (True, True, False)
    assert [minute.at.hour for minute in found.worst(5)] == [14, 15]


def test_a_daily_tick_may_wait_for_an_hour() -> None:
    assert forecast(["0 14 * * *"] * 2_500).fits
    assert not forecast(["0 14 * * *"] * 3_500).fits


def test_more_slots_or_a_later_start_deadline_or_a_hash_let_it_fit() -> None:
    texts = ["0 * * * *"] * 500
    assert not forecast(texts).fits
    assert forecast(texts, concurrency=9).fits
    assert forecast(texts, tick={"startDeadline": "15m"}).fits
    assert forecast(["H * * * *"] * 500).fits


def test_the_controllers_rate_is_a_limit_of_its_own() -> None:
    texts = ["*/5 * * * *"] * 2_000
    assert not forecast(texts, concurrency=2_000).fits
    assert forecast(texts, concurrency=2_000, capacity={"jobsPerSecond": 60}).fits
    assert forecast(["H/5 * * * *"] * 700, concurrency=2_000).fits


def test_what_is_said_to_be_sufficient_is() -> None:
    texts = ["*/5 * * * *"] * 1_000 + ["* * * * *"] * 200 + ["0 3 * * *"] * 2_000
    found = forecast(texts)
    assert found.lost > 1_000
    enough: dict[str, Any] = {
        "concurrency": found.sufficient_slots,
        "capacity": {"jobsPerSecond": found.sufficient_rate},
    }
    assert forecast(texts, **enough).lost <= found.due / 1000, "each was looked at as if the other were none"


def test_long_ticks_need_more_slots() -> None:
    texts = ["*/5 * * * *"] * 50
    assert forecast(texts).fits
    assert not forecast(texts, tick_time=TickTime(start_seconds=3, run_seconds=60)).fits


@pytest.mark.parametrize(
    "texts",
    [
        ["*/5 * * * *"] * 400,
        ["* * * * *"] * 90 + ["0 * * * *"] * 300 + ["H/7 * * * *"] * 300,
        ["H H * * *"] * 3_000 + ["30 12 * * *"] * 4_000,
    ],
)
def test_the_same_schedules_have_the_same_forecast_at_any_hour(texts: list[str]) -> None:
    by_time = [
        sorted((minute.at.time(), minute.due, minute.late, minute.lost) for minute in found.minutes)
        for found in (forecast(texts, start=MONDAY + timedelta(hours=hours)) for hours in (0, 1, 10, 23))
    ]
    assert by_time == by_time[:1] * 4
    assert any(lost for _, _, _, lost in by_time[0])


def test_of_equal_minutes_the_earliest_of_the_day_are_the_worst() -> None:
    worst = [forecast(["0 * * * *"] * 400, start=MONDAY + timedelta(hours=hours)).worst(3) for hours in (0, 7, 23)]
    assert [[minute.at.hour for minute in minutes] for minutes in worst] == [[0, 1, 2]] * 3
