"""Handles the queue's jobs that failed, and the jobs of workers that died.

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

if TYPE_CHECKING:
    from collections.abc import Callable

    from procrastinate.connector import BaseConnector

log = logging.getLogger(__name__)

ATTEMPTS = 10
"""How often a job is tried. Attempts count even if the worker died or was told to stop."""
BACKOFF_SECONDS = 30.0
BACKOFF_LIMIT_SECONDS = 600.0


class Backoff(BaseRetryStrategy):
    """Retries with growing pauses and full jitter. A job that a stopping worker gave back is retried at once."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        """Return when to try the job again, or None after ATTEMPTS attempts."""
        if isinstance(exception, JobAborted):
            return RetryDecision()
        if job.attempts + 1 >= ATTEMPTS:
            return None
        limit = min(BACKOFF_SECONDS * 2.0**job.attempts, BACKOFF_LIMIT_SECONDS)
        pause = timedelta(seconds=random.uniform(1.0, limit))  # noqa: S311
        return RetryDecision(retry_at=datetime.now(UTC) + pause)


class QueueJobManager(JobManager):
    """Writes how jobs ended, and calls `stop` if the write fails."""

    def __init__(self, connector: BaseConnector, *, stop: Callable[[], None]) -> None:
        super().__init__(connector)
        self._stop = stop

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:
        """Write a job's final status. Raises ConnectorException."""
        try:
            await super().finish_job(job, status, delete_job)
        except ConnectorException:
            self._stop()
            raise

    async def retry_job(
        self,
        job: Job,
        retry_at: datetime | None = None,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> None:
        """Put a job back into the queue. Raises ConnectorException.

        If the creator's next job already waits in the queue, end this job instead: the next job does the same work.
        """
        try:
            await super().retry_job(job, retry_at, priority, queue, lock)
        except UniqueViolation:
            await self.finish_job(job, Status.FAILED, delete_job=True)
        except ConnectorException:
            self._stop()
            raise

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
