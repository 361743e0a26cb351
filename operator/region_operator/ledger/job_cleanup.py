"""Deletes the Jobs that would block their region or take a slot for nothing.

As long as a Job is active, `concurrencyPolicy: Forbid` starts no other tick of its region. So two kinds of Jobs are
deleted: a Job that its controller should have ended long ago, because its pod hangs on a lost node, and a Job that
still waits for its first pod although its tick has its final row. A Job is deleted only as it was last seen. A Job
that cannot be deleted now is tried again by the next pass of the ledger, and holds up nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from kubernetes.aio.client import ApiException

from region_operator.kube.api import CONCURRENT_REQUESTS, ERRORS, Api, ApiUnavailableError, Propagation
from region_operator.kube.api_errors import describe
from region_operator.ledger.job_watch import jobs_path
from region_operator.runtime import metrics
from region_operator.runtime.log_limiter import LogLimiter

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from region_operator.ledger.job_cache import Job
    from region_operator.ledger.job_watch import JobWatch

log = logging.getLogger(__name__)

OVERDUE = timedelta(seconds=60)
"""How much longer than its activeDeadlineSeconds a Job may be active: pods have a grace period, and clocks differ."""

DELETE_SECONDS = 5
"""No settling waits longer for its deletions: an admission webhook may take its time, for each."""


class JobCleanup:
    """Deletes Jobs of one namespace, by what a JobWatch has seen of them."""

    def __init__(self, api: Api, job_watch: JobWatch) -> None:
        self._api = api
        self._job_watch = job_watch
        self._log_limiter = LogLimiter()

    async def delete_overdue(self, namespace: str, now: datetime) -> None:
        """Delete the Jobs that are active although their time is long over, and see before why: their pods go too."""
        overdue = list(self._job_watch.jobs.overdue(now, OVERDUE))
        await self._job_watch.look_at_pods(overdue, namespace)
        for job in await self._delete(overdue, namespace):
            metrics.OVERDUE_JOBS.inc()
            log.warning("overdue job deleted", extra={"job": job.name, "reason": "active beyond its deadline"})

    async def delete_waiting(self, jobs: Collection[Job], namespace: str) -> None:
        """Delete Jobs that wait for their first pod though their ticks are final: it would take a slot only to find
        that out.
        """
        for job in await self._delete(jobs, namespace):
            log.info("waiting job deleted", extra={"job": job.name, "reason": "its tick has its final row"})

    async def _delete(self, jobs: Collection[Job], namespace: str) -> list[Job]:
        """Delete Jobs as they were last seen, and their pods; return those that were there and had not changed."""
        deleted: list[Job] = []
        refused: list[ApiException | ApiUnavailableError] = []
        slots = asyncio.Semaphore(CONCURRENT_REQUESTS)

        async def delete(job: Job) -> None:
            async with slots:
                try:
                    there = await self._api.delete(
                        f"{jobs_path(namespace)}/{job.name}",
                        uid=job.uid,
                        resource_version=job.resource_version,
                        propagation=Propagation.BACKGROUND,
                    )
                except ERRORS as error:
                    if not (isinstance(error, ApiException) and error.status == 409):
                        refused.append(error)
                else:
                    if there:
                        deleted.append(job)

        try:
            async with asyncio.timeout(DELETE_SECONDS):
                await asyncio.gather(*map(delete, jobs))
        except TimeoutError:
            refused.append(ApiUnavailableError(f"no answer within {DELETE_SECONDS} s"))
        if refused:
            self._log_refusal(refused[0], len(jobs) - len(deleted))
        elif deleted:
            self._log_limiter.note_success()
        return deleted

    def _log_refusal(self, error: ApiException | ApiUnavailableError, count: int) -> None:
        kind, words = "no answer", str(error)
        if isinstance(error, ApiException):
            kind, words = f"{error.status} {error.reason}", describe(error)  # the kind names no Job: each has its own
        if keys := self._log_limiter.note_failure(kind):
            log.warning("jobs not deleted", extra={"jobs": count, "error": words} | keys)
