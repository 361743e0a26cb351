"""plan/forecast_report.py: what people and programs read of a forecast."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from region_operator.plan.forecast import ASSUMED_TICK_TIME, Forecast, Minute, TickTime
from region_operator.plan.forecast_report import as_json, as_text, explain_overcommitment, summarize
from region_operator.plan.status import MESSAGE_LIMIT
from region_operator.plan.tick_queues import Capacity

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def forecast(
    *minutes: Minute, slots: int = 4, rate: float = 33.4, enough: int = 137, tick_time: TickTime = ASSUMED_TICK_TIME
) -> Forecast:
    capacity = Capacity(
        slots=slots,
        jobs_per_second=8,
        start_seconds=tick_time.start_seconds,
        slot_seconds=tick_time.slot_seconds,
    )
    return Forecast(NOON, capacity, tick_time, minutes, enough, rate)


OVERFULL = forecast(
    Minute(NOON, 10_000, 1_920, 7_588), Minute(NOON + HOUR, 5, 0, 0), Minute(NOON + 9 * HOUR, 612, 31, 9)
)
FULL = forecast(Minute(NOON, 100, 12, 0), Minute(NOON + HOUR, 5, 0, 0))
EASY = forecast(Minute(NOON, 5, 0, 0))


def test_people_read_what_does_not_fit_where_and_what_to_do() -> None:
    assert explain_overcommitment(OVERFULL) == (
        "of the 11,000 ticks of 24 h, 7,600 will be lost and 2,000 will start a minute late or more;"
        " the worst minutes are 12:00 (10,000 due, 7,600 lost), 21:00 (610 due, 9 lost) (UTC);"
        " enough would be spec.concurrency 140 instead of 4 and a CronJob controller that starts 34 Jobs a second"
        " instead of 8 (spec.capacity.jobsPerSecond);"
        " or write H for minutes that need not be the same for all regions (docs/scale.md);"
        " a tick holds its slot for 5 s (an assumption: the ledger has too few ticks yet)"
    )


def test_what_fits_needs_no_explanation() -> None:
    assert explain_overcommitment(FULL) == explain_overcommitment(EASY) == explain_overcommitment(forecast()) == ""


def test_only_what_is_too_small_is_to_be_raised() -> None:
    message = explain_overcommitment(forecast(Minute(NOON, 9, 0, 9), slots=137, rate=9.5))
    assert "enough would be a CronJob controller that starts 9.5 Jobs a second instead of 8" in message
    assert "spec.concurrency" not in message
    nearly = explain_overcommitment(forecast(Minute(NOON, 9, 0, 1), slots=137, rate=8))
    assert "enough would be" not in nearly
    assert "write H for minutes" in nearly


def test_a_measured_duration_is_said_to_be_measured() -> None:
    message = explain_overcommitment(forecast(Minute(NOON, 9, 0, 1), tick_time=TickTime(2.5, 8.84)))
    assert "a tick holds its slot for 12 s (the mean of the last day)" in message


def test_a_small_change_of_a_count_changes_no_word() -> None:
    one = forecast(Minute(NOON, 10_000, 1_920, 7_588))
    other = forecast(Minute(NOON, 10_001, 1_921, 7_589), enough=138)
    assert explain_overcommitment(one) == explain_overcommitment(other)


def test_the_longest_message_can_be_read_to_its_end() -> None:
    minutes = [Minute(NOON + number * HOUR, 10**9, 10**9, 10**9) for number in range(24)]
    assert len(explain_overcommitment(forecast(*minutes, enough=10**6, rate=10**6))) < MESSAGE_LIMIT


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (OVERFULL, "the next 24 h have 10,617 ticks: 7,597 are lost, 1,951 start a minute late or more"),
        (FULL, "the next 24 h have 105 ticks: 12 start a minute late or more, none is lost"),
        (EASY, "the next 24 h have 5 ticks: all start in time"),
        (forecast(), "the next 24 h have no ticks"),
    ],
)
def test_a_line_says_whether_the_ticks_fit(found: Forecast, line: str) -> None:
    assert summarize(found) == line


def test_the_command_lists_the_worst_minutes() -> None:
    assert as_text(OVERFULL).splitlines() == [
        "the next 24 h have 10,617 ticks: 7,597 are lost, 1,951 start a minute late or more",
        "slots: 4 (spec.concurrency); a tick holds its slot for 5 s (an assumption: the ledger has too few ticks yet)",
        "Jobs a second: 8 (spec.capacity.jobsPerSecond)",
        (
            "enough would be spec.concurrency 140 instead of 4 and a CronJob controller that starts 34 Jobs a second"
            " instead of 8 (spec.capacity.jobsPerSecond);"
            " or write H for minutes that need not be the same for all regions (docs/scale.md)"
        ),
        "        minute (UTC)     due  60 s late   lost",
        "2026-11-24T12:00:00Z  10,000      1,920  7,588",
        "2026-11-24T21:00:00Z     612         31      9",
    ]
    assert as_text(EASY).splitlines()[0] == summarize(EASY)
    assert len(as_text(EASY).splitlines()) == 3


def test_programs_get_the_same_keys_whatever_the_forecast() -> None:
    found = as_json(OVERFULL)
    assert found.keys() == as_json(forecast()).keys()
    assert found["minutes"][0] == {"at": "2026-11-24T12:00:00Z", "due": 10_000, "late": 1_920, "lost": 7_588}
    assert (found["start"], found["fits"], found["due"]) == ("2026-11-24T12:00:00Z", False, 10_617)
    assert found["tick"] == {"measured": False, "startSeconds": 3.0, "runSeconds": 1.0, "slotSeconds": 5.0}
    assert found["sufficient"] == {"concurrency": 137, "jobsPerSecond": 33.4}
