"""What becomes of a job that did not succeed, and of one whose worker is gone.

Nothing is left `doing` that nobody does: procrastinate finds such jobs by their workers' heartbeats alone, so a worker
that cannot write how a job ended must itself end.
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
"""How often a job is tried, the times included at which its worker died or was told to stop."""
BACKOFF_SECONDS = 30.0
BACKOFF_LIMIT_SECONDS = 600.0


class Backoff(BaseRetryStrategy):
    """Tries again later and later, with full jitter; at once what a stopping worker gave back."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        """Return when to try again; None where it was tried often enough."""
        if isinstance(exception, JobAborted):
            return RetryDecision()
        if job.attempts + 1 >= ATTEMPTS:
            return None
        limit = min(BACKOFF_SECONDS * 2.0**job.attempts, BACKOFF_LIMIT_SECONDS)
        pause = timedelta(seconds=random.uniform(1.0, limit))  # noqa: S311
        return RetryDecision(retry_at=datetime.now(UTC) + pause)


class QueueJobManager(JobManager):
    """Writes how jobs ended; calls `stop` where it cannot."""

    def __init__(self, connector: BaseConnector, *, stop: Callable[[], None]) -> None:
        super().__init__(connector)
        self._stop = stop

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:
        """Write that a job ended. Raises ConnectorException."""
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
        """Put a job back into the queue, or end it where the next one of its creator waits there: that will do the
        same. Raises ConnectorException.
        """
        try:
            await super().retry_job(job, retry_at, priority, queue, lock)
        except UniqueViolation:
            await self.finish_job(job, Status.FAILED, delete_job=True)
        except ConnectorException:
            self._stop()
            raise

    async def retry_stalled(self, *, seconds: float) -> None:
        """Put back the jobs of workers that are gone or silent for so long. Raises ConnectorException."""
        for job in await self.get_stalled_jobs(seconds_since_heartbeat=seconds):
            about = {"task": job.task_name, "arguments": job.task_kwargs, "attempt": job.attempts + 1}
            try:
                if job.attempts + 1 < ATTEMPTS:
                    await super().retry_job(job)
                else:
                    await super().finish_job(job, Status.FAILED, delete_job=False)
            except UniqueViolation:
                await super().finish_job(job, Status.FAILED, delete_job=True)
            except ConnectorException as error:  # another worker was faster, or the database is away
                log.info("stalled job left", extra=about | {"error": str(error.__cause__)})
                continue
            log.warning("stalled job taken from its worker", extra=about)
