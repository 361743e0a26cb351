"""console.standing: which state a region has, what needs a look, and in which words."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from region_operator.console.standing import (
    Ending,
    Facts,
    Version,
    judge,
    may_be_troubled,
    next_tick,
)
from region_operator.console.tick_times import parse, two_ticks_after
from region_operator.console.views import RegionState, Trouble
from region_operator.plan.changes import Guarded
from region_tick.contract import Reason, State
from tests.harness.operator_process import CHECKOUT

NOW = datetime(2026, 11, 30, 12, 0, 30, tzinfo=UTC)
HOUR, MINUTE, DAY = timedelta(hours=1), timedelta(minutes=1), timedelta(days=1)
HOURLY = Version(
    cron="0 * * * *",
    cronjob="r1-0123456789ab",
    since=NOW - 7 * DAY,
    start_deadline=5 * MINUTE,
    suspended=False,
    suspended_by=None,
)
NOON = NOW.replace(minute=0, second=0)
FINE = Facts(
    has_row=True,
    quarantine="",
    version=HOURLY,
    held=None,
    held_since=None,
    approve="",
    last_success=NOON,
    last=None,
    timeout=10 * MINUTE,
    suspension="",
    pending_since=None,
    look_every=5 * MINUTE,
    not_ready="",
)
APPROVE = "kubectl annotate ..."
HELD = replace(FINE, held=Guarded.SLOWDOWN, held_since=NOW - HOUR, approve=APPROVE)


def suspended(by: str | None, *, since: datetime = NOW - HOUR) -> Facts:
    return replace(FINE, version=replace(HOURLY, suspended=True, suspended_by=by, since=since))


def pending(waits: timedelta, *, not_ready: str = "") -> Facts:
    return replace(FINE, version=None, last_success=None, pending_since=NOW - waits, not_ready=not_ready)


STATES: dict[str, tuple[Facts, RegionState, tuple[Trouble, ...]]] = {
    "all is well": (FINE, RegionState.TICKING, ()),
    "a bad row": (replace(FINE, quarantine="bad"), RegionState.QUARANTINED, (Trouble.QUARANTINED,)),
    "a bad row that is suspended": (
        replace(suspended("quarantined"), quarantine="bad"),
        RegionState.QUARANTINED,
        (Trouble.QUARANTINED,),
    ),
    "a held change": (HELD, RegionState.HELD, (Trouble.HELD,)),
    "a held creation": (replace(HELD, version=None, held=Guarded.CREATION), RegionState.HELD, (Trouble.HELD,)),
    "a held deletion": (replace(HELD, has_row=False, held=Guarded.DELETION), RegionState.HELD, (Trouble.HELD,)),
    "a held quarantine": (
        replace(HELD, quarantine="bad", held=Guarded.QUARANTINE),
        RegionState.QUARANTINED,
        (Trouble.QUARANTINED,),
    ),
    "a new row": (replace(FINE, version=None, last_success=None), RegionState.PENDING, ()),
    "a row that waits for the next look": (pending(6 * MINUTE), RegionState.PENDING, ()),
    "a row that waits for longer": (pending(7 * MINUTE), RegionState.PENDING, (Trouble.PENDING,)),
    "a row that went": (replace(FINE, has_row=False), RegionState.INACTIVE, ()),
    "an inactive row": (replace(FINE, has_row=False, version=None), RegionState.INACTIVE, ()),
    "all suspended": (suspended("spec.suspend"), RegionState.SUSPENDED, ()),
    "all suspended for long": (suspended("spec.suspend", since=NOW - 9 * DAY), RegionState.SUSPENDED, ()),
    "a row that was mended": (suspended("quarantined"), RegionState.SUSPENDED, ()),
    "paused": (suspended("paused by kubectl"), RegionState.PAUSED, ()),
    "edited": (suspended("edited by k9s"), RegionState.PAUSED, ()),
    "paused by nobody knows whom": (suspended(None), RegionState.PAUSED, ()),
    "paused for long": (suspended("paused by kubectl", since=NOW - 2 * DAY), RegionState.PAUSED, (Trouble.PAUSED,)),
}


@pytest.mark.parametrize("case", STATES)
def test_states(case: str) -> None:
    facts, state, troubles = STATES[case]
    standing = judge(facts, NOW)
    assert (standing.state, tuple(finding.kind for finding in standing.findings)) == (state, troubles)
    assert all(finding.text and finding.remedy for finding in standing.findings)
    assert state in (RegionState.TICKING, *map(RegionState, troubles)) or standing.why


def test_a_region_without_a_cronjob_says_for_how_long_and_where_to_look() -> None:
    [finding] = judge(pending(3 * HOUR), NOW).findings
    assert finding.text == "active, and without a CronJob for 3 hours at least: it does not tick"
    assert finding.since == NOW - 3 * HOUR
    assert "whether an operator runs" in finding.remedy
    told = "the RegionScheduler is not ready, and says why: TooManyRegions"
    assert judge(pending(3 * HOUR, not_ready=told), NOW).findings[0].remedy == told


def test_a_suspended_region_says_what_the_operator_says_of_the_suspension() -> None:
    facts = suspended("spec.suspend")
    words = "all 9 active regions are suspended by ana since 2026-11-30T10:00:00Z, until ..."
    stands = judge(replace(facts, suspension=words), NOW)
    assert (stands.why, stands.remedy) == (words, "to end it: kubectl region resume --all")
    ended = judge(facts, NOW)
    assert "resumes it" in (ended.why or "")
    assert ended.remedy is None


def ended(state: State, reason: str, *, error: str | None = None, at: datetime = NOON) -> Ending:
    return Ending(tick_at=at, state=state, reason=reason, error=error)


def troubles(last_success: datetime | None, last: Ending | None, now: datetime = NOW) -> tuple[Trouble, ...]:
    facts = replace(FINE, last_success=last_success, last=last)
    return tuple(finding.kind for finding in judge(facts, now).findings)


def test_a_failure_since_the_last_success_needs_a_look_at_once() -> None:
    assert troubles(NOON - HOUR, ended(State.FAILED, Reason.ERROR)) == (Trouble.FAILING,)
    assert troubles(NOON - HOUR, ended(State.MISSED, Reason.IMAGE)) == (Trouble.MISSED,)
    assert troubles(None, ended(State.FAILED, Reason.ERROR))[0] is Trouble.FAILING


@pytest.mark.parametrize("state", [State.RUNNING, State.INTERRUPTED, State.SUCCEEDED, State.SKIPPED])
def test_another_end_does_not(state: State) -> None:
    assert troubles(NOON - HOUR, ended(state, Reason.CAPACITY)) == ()


def test_a_failure_before_the_last_success_does_not() -> None:
    assert troubles(NOON, ended(State.FAILED, Reason.ERROR, at=NOON - HOUR)) == ()


def test_a_region_is_late_when_two_ticks_and_the_time_of_a_run_passed_without_success() -> None:
    success, allowance = NOON - 2 * HOUR, HOURLY.start_deadline + FINE.timeout
    assert troubles(success, None, NOON + allowance) == ()
    assert troubles(success, None, NOON + allowance + MINUTE) == (Trouble.LATE,)


def test_how_late_counts_the_intervals_of_the_schedule() -> None:
    def late(hours: float) -> float | None:
        return judge(replace(FINE, last_success=NOON - hours * HOUR), NOON + HOUR / 2).late_by_intervals

    assert [late(1), late(2), late(10)] == [0.0, 1.5, 9.5]
    daily = replace(
        FINE, version=replace(HOURLY, cron="0 9 * * 1-5"), last_success=datetime(2026, 11, 27, 9, tzinfo=UTC)
    )
    assert judge(daily, datetime(2026, 12, 1, 9, 10, tzinfo=UTC)).late_by_intervals == 0.0
    assert judge(daily, datetime(2026, 12, 1, 21, 0, tzinfo=UTC)).late_by_intervals == 1.5


def test_a_schedule_that_was_edited_and_a_region_that_was_resumed_get_their_time() -> None:
    resumed = replace(FINE, version=replace(HOURLY, since=NOW - 90 * MINUTE), last_success=NOW - 5 * DAY)
    assert judge(resumed, NOW).findings == ()
    assert judge(resumed, NOW + HOUR).findings[0].kind is Trouble.LATE


def test_what_does_not_tick_is_never_late() -> None:
    for facts in (suspended("spec.suspend"), suspended("paused by kubectl"), replace(FINE, quarantine="bad")):
        old = replace(facts, last_success=NOW - 30 * DAY)
        assert Trouble.LATE not in [finding.kind for finding in judge(old, NOW).findings]
        assert judge(old, NOW).late_by_intervals is None


def test_the_words() -> None:
    failed = replace(FINE, last_success=NOON - HOUR, last=ended(State.FAILED, Reason.ERROR, error="ValueError: no"))
    assert judge(failed, NOW).findings[0].text == (
        "the tick of 2026-11-30T12:00:00Z failed: error: ValueError: no; its last success was 2026-11-30T11:00:00Z"
    )
    missed = replace(failed, last=ended(State.MISSED, Reason.IMAGE), last_success=None)
    text = judge(missed, NOW).findings[0].text
    assert text.endswith("was missed: image: The tick image could not be pulled; no tick has succeeded yet")
    assert judge(HELD, NOW).findings[0].text == "a slowdown is held: it ticks on as it last was"
    stopped = replace(HELD, version=suspended("spec.suspend").version)
    assert judge(stopped, NOW).findings[0].text == "a slowdown is held: it stays suspended"
    assert APPROVE in judge(HELD, NOW).findings[0].remedy
    bad = judge(replace(FINE, quarantine='cron_schedule "x" is invalid'), NOW).findings[0]
    assert bad.text == 'cron_schedule "x" is invalid; it ticks on as it last was'
    paused = judge(suspended("paused by kubectl", since=NOW - 50 * HOUR), NOW).findings[0]
    assert paused.text == "paused by kubectl, for 2 days"


def test_the_worst_comes_first() -> None:
    facts = replace(FINE, last_success=NOON - 9 * HOUR, last=ended(State.MISSED, Reason.IMAGE))
    assert [finding.kind for finding in judge(facts, NOW).findings] == [Trouble.MISSED, Trouble.LATE]


def test_the_latest_tick_is_asked_for_only_where_one_was_due_since_the_success() -> None:
    assert not may_be_troubled(HOURLY, NOON, NOW)
    assert not may_be_troubled(HOURLY, NOON - HOUR, NOON + MINUTE)
    assert may_be_troubled(HOURLY, NOON - HOUR, NOON + 2 * MINUTE)
    assert may_be_troubled(HOURLY, None, NOW)
    assert not may_be_troubled(None, None, NOW)
    assert not may_be_troubled(replace(HOURLY, suspended=True), None, NOW)


def test_next_ticks() -> None:
    assert next_tick(HOURLY, NOW) == NOON + HOUR
    assert next_tick(HOURLY, NOON) == NOON + HOUR
    assert next_tick(replace(HOURLY, suspended=True), NOW) is None
    assert next_tick(None, NOW) is None
    assert two_ticks_after("*/5 * * * *", NOON) == (NOON + 5 * MINUTE, NOON + 10 * MINUTE)


def test_the_answers_about_the_largest_table_are_remembered() -> None:
    crd = (CHECKOUT / "crds/regionscheduler.yaml").read_text()
    largest = re.search(r"maxRegions:.*?maximum: (\d+)", crd, re.DOTALL)
    assert largest is not None
    assert all(each.cache_info().maxsize == 2 * int(largest[1]) for each in (parse, two_ticks_after))
