"""ledger/expected_ticks.py: the expected ticks of schedule versions, against a count minute by minute."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from region_operator.ledger.expected_ticks import (
    CLAIM_MARGIN,
    SLICE,
    ExpectedTick,
    expected_ticks,
    finalized_until,
    judged_until,
    recompute,
    slices,
)
from region_operator.ledger.schedule_versions import ScheduleSpec, ScheduleVersion

if TYPE_CHECKING:
    from collections.abc import Callable

AT = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
HOURS = 3
NO_LAG = timedelta()


def minute(number: float) -> datetime:
    return AT + timedelta(minutes=number)


def version(
    cron: str, start: datetime, end: datetime | None = None, *, region: str = "1", suspended: bool = False
) -> ScheduleVersion:
    spec = ScheduleSpec(cron=cron, code="a", cronjob="a-0123456789ab", start_deadline_seconds=20, suspended=suspended)
    return ScheduleVersion(source="s", region_id=region, spec=spec, valid_from=start, valid_to=end)


def times(*versions: ScheduleVersion, after: datetime, until: datetime) -> list[datetime]:
    return [tick.tick_at for tick in expected_ticks(versions, after=after, until=until)]


def test_the_first_tick_is_strictly_after_the_start_and_the_last_not_after_the_end() -> None:
    row = version("* * * * *", minute(1), minute(4))
    assert times(row, after=AT, until=minute(9)) == [minute(2), minute(3), minute(4)]
    assert times(row, after=minute(2), until=minute(3)) == [minute(3)]


def test_an_edited_schedule_has_each_minute_once() -> None:
    rows = [version("* * * * *", AT, minute(2.5)), version("*/2 * * * *", minute(2.5))]
    assert times(*rows, after=AT, until=minute(8)) == [minute(n) for n in (1, 2, 4, 6, 8)]


def test_a_suspended_region_has_its_ticks_and_the_one_before_knows_what_ended_it() -> None:
    row = version("* * * * *", AT, minute(1.1))
    suspended = version("* * * * *", minute(1.1), minute(3.1), suspended=True)
    resumed = version("* * * * *", minute(3.1))
    ticks = expected_ticks([row, suspended, resumed], after=AT, until=minute(4))
    assert [tick.tick_at for tick in ticks] == [minute(n) for n in (1, 2, 3, 4)]
    assert [tick.ended_by_suspension for tick in ticks] == [True, False, False, False]
    assert [tick.may_have_job for tick in ticks] == [True, False, True, True]


def test_a_longer_start_deadline_counts_also_for_a_tick_that_was_due_before() -> None:
    suspended = version("* * * * *", AT, minute(1.5), suspended=True)
    resumed = version("* * * * *", minute(1.5))
    resumed = replace(resumed, spec=replace(resumed.spec, start_deadline_seconds=600))
    [tick, _] = expected_ticks([suspended, resumed], after=AT, until=minute(2))
    assert tick.latest_start == minute(11)
    assert tick.may_have_job
    assert not tick.is_due(judged_until(minute(11), NO_LAG))


def test_a_region_that_another_ones_suspension_does_not_concern() -> None:
    rows = [version("* * * * *", AT, minute(1)), version("* * * * *", minute(1), region="2", suspended=True)]
    assert not any(tick.ended_by_suspension for tick in expected_ticks(rows, after=AT, until=minute(2)))


def test_what_was_pending_is_what_schedules_say_by_now() -> None:
    before = expected_ticks([version("* * * * *", AT), version("* * * * *", AT, region="2")], after=AT, until=minute(2))
    rows = [
        version("* * * * *", AT, minute(1.2)),
        version("@hourly", minute(1.2)),
        version("* * * * *", AT, region="2"),
    ]
    found = recompute(rows, [tick.key for tick in before if tick.key != ("2", minute(1))])
    assert [(tick.key, tick.ended) for tick in found] == [(("1", minute(1)), minute(1.2)), (("2", minute(2)), None)]


def test_a_text_that_is_no_schedule_of_ours_expects_nothing() -> None:
    assert times(version("@every 1m", AT), after=AT, until=minute(9)) == []


CRONS: dict[str, Callable[[datetime], bool]] = {
    "* * * * *": lambda _: True,
    "*/7 * * * *": lambda at: at.minute % 7 == 0,
    "59 * * * *": lambda at: at.minute == 59,
    "0,30 10-11 * * *": lambda at: at.minute in (0, 30) and at.hour in (10, 11),
    "0 0 1 1 *": lambda _: False,
}
MOMENTS = st.floats(-5, HOURS * 60).map(minute)


@given(st.sampled_from(sorted(CRONS)), MOMENTS, st.none() | MOMENTS, MOMENTS, MOMENTS)
def test_they_are_those_that_counting_finds(
    cron: str, start: datetime, end: datetime | None, after: datetime, until: datetime
) -> None:
    found = times(version(cron, start, end), after=after, until=until)
    assert found == [
        at
        for at in map(minute, range(-10, HOURS * 60 + 10))
        if max(start, after) < at <= min(until, end or until) and CRONS[cron](at)
    ]


@given(MOMENTS, MOMENTS)
def test_slices_cover_the_time_without_a_gap(after: datetime, until: datetime) -> None:
    parts = list(slices(after, until))
    assert all(timedelta(0) < end - start <= SLICE for start, end in parts)
    assert [start for start, _ in parts] + [until] == [after, *(end for _, end in parts)] or (
        not parts and after >= until
    )


def test_a_tick_may_be_claimed_until_its_deadline_is_over_and_settled() -> None:
    [tick] = expected_ticks([version("* * * * *", AT)], after=AT, until=minute(1))
    assert tick.latest_start == minute(1) + timedelta(seconds=20)
    assert not tick.is_due(judged_until(tick.latest_start + CLAIM_MARGIN, NO_LAG))
    assert tick.is_due(judged_until(tick.latest_start + CLAIM_MARGIN + timedelta(seconds=1), NO_LAG))
    assert tick.job == f"a-0123456789ab-{int(minute(1).timestamp()) // 60}"


def test_a_tick_is_not_judged_before_its_schedule_is_known() -> None:
    [tick] = expected_ticks([version("* * * * *", AT)], after=AT, until=minute(1))
    lag = timedelta(minutes=2)
    assert not tick.is_due(judged_until(tick.latest_start + lag, lag))
    assert tick.is_due(judged_until(tick.latest_start + lag + timedelta(seconds=1), lag))


def test_slices_may_be_shorter() -> None:
    parts = [*slices(AT, minute(3), timedelta(minutes=2))]
    assert parts == [(AT, minute(2)), (minute(2), minute(3))]


def test_of_a_suspended_version_only_later_ticks_may_be_asked_for() -> None:
    rows = [version("* * * * *", AT, suspended=True), version("* * * * *", AT, region="2")]
    start = {("1", AT): minute(2)}
    ticks = expected_ticks(rows, after=AT, until=minute(3), looked_at_from=start)
    assert [tick.key for tick in ticks] == [("1", minute(3)), *(("2", minute(n)) for n in (1, 2, 3))]
    assert [tick.key for tick in recompute(rows, [("1", minute(2)), ("1", minute(3))], start)] == [("1", minute(3))]


def test_what_is_pending_holds_the_account_back() -> None:
    ticks: list[ExpectedTick] = expected_ticks([version("* * * * *", AT)], after=AT, until=minute(3))
    assert finalized_until([], minute(5)) == minute(5)
    assert minute(1) < finalized_until([tick.key for tick in ticks[1:]], minute(5)) < minute(2)
