"""Chooses the jobs of the queue, puts them back, and takes over the jobs of workers that died.

A job is fetched only when its host may be asked, so that no slot of a worker is held by waiting. A job that gets no
place at its host all the same is put back, keeps its turn, and has not been tried. A job that failed has its next turn
after all jobs that are due by then: who failed never overtakes who did not.

No job may keep the status `doing` without a worker. procrastinate finds abandoned jobs only by missing heartbeats of
workers. A worker must therefore end, and stop its heartbeats, if the worker cannot write how a job ended.
"""

from __future__ import annotations

import logging
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from procrastinate.exceptions import ConnectorException, JobAborted, UniqueViolation
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager
from procrastinate.retry import BaseRetryStrategy, RetryDecision
from psycopg import errors

from region_tick.handlers.enqueue import TURNS_SINCE
from region_worker.job_statements import FETCH_JOB, NOTE, RETRY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from procrastinate.connector import BaseConnector

log = logging.getLogger(__name__)

ATTEMPTS = 10
"""How often a job is tried. Attempts count even if the worker died or was told to stop."""
BACKOFF_SECONDS = 30.0
BACKOFF_LIMIT_SECONDS = 600.0
PUT_BACK_SECONDS = 10.0
"""The longest wait of a job that was put back. Until its host may be asked, the job is not fetched anyway."""
TURN_SECONDS = 300
"""How much later than its time the turn of a job that failed is: behind jobs of a tick that enqueued many."""
_NO_SHARED_PLACES = (errors.UndefinedTable, errors.InsufficientPrivilege)


class NotNowError(Exception):
    """The job cannot be done now, but in `seconds`, and was not tried. `host` is the host that has no place, if any."""

    def __init__(self, message: str, *, seconds: float, host: str | None = None) -> None:
        super().__init__(message)
        self.seconds, self.host = seconds, host


class NotFetchedError(Exception):
    """The creator was not fetched, for a reason that may pass. Its upstream is left alone for `seconds`."""

    def __init__(self, message: str, *, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class QueueJobManager(JobManager):
    """Chooses jobs by turn and host, writes how jobs ended, and calls `stop` if the write fails."""

    def __init__(self, connector: BaseConnector, *, at_once: int, stop: Callable[[], None]) -> None:
        super().__init__(connector)
        self._at_once, self._stop = at_once, stop
        self._notes: dict[int, dict[str, str]] = {}
        self._ended = 0
        self.wake: Callable[[], None] = lambda: None
        """Called when a job has ended: its host has a place again."""

    def note(self, job: Job, **notes: str) -> None:
        """Keep `notes` with the arguments of a job that is about to be put back or to end as failed."""
        if job.id is not None:
            self._notes[job.id] = notes

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> Job | None:
        """Take the job whose turn it is among those whose host may be asked. Raises ConnectorException.

        In a database that knows no hosts, the turn alone decides.
        """
        about = {"queues": list(queues or ()), "worker_id": worker_id, "at_once": self._at_once}
        while True:
            ended = self._ended
            try:
                rows = await self.connector.execute_query_all_async(query=FETCH_JOB, **about)
            except ConnectorException as error:
                if not isinstance(error.__cause__, _NO_SHARED_PLACES):
                    raise
                return await super().fetch_job(queues, worker_id)
            if rows:
                return Job.from_row(rows[0])
            if ended == self._ended:
                return None

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:
        """Write a job's final status. Raises ConnectorException."""
        notes = self._notes.pop(job.id or 0, {})
        try:
            if notes and not delete_job:
                await self.connector.execute_query_async(query=NOTE, job_id=job.id, notes=notes)
            await super().finish_job(job, status, delete_job)
        except ConnectorException:
            self._stop()
            raise
        if status is Status.FAILED and not delete_job:
            fields = {"task": job.task_name, "arguments": job.task_kwargs, "attempt": job.attempts + 1}
            log.error("task failed", extra=fields | {"error": notes.get("error", "")})
        self._wake_up()

    async def retry_job(
        self,
        job: Job,
        retry_at: datetime | None = None,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> None:
        """Put a job back into the queue. Raises ConnectorException.

        A job without a new `priority` keeps its turn, and was not tried. If the creator's next job already waits in the
        queue, end this job instead: the next job does the same work.
        """
        notes = self._notes.pop(job.id or 0, {})
        about = {"job_id": job.id, "retry_at": retry_at, "priority": priority, "notes": notes}
        try:
            if not await self.connector.execute_query_all_async(query=RETRY, **about):
                await super().retry_job(job, retry_at, priority, queue, lock)  # somebody wants the job to be aborted
        except UniqueViolation:
            await self.finish_job(job, Status.FAILED, delete_job=True)
        except ConnectorException:
            self._stop()
            raise
        self._wake_up()

    async def retry_stalled(self, *, seconds: float) -> None:
        """Put back the jobs of workers without a heartbeat for `seconds`. Raises ConnectorException."""
        for job in await self.get_stalled_jobs(seconds_since_heartbeat=seconds):
            fields = {"task": job.task_name, "arguments": job.task_kwargs, "attempt": job.attempts + 1}
            try:
                if job.attempts + 1 < ATTEMPTS:
                    await super().retry_job(job)
                else:
                    await super().finish_job(job, Status.FAILED, delete_job=False)
            except UniqueViolation:
                await super().finish_job(job, Status.FAILED, delete_job=True)
            except ConnectorException as error:  # another worker was faster, or the database is unavailable
                log.info("stalled job left", extra=fields | {"error": str(error.__cause__)})
                continue
            log.warning("stalled job taken from its worker", extra=fields)

    def _wake_up(self) -> None:
        self._ended += 1
        self.wake()


class Backoff(BaseRetryStrategy):
    """Retries with growing pauses and full jitter. A job that a stopping worker gave back is retried at once."""

    def __init__(self, jobs: QueueJobManager) -> None:
        self._jobs = jobs

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        """Return when to try the job again, or None after ATTEMPTS attempts."""
        now = datetime.now(UTC)
        match exception:
            case JobAborted():
                return RetryDecision(priority=job.priority)
            case NotNowError():
                if exception.host:
                    self._jobs.note(job, host=exception.host)
                pause = min(exception.seconds, PUT_BACK_SECONDS) * random.uniform(1.0, 1.5)  # noqa: S311
                return RetryDecision(retry_at=now + timedelta(seconds=pause))
        self._jobs.note(job, error=f"{type(exception).__name__}: {exception}"[:500])
        if job.attempts + 1 >= ATTEMPTS:
            return None
        retry_at = now + timedelta(seconds=_pause_seconds(exception, job.attempts))
        return RetryDecision(retry_at=retry_at, priority=turn(retry_at + timedelta(seconds=TURN_SECONDS)))


def _pause_seconds(exception: BaseException, attempts: int) -> float:
    """Return the pause before the next attempt: until the upstream may be asked again, if the database says when."""
    if isinstance(exception, NotFetchedError) and exception.seconds > 0:
        return exception.seconds + random.uniform(0.5, 5.0)  # noqa: S311
    return random.uniform(1.0, min(BACKOFF_SECONDS * 2.0**attempts, BACKOFF_LIMIT_SECONDS))  # noqa: S311


def turn(moment: datetime) -> int:
    """Return the priority of a job whose turn is at `moment`: see region_tick.handlers.enqueue."""
    return TURNS_SINCE - int(moment.timestamp())
