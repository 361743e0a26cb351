"""ledger/causes.py: the decision table row by row, with Jobs as the API server has them."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from region_operator.ledger.causes import Evidence, LongRun, Verdict, judge, judge_open
from region_operator.ledger.expected_ticks import ExpectedTick
from region_operator.ledger.job_cache import JobCache
from region_operator.ledger.pod_failure import PodFailure
from region_operator.ledger.schedule_versions import ScheduleSpec
from region_tick.contract import Reason, State
from tests.harness.examples import JOB_AT as AT
from tests.harness.examples import job

if TYPE_CHECKING:
    from datetime import datetime

    from region_operator.cronjobs.job import Job

SPEC = ScheduleSpec(cron="* * * * *", code="a", cronjob="a-0123456789ab", start_deadline_seconds=20)
TICK = ExpectedTick("1", SPEC, AT, None)
CHANGED = ExpectedTick("1", SPEC, AT, AT + timedelta(seconds=1))
EDITED = replace(CHANGED, next_spec=replace(SPEC, cron="@hourly"))
CHANGED_LATER = ExpectedTick("1", SPEC, AT, AT + timedelta(seconds=21))
STOPPED = replace(CHANGED, next_spec=replace(CHANGED.spec, suspended=True))
STOPPED_LATER = replace(CHANGED_LATER, next_spec=replace(CHANGED_LATER.spec, suspended=True))
SUSPENDED = ExpectedTick("1", replace(SPEC, suspended=True), AT, None)
RESUMED = replace(SUSPENDED, ended=AT + timedelta(seconds=1))
LATER = AT + timedelta(minutes=5)


TIMED_OUT, TIRED = ("Failed", "DeadlineExceeded"), ("Failed", "BackoffLimitExceeded")
IMAGE = PodFailure(Reason.IMAGE, "ImagePullBackOff")


@pytest.mark.parametrize(
    ("tick", "found", "failure", "overlapped", "watched", "state", "reason"),
    [
        (TICK, job(active=1), None, False, AT, None, None),
        (TICK, job(active=1), IMAGE, False, AT, None, None),
        (TICK, job(("FailureTarget", "DeadlineExceeded"), terminating=1), IMAGE, False, AT, None, None),
        (TICK, job(), None, False, AT, State.SKIPPED, Reason.CAPACITY),
        (TICK, job(), PodFailure(Reason.REFUSED, "no"), False, AT, State.MISSED, Reason.REFUSED),
        (TICK, job(startTime=None), None, False, AT, State.MISSED, Reason.NOT_STARTED),
        (TICK, job(("Suspended", ""), startTime=None), None, False, AT, None, None),
        (TICK, job(("Complete", ""), succeeded=1), None, False, AT, State.MISSED, Reason.NOT_RECORDED),
        (TICK, job(TIMED_OUT), None, False, AT, State.SKIPPED, Reason.CAPACITY),
        (TICK, job(TIMED_OUT), PodFailure(Reason.REFUSED, "no"), False, AT, State.MISSED, Reason.REFUSED),
        (TICK, job(TIMED_OUT, failed=1), IMAGE, False, AT, State.MISSED, Reason.IMAGE),
        (TICK, job(TIMED_OUT, failed=1), None, False, AT, State.MISSED, Reason.NOT_STARTED),
        (TICK, job(TIRED, failed=3), None, False, AT, State.MISSED, Reason.POD_FAILED),
        (TICK, None, None, True, AT, State.SKIPPED, Reason.STILL_RUNNING),
        (CHANGED, None, None, False, AT, State.SKIPPED, Reason.CHANGED),
        (CHANGED, None, None, True, AT, State.SKIPPED, Reason.CHANGED),
        (EDITED, None, None, True, AT, State.SKIPPED, Reason.STILL_RUNNING),
        (EDITED, None, None, False, AT, State.SKIPPED, Reason.CHANGED),
        (CHANGED_LATER, None, None, True, AT, State.SKIPPED, Reason.STILL_RUNNING),
        (CHANGED_LATER, None, None, False, AT, State.MISSED, Reason.NOT_CREATED),
        (STOPPED, None, None, False, AT, State.SKIPPED, Reason.SUSPENDED),
        (STOPPED, job(TIRED, failed=3), None, False, AT, State.MISSED, Reason.POD_FAILED),
        (STOPPED_LATER, None, None, False, AT, State.MISSED, Reason.NOT_CREATED),
        (SUSPENDED, None, None, True, LATER, State.SKIPPED, Reason.SUSPENDED),
        (RESUMED, None, None, False, AT, State.SKIPPED, Reason.SUSPENDED),
        (RESUMED, job(), None, False, AT, State.SKIPPED, Reason.CAPACITY),
        (TICK, None, None, False, AT + timedelta(seconds=20), State.MISSED, Reason.NOT_CREATED),
        (TICK, None, None, False, LATER, State.MISSED, Reason.UNOBSERVED),
    ],
)
def test_the_table(
    tick: ExpectedTick,
    found: Job | None,
    failure: PodFailure | None,
    overlapped: bool,
    watched: datetime,
    state: State | None,
    reason: Reason | None,
) -> None:
    verdict = judge(tick, Evidence(job=found, failure=failure, overlapped=overlapped, watched_since=watched))
    assert (verdict.state if verdict else None, verdict.reason if verdict else None) == (state, reason)


@pytest.mark.parametrize(
    ("taken_over", "reason"),
    [(AT, Reason.UNOBSERVED), (LATER, Reason.UNOBSERVED), (AT - timedelta(seconds=1), Reason.NOT_CREATED)],
)
def test_nobody_here_saw_the_jobs_of_the_owner_before(taken_over: datetime, reason: Reason) -> None:
    """Not to have seen a Job of another cluster is no evidence that there was none."""
    evidence = Evidence(job=None, failure=None, overlapped=False, watched_since=AT, taken_over_at=taken_over)
    verdict = judge(TICK, evidence)
    assert verdict is not None
    assert (verdict.state, verdict.reason) == (State.MISSED, reason)


@pytest.mark.parametrize(
    ("minutes_before", "began", "ended", "was"),
    [
        (1, -60, 1, True),
        (1, -60, 0, False),
        (1, 19, 30, True),
        (1, 20, 30, False),
        (0, -60, 30, False),
        (-1, -60, 30, False),
        (24 * 60, -60, 30, True),
        (24 * 60 + 1, -60, 30, False),
    ],
)
def test_a_long_run_is_in_the_way_of_later_ticks_until_it_ends(
    minutes_before: int, began: int, ended: int, was: bool
) -> None:
    """`began` and `ended` are in seconds after the tick, which can start up to 20 s late."""
    seconds = timedelta(seconds=1)
    run = LongRun("1", AT - timedelta(minutes=minutes_before), AT + began * seconds, AT + ended * seconds)
    assert run.was_in_the_way_of(TICK) is was


LENGTHENED = replace(EDITED, next_spec=replace(SPEC, start_deadline_seconds=600))


@pytest.mark.parametrize("tick", [TICK, LENGTHENED])
@pytest.mark.parametrize(
    ("told", "seconds", "reason"),
    [
        (20.0, 20, Reason.DELETED),
        (20.0, 21, Reason.NOT_STARTED),
        (600.0, 21, Reason.DELETED),
        (math.inf, 601, Reason.DELETED),
    ],
)
def test_a_job_that_nobody_looked_at_and_that_was_deleted(
    tick: ExpectedTick, told: float, seconds: int, reason: Reason
) -> None:
    """After the start deadline, as the Job was told it, the operator itself deletes such a Job. An edit since, or one
    within the start deadline, changes no Job.
    """
    seen = JobCache()
    seen.remove(replace(job(startTime=None), start_deadline_seconds=told), AT + timedelta(seconds=seconds))
    evidence = Evidence(job=seen.get(tick.job), failure=None, overlapped=False, watched_since=AT)
    verdict = judge(tick, evidence)
    assert verdict is not None
    assert verdict.reason is reason


def test_a_job_that_somebody_deleted() -> None:
    seen = JobCache()
    seen.remove(job(active=1), LATER)
    evidence = Evidence(job=seen.get(TICK.job), failure=None, overlapped=False, watched_since=AT)
    assert judge(TICK, evidence) == Verdict(Reason.DELETED)


@pytest.mark.parametrize(
    ("found", "failure", "recorded", "reason"),
    [
        (job(active=1), None, None, None),
        (job(TIRED, failed=1), PodFailure(Reason.OUT_OF_MEMORY, ""), "terminated", Reason.OUT_OF_MEMORY),
        (job(TIRED, failed=1), PodFailure(Reason.DATABASE, ""), "error", Reason.ERROR),
        (job(TIMED_OUT, failed=1), None, None, Reason.TIMEOUT),
        (None, None, "terminated", Reason.TERMINATED),
        (None, None, None, Reason.LOST),
    ],
)
def test_an_open_row(
    found: Job | None, failure: PodFailure | None, recorded: str | None, reason: Reason | None
) -> None:
    verdict = judge_open(found, failure, recorded)
    assert (verdict.reason if verdict else None) == reason
