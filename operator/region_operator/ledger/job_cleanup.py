"""Deletes the Jobs that would block their region or take a slot for nothing.

As long as a Job is active, `concurrencyPolicy: Forbid` starts no other tick of the region. So three kinds of Jobs are
deleted. The first kind should have ended long ago, but a pod hangs on a lost node. The second kind still waits for a
first pod, although the tick has a final row. The third kind stands in the Job controller's queue, although its start
deadline is over: if the controller served these Jobs too, each pod would come later than the one before, until no tick
starts in time (docs/decisions/0045-a-job-that-nobody-looked-at-gives-way.md).

A Job is deleted only if unchanged since the last look. A Job that has changed, or is gone, is read anew: so a Job of
which the watch missed an event is known as it is, before its region has waited for long. A Job of the third kind stays
if it has a pod: the Job controller makes the pod, and then changes the Job. A Job that cannot be deleted
now is tried again by the next pass of the ledger, and holds up nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, NoReturn

from kubernetes.aio.client import ApiException

from region_operator.kube.api import CONCURRENT_REQUESTS, ERRORS, Api, ApiUnavailableError, Propagation
from region_operator.kube.api_errors import describe
from region_operator.ledger.job_watch import NAMES_PER_SELECTOR, jobs_path
from region_operator.runtime import metrics
from region_operator.runtime.log_limiter import LogLimiter

if TYPE_CHECKING:
    from collections.abc import Collection

    from region_operator.cronjobs.job import Job
    from region_operator.ledger.job_watch import JobWatch

log = logging.getLogger(__name__)

OVERDUE = timedelta(seconds=60)
"""How much longer than activeDeadlineSeconds a Job may be active. Pods have a grace period, and the controller manager
has a clock of its own."""

EXPIRED_EVERY_SECONDS = 5.0
"""How often to look for Jobs whose start deadline is over. A tick's tolerance for a late start is three times as long.
"""
DELETE_LIMIT_SECONDS = 5
"""The longest wait of one pass for its deletions. An admission webhook may delay every deletion."""


class JobCleanup:
    """Deletes Jobs of one namespace, as a JobWatch has seen the Jobs."""

    def __init__(self, api: Api, job_watch: JobWatch) -> None:
        self._api = api
        self._job_watch = job_watch
        self._log_limiter = LogLimiter()

    async def run(self, namespace: str) -> NoReturn:
        """Delete the Jobs that the Job controller did not come to in time, every few seconds, until cancelled."""
        while True:
            await self.delete_expired(namespace)
            await asyncio.sleep(EXPIRED_EVERY_SECONDS)

    async def delete_expired(self, namespace: str) -> None:
        """Delete the Jobs that the Job controller has not looked at by the end of the start deadline.

        The API server's clock decides. The ledger sees that such a Job is gone, and gives its tick the final row. The
        controller makes a Job's pod before it writes that it looked at the Job, so the pods are asked for too.
        """
        now = self._api.clock.now()
        expired = self._job_watch.jobs.expired_unseen(now) if now else []
        reason = "its start deadline was over before the Job controller came to it"
        try:
            for first in range(0, len(expired), NAMES_PER_SELECTOR):
                jobs = expired[first : first + NAMES_PER_SELECTOR]
                with_pod = await self._job_watch.names_with_pod([job.name for job in jobs], namespace)
                for job in await self._delete([job for job in jobs if job.name not in with_pod], namespace):
                    log.info("waiting job deleted", extra={"job": job.name, "reason": reason})
        except ERRORS as error:
            self._log_refusal(error, len(expired))

    async def delete_overdue(self, namespace: str) -> None:
        """Delete the Jobs that are active long after their deadline. Raises what `api.ERRORS` lists.

        The API server's clock decides, because a Job's start is a time of the cluster. While no answer has shown that
        clock, nothing is deleted. The deletion takes the pods too, so the pod failures are read before.
        """
        now = self._api.clock.now()
        if now is None:
            return
        overdue = list(self._job_watch.jobs.overdue(now, OVERDUE))
        await self._job_watch.find_failures_in_pods(overdue, namespace)
        for job in await self._delete(overdue, namespace):
            metrics.OVERDUE_JOBS.inc()
            log.warning("overdue job deleted", extra={"job": job.name, "reason": "active beyond its deadline"})

    async def delete_waiting(self, jobs: Collection[Job], namespace: str) -> None:
        """Delete Jobs that wait for their first pod although their ticks are final.

        Otherwise the pod would take a slot only to find the final row.
        """
        for job in await self._delete(jobs, namespace):
            log.info("waiting job deleted", extra={"job": job.name, "reason": "its tick has its final row"})

    async def _delete(self, jobs: Collection[Job], namespace: str) -> list[Job]:
        """Delete Jobs and their pods; return the Jobs that existed and had not changed since the last look."""
        deleted: list[Job] = []
        refused: list[ApiException | ApiUnavailableError] = []
        slots = asyncio.Semaphore(CONCURRENT_REQUESTS)

        async def delete(job: Job) -> None:
            async with slots:
                try:
                    if await self._delete_unchanged(job, namespace):
                        deleted.append(job)
                    else:
                        await self._job_watch.refresh(namespace, job)
                except ERRORS as error:
                    refused.append(error)

        try:
            async with asyncio.timeout(DELETE_LIMIT_SECONDS):
                await asyncio.gather(*map(delete, jobs))
        except TimeoutError:
            refused.append(ApiUnavailableError(f"no answer within {DELETE_LIMIT_SECONDS} s"))
        if refused:
            self._log_refusal(refused[0], len(jobs) - len(deleted))
        elif deleted:
            self._log_limiter.record_success()
        return deleted

    async def _delete_unchanged(self, job: Job, namespace: str) -> bool:
        """Delete a Job. Return False if the Job is gone or has changed. Raises what `api.ERRORS` lists."""
        try:
            deleted_at = await self._api.delete(
                f"{jobs_path(namespace)}/{job.name}",
                uid=job.uid,
                resource_version=job.resource_version,
                propagation=Propagation.BACKGROUND,
            )
        except ApiException as error:
            if error.status == HTTPStatus.CONFLICT:
                return False
            raise
        return deleted_at is not None

    def _log_refusal(self, error: ApiException | ApiUnavailableError, count: int) -> None:
        kind, words = "no answer", str(error)
        if isinstance(error, ApiException):
            kind, words = f"{error.status} {error.reason}", describe(error)  # `kind` is the same for every Job
        if keys := self._log_limiter.record_failure(kind):
            log.warning("jobs not deleted", extra={"jobs": count, "error": words} | keys)
