"""kube/waiting_job.py: which Jobs wait for a pod, from when to when a pod is worth a slot, and when a Job began."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from region_operator.cronjobs.job import Job, JobState
from region_operator.kube.waiting_job import began_at, cronjob_and_minute, waiting_job
from region_tick.contract import LATENESS_TOLERANCE_SECONDS
from tests.harness.waiting_jobs import BEGAN, MINUTE, START_DEADLINE, job

NOW = BEGAN + 7.0


@pytest.mark.parametrize(
    ("body", "waits"),
    [
        (job(), True),
        (job(active=0), True),
        (job(failed=1), True),
        (job(conditions=[{"type": "Suspended", "status": "False"}]), True),
        (job(startTime=None), False),
        (job(active=1), False),
        (job(terminating=1), False),
        (job(conditions=[{"type": "Complete", "status": "True"}]), False),
        (job(conditions=[{"type": "FailureTarget", "status": "True"}]), False),
        (job(conditions=[{"type": "Suspended", "status": "True"}]), False),
        (job(deleted=True), False),
        (job("by-hand"), False),
        (replace(job(), state=JobState.GONE), False),
    ],
)
def test_a_job_waits_where_its_controller_could_not_make_the_pod(body: Job, *, waits: bool) -> None:
    assert (waiting_job(body, now=NOW) is not None) is waits


def test_a_first_pod_is_worth_a_slot_until_it_comes_too_late_to_claim() -> None:
    waiting = waiting_job(job(), now=NOW)
    assert waiting is not None
    assert (waiting.not_before, waiting.until) == (0.0, MINUTE * 60 + START_DEADLINE + LATENESS_TOLERANCE_SECONDS)


def test_without_a_start_deadline_no_pod_is_too_late() -> None:
    waiting = waiting_job(job(environment=[]), now=NOW)
    assert waiting is not None
    assert waiting.until == math.inf


def test_a_rerun_is_never_too_late_and_waits_by_when_it_was_made() -> None:
    rerun = job("r1-29800000-r2", environment=[{"name": "TICK_RERUN_OF", "value": "2026-08-29T10:40:00Z"}])
    waiting = waiting_job(rerun, now=NOW)
    assert waiting is not None
    assert (waiting.rerun, waiting.minute, waiting.until) == (True, MINUTE, math.inf)


@pytest.mark.parametrize(("failed", "seconds"), [(1, 10), (2, 20), (3, 40), (7, 600), (11, 600)])
def test_a_retry_is_never_too_late_but_comes_after_its_controllers_back_off(failed: int, seconds: float) -> None:
    waiting = waiting_job(job(failed=failed), now=NOW)
    assert waiting is not None
    assert (waiting.not_before, waiting.until) == (NOW + seconds, math.inf)


@pytest.mark.parametrize(
    ("name", "told"),
    [("fr-75-x-29925017", ("fr-75-x", 29_925_017)), ("x-by-hand", ("x-by", None)), ("hand", ("", None))],
)
def test_a_jobs_name_tells_the_cronjob_and_the_minute(name: str, told: tuple[str, int | None]) -> None:
    assert cronjob_and_minute(name) == told


@pytest.mark.parametrize(
    ("body", "running", "began"),
    [
        (job(), False, None),
        (job(startTime=None), False, None),
        (job(active=1), True, BEGAN),
        (job(terminating=1, failed=1), True, BEGAN),
        (job(failed=1), False, BEGAN),
        (job(conditions=[{"type": "Failed", "status": "True"}]), False, None),
    ],
)
def test_a_job_with_a_pod_began_when_its_controller_first_saw_it(
    body: Job, *, running: bool, began: float | None
) -> None:
    assert (body.has_pod, began_at(body)) == (running, began)
