"""console.chain: why a tick became what it is, step by step, as far as anybody still knows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from region_operator.console.chain import (
    Evidence,
    SeenCronJob,
    SeenEvent,
    SeenJob,
    SeenPod,
    explain,
    summarize,
)
from region_operator.console.region_views import TickRow
from region_operator.console.standing import Version
from region_operator.console.views import Source
from region_tick.contract import Reason, State

AT = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
VERSION = Version(
    cron="0 * * * *",
    cronjob="r1-0123456789ab",
    since=AT - timedelta(days=1),
    start_deadline=timedelta(minutes=5),
    suspended=False,
    suspended_by=None,
)
CRONJOB = SeenCronJob(
    name="r1-0123456789ab", uid="u", created=AT - timedelta(days=2), suspended=False, paused=False, managers=()
)
JOB = SeenJob(
    name="r1-0123456789ab-1",
    created=AT + SECOND,
    ended=AT + 90 * SECOND,
    failed=True,
    end="Failed: BackoffLimitExceeded",
)
POD = SeenPod(
    name="pod-1", node=None, created=AT + 2 * SECOND, phase="Pending", trouble="container tick: ImagePullBackOff"
)
EVENT = SeenEvent(
    at=AT + 5 * SECOND, about="Pod pod-1", reason="Failed", message="no such image", count=3, warning=True
)
MISSED = TickRow(
    tick_at=AT,
    manual_uid="",
    state=State.MISSED,
    reason=Reason.IMAGE,
    attempt=0,
    started_at=None,
    finished_at=AT + 100 * SECOND,
    duration_seconds=None,
    start_delay_seconds=None,
    handler=None,
    job_name="r1-0123456789ab-1",
    pod=None,
    node=None,
    counts=None,
    error_class=None,
    error_message="ImagePullBackOff",
    window_start=None,
    window_end=None,
    exit_code=None,
    rerun_by=None,
)
FAILED = replace(
    MISSED,
    state=State.FAILED,
    reason=Reason.ERROR,
    attempt=2,
    pod="pod-2",
    node="node-1",
    started_at=AT + 20 * SECOND,
    finished_at=AT + 30 * SECOND,
    duration_seconds=10.0,
    start_delay_seconds=20.0,
    exit_code=75,
    error_class="ValueError",
    error_message="no",
)
SUCCEEDED = replace(
    FAILED, state=State.SUCCEEDED, reason=Reason.OK, attempt=1, exit_code=0, error_class=None, error_message=None
)
ALL = Evidence(version=VERSION, made=AT + 20 * SECOND, cronjob=CRONJOB, job=JOB, pods=(POD,), events=(EVENT,))
ROW_ONLY = Evidence(version=VERSION, made=AT + 20 * SECOND, cronjob=CRONJOB)


def sources(tick: TickRow, evidence: Evidence) -> list[tuple[str, bool]]:
    return [(step.source.value, step.ok) for step in explain(tick, evidence)]


def test_an_image_that_is_gone_shows_in_order_of_time() -> None:
    steps = explain(MISSED, ALL)
    assert [(step.source, step.ok) for step in steps] == [
        (Source.SCHEDULE, True),
        (Source.JOB, True),
        (Source.POD, False),
        (Source.EVENT, False),
        (Source.JOB, False),
        (Source.LEDGER, False),
    ]
    assert [step.text for step in steps] == [
        "expected by the schedule 0 * * * * of CronJob r1-0123456789ab",
        "Job r1-0123456789ab-1 was created",
        "pod pod-1, on no node yet is Pending: container tick: ImagePullBackOff",
        "Pod pod-1: Failed (3 times): no such image",
        "the Job ended: Failed: BackoffLimitExceeded",
        "the ledger says missed, image: The tick image could not be pulled. ImagePullBackOff",
    ]


def test_what_kubernetes_forgot_leaves_the_row() -> None:
    assert sources(SUCCEEDED, ROW_ONLY) == [
        ("schedule", True),
        ("claim", True),
        ("attempt", True),
        ("ledger", True),
    ]
    assert "there is no Job" in explain(MISSED, ROW_ONLY)[1].text


def test_a_cluster_that_was_not_asked_is_no_cluster_without_a_job() -> None:
    steps = explain(MISSED, Evidence(version=VERSION, made=AT, unseen="the API server does not answer"))
    assert [(step.source, step.ok) for step in steps] == [
        (Source.SCHEDULE, True),
        (Source.CRONJOB, False),
        (Source.LEDGER, False),
    ]


def test_an_attempt_says_how_late_it_was_and_how_it_ended() -> None:
    claim, attempt, ledger = explain(FAILED, ROW_ONLY)[1:]
    assert claim.text == "attempt 2 claimed the tick, 20.0 s after its minute: pod pod-2 on node node-1"
    assert attempt.text == "attempt 2 ended: failed, error, exit code 75: ValueError: no"
    assert ledger.text == "the ledger says failed, error: The handler raised an error."


def test_a_run_by_hand_and_one_that_still_runs() -> None:
    running = replace(SUCCEEDED, state=State.RUNNING, reason=None, finished_at=None, manual_uid="m")
    assert explain(running, ROW_ONLY)[0].text == "started by hand, as Job r1-0123456789ab-1"
    assert sources(running, ROW_ONLY)[-1] == ("attempt", True)


def test_a_suspended_region_and_a_schedule_that_nobody_remembers() -> None:
    skipped = replace(MISSED, state=State.SKIPPED, reason=Reason.SUSPENDED, job_name=None, finished_at=None)
    paused = replace(ROW_ONLY, version=replace(VERSION, suspended=True, suspended_by="paused by kubectl"))
    assert [step.text for step in explain(skipped, paused)][1] == "the CronJob is suspended: paused by kubectl"
    with_all = replace(ROW_ONLY, version=replace(VERSION, suspended=True, suspended_by="spec.suspend"))
    assert "suspended: with all regions, by" in [step.text for step in explain(skipped, with_all)][1]
    forgotten = Evidence(version=None, made=AT)
    assert [step.text for step in explain(skipped, forgotten)][:2] == [
        "no schedule of that time is on record any more",
        "the CronJob is gone",
    ]


def test_a_cronjob_that_came_too_late() -> None:
    late = replace(ROW_ONLY, cronjob=replace(CRONJOB, created=AT + 3 * SECOND))
    assert "was made after the tick was due" in explain(MISSED, late)[1].text


def test_one_sentence() -> None:
    assert summarize("R1", MISSED) == (
        "the tick of R1 at 2026-11-30T12:00:00Z was missed: image. The tick image could not be pulled"
        " (ImagePullBackOff)"
    )
    assert summarize("R1", replace(SUCCEEDED, attempt=2)) == (
        "the tick of R1 at 2026-11-30T12:00:00Z succeeded in 10.0 s, at attempt 2"
    )
    running = replace(SUCCEEDED, state=State.RUNNING, reason=None, manual_uid="m")
    assert summarize("R1", running) == "the manual run of R1 at 2026-11-30T12:00:00Z runs"
    assert "ValueError: no" in summarize("R1", FAILED)
