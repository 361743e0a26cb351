"""Watches the Jobs of ticks, and finds pod failures in pods and Events.

Jobs are read by watch events and, for the ledger, by requests. What a Job or a pod failure means for a tick is left to
`causes`. Deleting Jobs is left to `job_cleanup`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote

from region_operator.cronjobs.labels import APP
from region_operator.kube.api import CONCURRENT_REQUESTS, ERRORS, Api
from region_operator.ledger.job_cache import Job, JobCache, JobState, job_of_pod
from region_operator.ledger.pod_failure import (
    JOB_NAME_LABEL,
    POD_EVENT_REASONS,
    failure_of_pod,
    failure_of_refusals,
    failure_of_start,
    how_telling,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Mapping

log = logging.getLogger(__name__)

PODS_SECONDS = 30
"""The longest wait for one batch of pods. Meanwhile further Jobs may begin to fail."""

NAMES_PER_SELECTOR = 50
LIST_ALL_BEYOND = 200
"""Beyond this number of wanted Jobs, everything is listed instead."""


class JobWatch:
    """Watches the Jobs of one namespace. `jobs` remembers the Jobs that did not succeed."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.jobs = JobCache()
        self._failing: dict[str, Job] = {}
        self._job_failed = asyncio.Event()

    def observe(self, body: Mapping[str, Any], *, deleted: bool) -> None:
        """Remember a Job of ours by a watch event. If the Job begins to fail, have `run` read the Job's pods."""
        job = Job.from_object(body)
        before = self.jobs.get(job.name)
        self.jobs.remember(job)
        if deleted:
            self.jobs.mark_gone(job.name, datetime.now(UTC))
        elif job.failing and job.had_pod and not (before and before.failing):
            self._failing[job.name] = job
            self._job_failed.set()

    async def run(self, namespace: str) -> NoReturn:
        """Read the pods of Jobs that begin to fail, in batches, until cancelled.

        If the pods cannot be read now, the ledger's next pass reads the pods, if the pods last until then.
        """
        while True:
            await self._job_failed.wait()
            self._job_failed.clear()
            jobs, self._failing = self._failing, {}
            try:
                async with asyncio.timeout(PODS_SECONDS):
                    await self.find_failures_in_pods(jobs.values(), namespace)
            except (*ERRORS, TimeoutError) as error:
                log.debug("pods not seen", extra={"jobs": len(jobs), "error": str(error)})
            except Exception as error:  # the next batch must be read all the same
                log.error("pods not seen", extra={"jobs": len(jobs), "error": repr(error)}, exc_info=True)

    async def refresh(self, namespace: str, now: datetime) -> None:
        """List and remember all Jobs that did not succeed. Raises what `api.ERRORS` lists."""
        path = f"{jobs_path(namespace)}?labelSelector=app%3D{APP}&fieldSelector=status.successful%3D0"
        self.jobs.replace_all([Job.from_object(body) async for body in self._api.items(path)], now)

    async def find(self, names: Collection[str], namespace: str) -> dict[str, Job]:
        """Return Jobs by name: as the API server has each Job, or as last seen if the Job is gone.

        Names of Jobs that nobody saw are left out. Raises what `api.ERRORS` lists.
        """
        unknown = [name for name in names if not _is_known(self.jobs.get(name))]
        if len(unknown) > LIST_ALL_BEYOND:
            path = f"{jobs_path(namespace)}?labelSelector=app%3D{APP}"
            wanted = set(unknown)
            existing = [
                Job.from_object(body) async for body in self._api.items(path) if body["metadata"]["name"] in wanted
            ]
        else:
            slots = asyncio.Semaphore(CONCURRENT_REQUESTS)

            async def get(name: str) -> Job | None:
                async with slots:
                    body = await self._api.get(f"{jobs_path(namespace)}/{name}")
                return Job.from_object(body) if body else None

            existing = [job for job in await asyncio.gather(*map(get, unknown)) if job]
        remembered = {name: job for name in names if (job := self.jobs.get(name))}
        return remembered | {job.name: job for job in existing}

    async def find_failures(self, jobs: Iterable[Job], namespace: str) -> None:
        """Find and remember why Jobs make no progress: by pods, by Events about pods, by Events about refused pods.

        Raises what `api.ERRORS` lists.
        """
        jobs = list(jobs)
        await self.find_failures_in_pods([job for job in jobs if job.had_pod], namespace)
        unclear = [job for job in jobs if (known := self.jobs.failure_of(job.name)) is None or known.vague]
        without_pod = {job.name for job in unclear if not job.had_pod}
        if without_pod:
            refusals: defaultdict[str, list[Any]] = defaultdict(list)
            async for event in self._events(namespace, "Job", "FailedCreate"):
                if (name := event["involvedObject"]["name"]) in without_pod:
                    refusals[name].append(event)
            for name, events in refusals.items():
                self.jobs.remember_failure(name, failure_of_refusals(events))
        if had_pod := [job for job in unclear if job.had_pod]:
            events = [event for reason in POD_EVENT_REASONS async for event in self._events(namespace, "Pod", reason)]
            for event in sorted(events, key=how_telling):
                seen = datetime.fromisoformat(event["metadata"]["creationTimestamp"])
                if job := job_of_pod(event["involvedObject"]["name"], seen, had_pod):
                    self.jobs.remember_failure(job.name, failure_of_start(event))

    def _events(self, namespace: str, kind: str, reason: str) -> AsyncIterator[Any]:
        selector = quote(f"reason={reason},involvedObject.kind={kind}")
        return self._api.items(f"/api/v1/namespaces/{namespace}/events?fieldSelector={selector}")

    async def find_failures_in_pods(self, jobs: Collection[Job], namespace: str) -> None:
        """Read the pods of Jobs and remember the pod failures. Raises what `api.ERRORS` lists."""
        names = [job.name for job in jobs]
        chunks = [names[start : start + NAMES_PER_SELECTOR] for start in range(0, len(names), NAMES_PER_SELECTOR)]
        selectors = [f"{JOB_NAME_LABEL} in ({','.join(chunk)})" for chunk in chunks]
        if len(names) > LIST_ALL_BEYOND:
            selectors = [f"app={APP}"]
        for selector in selectors:
            path = f"/api/v1/namespaces/{namespace}/pods?fieldSelector=status.phase%21%3DSucceeded"
            async for pod in self._api.items(f"{path}&labelSelector={quote(selector)}"):
                if failure := failure_of_pod(pod):
                    self.jobs.remember_failure(pod["metadata"]["labels"].get(JOB_NAME_LABEL, ""), failure)


def _is_known(job: Job | None) -> bool:
    """Whether a remembered Job is enough, without a request. A Job that is gone may still exist: as a success."""
    return job is not None and job.state is not JobState.GONE


def jobs_path(namespace: str) -> str:
    """Return the path of a namespace's Jobs."""
    return f"/apis/batch/v1/namespaces/{namespace}/jobs"
