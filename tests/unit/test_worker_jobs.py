"""When a task is tried again, and whose turn it is then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from procrastinate.exceptions import JobAborted
from procrastinate.jobs import Job
from procrastinate.testing import InMemoryConnector

from region_tick.handlers.enqueue import ENQUEUE, TURNS_SINCE
from region_worker.jobs import (
    ATTEMPTS,
    BACKOFF_LIMIT_SECONDS,
    BACKOFF_SECONDS,
    TURN_SECONDS,
    Backoff,
    NotFetchedError,
    NotNowError,
    QueueJobManager,
    turn,
)

if TYPE_CHECKING:
    from procrastinate.retry import RetryDecision


def job(attempts: int = 0) -> Job:
    return Job(id=1, queue="q", task_name="t", lock=None, queueing_lock=None, attempts=attempts, priority=-7)


def decide(exception: Exception, attempts: int = 0) -> RetryDecision | None:
    jobs = QueueJobManager(InMemoryConnector(), at_once=2, stop=lambda: None)
    return Backoff(jobs).get_retry_decision(exception=exception, job=job(attempts))


def pause(decision: RetryDecision | None, *, since: datetime | None = None) -> float:
    assert decision is not None
    assert decision.retry_at is not None
    return (decision.retry_at - (since or datetime.now(UTC))).total_seconds()


@pytest.mark.parametrize("attempts", range(ATTEMPTS - 1))
def test_later_and_later_with_full_jitter_and_a_limit(attempts: int) -> None:
    limit = min(BACKOFF_SECONDS * 2**attempts, BACKOFF_LIMIT_SECONDS)
    pauses = []
    for _ in range(200):
        before = datetime.now(UTC)
        pauses.append(pause(decide(ValueError(), attempts), since=before))
        assert 0 <= pauses[-1] <= limit + (datetime.now(UTC) - before).total_seconds()
    assert min(pauses) < limit / 3
    assert max(pauses) > limit / 2


def test_not_before_the_creator_may_be_asked_again() -> None:
    assert all(pause(decide(NotFetchedError("503", seconds=3600))) > 3500 for _ in range(20))


def test_not_for_ever() -> None:
    assert decide(ValueError(), ATTEMPTS - 1) is None


def test_its_turn_is_then_behind_what_is_due() -> None:
    decision = decide(ValueError())
    assert decision is not None
    assert decision.retry_at is not None
    assert decision.priority == turn(decision.retry_at + timedelta(seconds=TURN_SECONDS))
    assert decision.priority < turn(decision.retry_at)


def test_a_task_without_a_place_keeps_its_turn_and_comes_again_soon() -> None:
    decision = decide(NotNowError("no place", host="upstream.test", seconds=2.0), ATTEMPTS)
    assert 1.5 < pause(decision) <= 3.0
    assert decision is not None
    assert decision.priority is None


def test_a_task_whose_host_is_left_alone_for_long_is_looked_at_soon() -> None:
    """A person may end the pause. Until it ends, the task is not fetched."""
    assert pause(decide(NotNowError("left alone", host="upstream.test", seconds=900.0))) <= 15


def test_what_a_stopping_worker_gives_back_is_tried_at_once_however_often() -> None:
    decision = decide(JobAborted(), ATTEMPTS)
    assert decision is not None
    assert decision.retry_at is None
    assert decision.priority == job().priority


def test_ticks_and_workers_count_turns_from_the_same_time() -> None:
    assert f"- {TURNS_SINCE} +" in ENQUEUE
    assert turn(datetime.fromtimestamp(TURNS_SINCE + 60, UTC)) == -60
