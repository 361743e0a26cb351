"""ledger/suspensions.py: each tick of a suspended region is counted once, or looked at by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from region_operator.ledger.expected_ticks import expected_ticks
from region_operator.ledger.schedule_versions import ScheduleSpec, ScheduleVersion
from region_operator.ledger.suspensions import CARRY_ON_EVERY, Suspension, looked_at_from, ticks_to_count

AT = datetime(2026, 11, 27, 18, 0, tzinfo=UTC)
SPEC = ScheduleSpec(cron="* * * * *", code="a", cronjob="a-0123456789ab", start_deadline_seconds=20, suspended=True)
FIRST_KEY = ("1", AT)


def minute(number: float) -> datetime:
    return AT + timedelta(minutes=number)


def version(
    start: datetime = AT, end: datetime | None = None, *, cron: str = "* * * * *", suspended: bool = True
) -> ScheduleVersion:
    spec = replace(SPEC, cron=cron, suspended=suspended)
    return ScheduleVersion(source="s", region_id="1", spec=spec, valid_from=start, valid_to=end)


def counted(
    *versions: ScheduleVersion, rows: dict[tuple[str, datetime], Suspension] | None = None, until: datetime
) -> list[tuple[datetime, ...]]:
    return [tuple(ticks.times) for ticks in ticks_to_count(versions, rows or {}, after=minute(-60), judged_until=until)]


def one_by_one(*versions: ScheduleVersion, until: datetime) -> list[datetime]:
    start = looked_at_from(versions, {}, after=AT, judged_until=until)
    return [tick.tick_at for tick in expected_ticks(versions, after=AT, until=until, looked_at_from=start)]


def test_ticks_whose_job_cannot_come_any_more_are_counted_and_the_others_wait() -> None:
    assert counted(version(), until=minute(3.5)) == [(minute(1), minute(2), minute(3))]
    assert one_by_one(version(), until=minute(3.5)) == []
    assert counted(version(), until=minute(3.1)) == [(minute(1), minute(2))]
    assert one_by_one(version(), until=minute(3.1)) == [minute(3)]


def test_a_suspension_without_a_tick_has_no_row() -> None:
    assert counted(version(cron="@daily"), until=minute(30)) == []
    assert counted(version(cron="@daily", end=minute(20)), until=minute(30)) == []


def test_a_region_that_is_not_suspended_is_not_counted() -> None:
    assert counted(version(suspended=False), until=minute(30)) == []
    assert len(one_by_one(version(suspended=False), until=minute(30))) == 30


def test_the_last_ticks_before_a_resumption_may_have_a_job() -> None:
    rows = [version(AT, minute(3.1)), version(minute(3.1), suspended=False)]
    assert counted(*rows, until=minute(9)) == [(minute(1), minute(2))]
    assert one_by_one(*rows, until=minute(4)) == [minute(3), minute(4)]


def test_a_longer_start_deadline_after_the_suspension_counts() -> None:
    resumed = version(minute(9.1), suspended=False)
    resumed = replace(resumed, spec=replace(resumed.spec, start_deadline_seconds=300))
    assert counted(version(AT, minute(9.1)), resumed, until=minute(20)) == [tuple(minute(n) for n in range(1, 5))]


def test_what_is_counted_is_not_looked_at_again_by_itself() -> None:
    """After a restart a longer start deadline makes Jobs possible for ticks that were counted before."""
    resumed = version(minute(9.1), suspended=False)
    resumed = replace(resumed, spec=replace(resumed.spec, start_deadline_seconds=300))
    row = {FIRST_KEY: Suspension(minute(8.5), ended=False)}
    start = looked_at_from([version(AT, minute(9.1)), resumed], row, after=AT, judged_until=minute(20))
    assert start == {FIRST_KEY: minute(8.5)}


def test_a_row_ends_with_its_suspension_also_when_no_tick_is_left_to_count() -> None:
    row = {FIRST_KEY: Suspension(minute(2.9), ended=False)}
    [ticks] = ticks_to_count([version(AT, minute(3.1))], row, after=AT, judged_until=minute(3.2))
    assert (ticks.times, ticks.new, ticks.ended) == ([], False, True)
    assert (
        counted(version(AT, minute(3.1)), rows={FIRST_KEY: Suspension(minute(2.9), ended=True)}, until=minute(9)) == []
    )


def test_an_end_that_was_noticed_late_leaves_no_tick_out() -> None:
    """The ledger had passed the end, so nothing is looked at by itself any more."""
    row = {FIRST_KEY: Suspension(minute(2.5), ended=False)}
    [ticks] = ticks_to_count([version(AT, minute(5.1))], row, after=minute(8), judged_until=minute(9))
    assert ([*ticks.times], ticks.ended) == ([minute(3), minute(4), minute(5)], True)
    start = looked_at_from([version(AT, minute(5.1))], row, after=minute(8), judged_until=minute(9))
    assert start == {FIRST_KEY: minute(5.1)}


def test_a_young_row_is_carried_on_at_once_and_an_old_one_once_an_hour() -> None:
    def is_written(counted_until: datetime, until: datetime) -> bool:
        return bool(counted(version(), rows={FIRST_KEY: Suspension(counted_until, ended=False)}, until=until))

    assert is_written(minute(5), minute(6.5))
    assert not is_written(minute(60), minute(67))
    assert is_written(minute(60), minute(68))
    day = 24 * 60
    assert not is_written(minute(day), minute(day) + CARRY_ON_EVERY)
    assert is_written(minute(day), minute(day + 0.5) + CARRY_ON_EVERY)


def test_a_weekend_is_a_few_writes() -> None:
    rows: dict[tuple[str, datetime], Suspension] = {}
    writes = ticks = 0
    for passed in range(64 * 60):
        for found in ticks_to_count([version()], rows, after=minute(passed - 2), judged_until=minute(passed)):
            writes, ticks = writes + 1, ticks + len(found.times)
            rows[FIRST_KEY] = Suspension(found.until, ended=False)
    assert writes <= 100
    assert 63 * 60 <= ticks <= 64 * 60


MOMENTS = st.floats(0, 60).map(minute)
DEADLINES = st.sampled_from([15, 20, 100, 300])


@given(
    st.lists(st.tuples(MOMENTS, st.booleans(), DEADLINES), max_size=5, unique_by=lambda item: item[0]),
    st.lists(MOMENTS, min_size=1, max_size=20),
)
def test_passes_at_any_time_account_for_each_tick_once(
    changes: list[tuple[datetime, bool, int]], passes: list[datetime]
) -> None:
    """Between the passes the schedule changes. A pass knows what happened up to its moment. It remembers, as the
    finalizer does, which ticks it left for later.
    """
    starts = [(AT, True, 20), *sorted(changes)]
    rows: dict[tuple[str, datetime], Suspension] = {}
    once: list[datetime] = []
    looked_until, pending = AT, set[datetime]()
    for until in [*sorted(passes), minute(70)]:
        known = [start for start in starts if start[0] <= until]
        ends: list[datetime | None] = [start for start, _, _ in known[1:]]
        versions = [
            replace(version(start, end), spec=replace(SPEC, suspended=suspended, start_deadline_seconds=seconds))
            for (start, suspended, seconds), end in zip(known, [*ends, None], strict=True)
            if end is None or end > start
        ]
        after = min(pending, default=looked_until + timedelta(microseconds=1)) - timedelta(microseconds=1)
        start = looked_at_from(versions, rows, after=after, judged_until=until)
        for ticks in ticks_to_count(versions, rows, after=after, judged_until=until):
            once += ticks.times
            rows["1", ticks.version.valid_from] = Suspension(ticks.until, ended=ticks.ended)
        found = [
            tick
            for tick in expected_ticks(versions, after=after, until=until, looked_at_from=start)
            if tick.tick_at in pending or tick.tick_at > looked_until
        ]
        once += [tick.tick_at for tick in found if tick.is_due(until)]
        looked_until, pending = until, {tick.tick_at for tick in found if not tick.is_due(until)}
    still_suspended = [key for key, row in rows.items() if not row.ended]
    behind = {minute(n) for key in still_suspended for n in range(71) if rows[key].counted_until < minute(n)}
    expected = {minute(n) for n in range(1, 71)}
    assert len(once) == len(set(once))
    assert expected - behind - pending <= set(once) <= expected
