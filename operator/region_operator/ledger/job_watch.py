"""What the cluster can say of ticks: its Jobs, their pods and Events, looked at when asked and as events come.

Nothing here decides: `causes` does. Nothing here deletes: `job_cleanup` does.
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
    PODS_EVENTS,
    failure_of_pod,
    failure_of_refusals,
    failure_of_start,
    how_telling,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Mapping

log = logging.getLogger(__name__)

PODS_SECONDS = 30
"""No batch of pods is waited for longer while others begin to fail."""

NAMED_AT_ONCE = 50
ASKED_ONE_BY_ONE = 200
"""From so many on, everything is listed instead."""


class JobWatch:
    """Sees the Jobs of one namespace, and remembers those that did not succeed."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.jobs = JobCache()
        self._failing: dict[str, Job] = {}
        self._fails = asyncio.Event()

    def observe(self, body: Mapping[str, Any], *, deleted: bool) -> None:
        """Note an event of a Job of ours, and one that begins to fail as to be looked at while it has pods."""
        job = Job.from_object(body)
        before = self.jobs.get(job.name)
        self.jobs.remember(job)
        if deleted:
            self.jobs.mark_gone(job.name, datetime.now(UTC))
        elif job.failing and job.had_pod and not (before and before.failing):
            self._failing[job.name] = job
            self._fails.set()

    async def run(self, namespace: str) -> NoReturn:
        """Look at the pods of Jobs that begin to fail, of all that did so meanwhile at once; until cancelled.

        What cannot be seen is left to the settling, which looks too, if pods last that long.
        """
        while True:
            await self._fails.wait()
            self._fails.clear()
            jobs, self._failing = self._failing, {}
            try:
                async with asyncio.timeout(PODS_SECONDS):
                    await self.look_at_pods(jobs.values(), namespace)
            except (*ERRORS, TimeoutError) as error:
                log.debug("pods not seen", extra={"jobs": len(jobs), "error": str(error)})
            except Exception as error:  # the next ones are to be looked at all the same
                log.error("pods not seen", extra={"jobs": len(jobs), "error": repr(error)}, exc_info=True)

    async def look(self, namespace: str, now: datetime) -> None:
        """See all Jobs that did not succeed. Raises what `api.ERRORS` lists."""
        path = f"{jobs_path(namespace)}?labelSelector=app%3D{APP}&fieldSelector=status.successful%3D0"
        self.jobs.replace_all([Job.from_object(body) async for body in self._api.items(path)], now)

    async def find(self, names: Collection[str], namespace: str) -> dict[str, Job]:
        """Return Jobs by name as they are, or were when last seen; without those that nobody saw."""
        unknown = [name for name in names if not _is_known(self.jobs.get(name))]
        if len(unknown) > ASKED_ONE_BY_ONE:
            path = f"{jobs_path(namespace)}?labelSelector=app%3D{APP}"
            wanted = set(unknown)
            there = [
                Job.from_object(body) async for body in self._api.items(path) if body["metadata"]["name"] in wanted
            ]
        else:
            slots = asyncio.Semaphore(CONCURRENT_REQUESTS)

            async def ask(name: str) -> Job | None:
                async with slots:
                    body = await self._api.get(f"{jobs_path(namespace)}/{name}")
                return Job.from_object(body) if body else None

            there = [job for job in await asyncio.gather(*map(ask, unknown)) if job]
        seen = {name: job for name in names if (job := self.jobs.get(name))}
        return seen | {job.name: job for job in there}

    async def look_for_failures(self, jobs: Iterable[Job], namespace: str) -> None:
        """See why Jobs get no further: by their pods, or by the Events of those that have none, or had."""
        jobs = list(jobs)
        await self.look_at_pods([job for job in jobs if job.had_pod], namespace)
        unclear = [job for job in jobs if (known := self.jobs.failure_of(job.name)) is None or known.vague]
        without = {job.name for job in unclear if not job.had_pod}
        if without:
            refusals: defaultdict[str, list[Any]] = defaultdict(list)
            async for event in self._events(namespace, "Job", "FailedCreate"):
                if (name := event["involvedObject"]["name"]) in without:
                    refusals[name].append(event)
            for name, events in refusals.items():
                self.jobs.remember_failure(name, failure_of_refusals(events))
        if had_pod := [job for job in unclear if job.had_pod]:
            events = [event for reason in PODS_EVENTS async for event in self._events(namespace, "Pod", reason)]
            for event in sorted(events, key=how_telling):
                seen = datetime.fromisoformat(event["metadata"]["creationTimestamp"])
                if job := job_of_pod(event["involvedObject"]["name"], seen, had_pod):
                    self.jobs.remember_failure(job.name, failure_of_start(event))

    def _events(self, namespace: str, kind: str, reason: str) -> AsyncIterator[Any]:
        selector = quote(f"reason={reason},involvedObject.kind={kind}")
        return self._api.items(f"/api/v1/namespaces/{namespace}/events?fieldSelector={selector}")

    async def look_at_pods(self, jobs: Collection[Job], namespace: str) -> None:
        """See what keeps the pods of Jobs from doing their ticks."""
        names = [job.name for job in jobs]
        everything = len(names) > ASKED_ONE_BY_ONE
        chunks = [names[start : start + NAMED_AT_ONCE] for start in range(0, len(names), NAMED_AT_ONCE)]
        selectors = [f"app={APP}"] if everything else [f"{JOB_NAME_LABEL} in ({','.join(chunk)})" for chunk in chunks]
        for selector in selectors:
            path = f"/api/v1/namespaces/{namespace}/pods?fieldSelector=status.phase%21%3DSucceeded"
            async for pod in self._api.items(f"{path}&labelSelector={quote(selector)}"):
                if failure := failure_of_pod(pod):
                    self.jobs.remember_failure(pod["metadata"]["labels"].get(JOB_NAME_LABEL, ""), failure)


def _is_known(job: Job | None) -> bool:
    """Whether the API server needs not be asked: what is gone may have succeeded in the end."""
    return job is not None and job.state is not JobState.GONE


def jobs_path(namespace: str) -> str:
    """Return the path of a namespace's Jobs."""
    return f"/apis/batch/v1/namespaces/{namespace}/jobs"
