"""cronjobs/job.py: what is read from a Job as the API server has it."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from region_operator.cronjobs.job import Job, JobState
from tests.harness.examples import JOB_AT as AT
from tests.harness.examples import job
from tests.harness.waiting_jobs import BEGAN, MINUTE, START_DEADLINE
from tests.harness.waiting_jobs import job as waiting

FAILED, DOOMED = ("Failed", "BackoffLimitExceeded"), ("FailureTarget", "DeadlineExceeded")
LATER = AT + timedelta(minutes=5)


@pytest.mark.parametrize(
    ("found", "state", "failing", "makes_pods"),
    [
        (job(), JobState.ACTIVE, False, True),
        (job(("Suspended", "")), JobState.ACTIVE, False, False),
        (job(DOOMED, terminating=1), JobState.ACTIVE, True, False),
        (job(DOOMED, FAILED), JobState.FAILED, True, False),
        (job(("SuccessCriteriaMet", ""), ("Complete", "")), JobState.COMPLETE, False, False),
        (waiting(deleted=True), JobState.ACTIVE, False, False),
        (waiting(conditions=[{"type": "Failed", "status": "False"}]), JobState.ACTIVE, False, True),
    ],
)
def test_conditions_say_what_becomes_of_a_job(found: Job, state: JobState, *, failing: bool, makes_pods: bool) -> None:
    assert (found.state, found.failing, found.makes_pods) == (state, failing, makes_pods)
    assert found.ended == (AT if state in (JobState.COMPLETE, JobState.FAILED) else None)


@pytest.mark.parametrize(
    ("status", "has_pod", "had_pod"),
    [
        ({}, False, False),
        ({"active": 1}, True, True),
        ({"terminating": 1, "failed": 1}, True, True),
        ({"terminating": 0, "failed": 1}, False, True),
        ({"succeeded": 1}, False, True),
    ],
)
def test_a_jobs_counts_say_whether_there_is_or_was_a_pod(
    status: dict[str, Any], *, has_pod: bool, had_pod: bool
) -> None:
    found = job(**status)
    assert (found.has_pod, found.had_pod) == (has_pod, had_pod)
    assert found.failed_pods == status.get("failed", 0)


def test_a_job_that_nobody_has_looked_at_yet_has_no_status() -> None:
    meta = {"name": "by-hand", "uid": "u", "resourceVersion": "5", "creationTimestamp": "2026-11-24T10:00:00Z"}
    found = Job.from_object({"metadata": meta, "spec": {"template": {"spec": {"containers": [{"name": "a"}]}}}})
    assert (found.state, found.created, found.region) == (JobState.ACTIVE, AT, "")
    assert not any((found.started, found.ended, found.deadline, found.ttl_seconds, found.had_pod))
    assert found.waits


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        (None, START_DEADLINE),
        ([], math.inf),
        ([{"name": "TICK_START_DEADLINE_SECONDS"}], math.inf),
        ([{"name": "TICK_START_DEADLINE_SECONDS", "value": "$(SECONDS)"}], math.inf),
    ],
)
def test_the_tick_is_told_up_to_when_it_may_start(environment: list[Any] | None, seconds: float) -> None:
    found = waiting() if environment is None else waiting(environment=environment)
    assert found.start_deadline_seconds == seconds


def test_a_job_is_overdue_only_while_it_is_active() -> None:
    patience = timedelta(seconds=10)
    assert not job(active=1).is_overdue(AT + timedelta(seconds=70), patience)
    assert job(active=1).is_overdue(AT + timedelta(seconds=71), patience)
    assert not job(FAILED).is_overdue(LATER, patience)


@pytest.mark.parametrize(
    ("found", "seconds", "expired"),
    [
        (waiting(startTime=None), START_DEADLINE, False),
        (waiting(startTime=None), START_DEADLINE + 1, True),
        (waiting(), START_DEADLINE + 1, False),
        (waiting(startTime=None, active=1), START_DEADLINE + 1, False),
        (waiting(startTime=None, conditions=[{"type": "Suspended", "status": "True"}]), START_DEADLINE + 1, False),
        (waiting(startTime=None, deleted=True), START_DEADLINE + 1, False),
        (waiting(startTime=None, environment=[]), 1_000_000, False),
        (waiting("by-hand", startTime=None), START_DEADLINE + 1, False),
        (waiting("attempt-2", startTime=None), START_DEADLINE + 1, False),
        (waiting(f"r1-{MINUTE - 1}", startTime=None), START_DEADLINE + 1, False),
    ],
)
def test_a_job_is_given_up_if_nobody_looked_at_it_by_its_start_deadline(
    found: Job, seconds: int, *, expired: bool
) -> None:
    """Only the CronJob controller makes a Job within the deadline of the minute in the Job's name."""
    assert found.expired_unseen(datetime.fromtimestamp(BEGAN + seconds, UTC)) is expired


def test_versions_are_numbers() -> None:
    assert job(version=9).is_older_than("10")
    assert not job(version=10).is_older_than("10")
    assert not job(version=10).is_older_than("9")
