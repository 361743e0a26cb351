"""When a task is tried again."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from procrastinate.exceptions import JobAborted
from procrastinate.jobs import Job

from region_worker.jobs import ATTEMPTS, BACKOFF_LIMIT_SECONDS, BACKOFF_SECONDS, Backoff


def job(attempts: int) -> Job:
    return Job(id=1, queue="q", task_name="t", lock=None, queueing_lock=None, attempts=attempts)


@pytest.mark.parametrize("attempts", range(ATTEMPTS - 1))
def test_later_and_later_with_full_jitter_and_a_limit(attempts: int) -> None:
    limit = min(BACKOFF_SECONDS * 2**attempts, BACKOFF_LIMIT_SECONDS)
    pauses = []
    for _ in range(200):
        decision = Backoff().get_retry_decision(exception=ValueError(), job=job(attempts))
        assert decision is not None
        assert decision.retry_at is not None
        pauses.append((decision.retry_at - datetime.now(UTC)).total_seconds())
    assert all(0 < pause <= limit for pause in pauses)
    assert min(pauses) < limit / 3
    assert max(pauses) > limit / 2


def test_not_for_ever() -> None:
    assert Backoff().get_retry_decision(exception=ValueError(), job=job(ATTEMPTS - 1)) is None


def test_what_a_stopping_worker_gives_back_is_tried_at_once_however_often() -> None:
    decision = Backoff().get_retry_decision(exception=JobAborted(), job=job(ATTEMPTS))
    assert decision is not None
    assert decision.retry_at is None
