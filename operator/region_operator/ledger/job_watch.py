"""Watches the Jobs of ticks, and finds pod failures in pods and Events.

The Jobs that did not succeed are known from a watch; while no watch runs, each pass of the ledger lists the Jobs. How
the watch is begun again is left to `reflector`. Pods are not watched: most pods succeed, and only the pods of a Job
that begins to fail, or hangs, are read (docs/decisions/0024-jobs-are-known-from-a-watch.md). What a Job or a pod
failure means for a tick is left to `causes`. Deleting Jobs is left to `job_cleanup`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from region_operator.cronjobs.job import Job, JobState
from region_operator.cronjobs.labels import APP
from region_operator.kube.api import CONCURRENT_REQUESTS, ERRORS, Api
from region_operator.kube.reflector import Reflector
from region_operator.ledger.job_cache import JobCache, job_of_pod
from region_operator.ledger.pod_failure import (
    JOB_NAME_LABEL,
    POD_EVENT_REASONS,
    failure_of_pod,
    failure_of_refusals,
    failure_of_start,
    how_telling,
)
from region_operator.ledger.pod_wire import Event, decode_event, decode_pod

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Iterable

log = logging.getLogger(__name__)

T = TypeVar("T")

PODS_SECONDS = 30
"""The longest wait for one batch of pods. Meanwhile further Jobs may begin to fail."""

NAMES_PER_SELECTOR = 50
LIST_ALL_BEYOND = 200
"""Beyond this number of wanted Jobs, everything is listed instead."""


class JobWatch:
    """Watches the Jobs of one namespace. `jobs` remembers the Jobs that did not succeed.

    `on_job` is called with each Job that a list or an event tells of, in its new state. The methods of
    `reflector.Cache` are for the reflector; nobody waits for news, so there is none.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._reflector = Reflector(api, self, resource="jobs", decode=Job.decode)
        self._changed = asyncio.Event()
        self.jobs = JobCache()
        self.on_job: Callable[[Job], None] = lambda _: None

    async def run(self, namespace: str) -> None:
        """Follow the Jobs, and read the pods of Jobs that begin to fail, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read_pods(namespace))
            await self._reflector.run(unsuccessful_jobs_path(namespace))

    async def catch_up(self, namespace: str) -> datetime:
        """Make `jobs` show what the API server has: rely on the watch, or list all Jobs that did not succeed.

        Return when that was, by the API server's clock. Raises what `api.ERRORS` lists.
        """
        await self._reflector.catch_up(unsuccessful_jobs_path(namespace), full=False)
        return self._api.now()

    def replace_all(self, values: Collection[Job], version: str) -> bool:
        """Take in a list of all Jobs that did not succeed."""
        for job in self.jobs.replace_all(values, version, self._api.now()):
            self.on_job(job)
        self._changed.set()
        return False

    def fold(self, value: Job) -> bool:
        """Take in a Job as an event shows it."""
        if self.jobs.remember(value):
            self.on_job(value)
            self._changed.set()
        return False

    def remove(self, value: Job) -> bool:
        """Take in that a Job is gone, or has succeeded."""
        if gone := self.jobs.remove(value, self._api.now()):
            self.on_job(gone)
            self._changed.set()
        return False

    async def refresh(self, namespace: str, job: Job) -> None:
        """Read one Job anew, because the API server has another version than the cache.

        Raises what `api.ERRORS` lists.
        """
        found = await self._get(namespace, job.name)
        if found is not None:
            self.fold(found)
        else:
            self.jobs.mark_gone(job.name, job.uid, self._api.now())

    async def _read_pods(self, namespace: str) -> None:
        """Read the pods of Jobs that begin to fail, in batches, until cancelled.

        If the pods cannot be read now, the ledger's next pass reads the pods, if the pods last until then.
        """
        while True:
            await self._changed.wait()
            self._changed.clear()
            jobs = self.jobs.take_failing()
            try:
                async with asyncio.timeout(PODS_SECONDS):
                    await self.find_failures_in_pods(jobs, namespace)
            except (*ERRORS, TimeoutError) as error:
                log.debug("pods not seen", extra={"jobs": len(jobs), "error": str(error)})
            except Exception as error:  # the next batch must be read all the same
                log.error("pods not seen", extra={"jobs": len(jobs), "error": repr(error)}, exc_info=True)

    async def find(self, names: Collection[str], namespace: str) -> dict[str, Job]:
        """Return Jobs by name: as the API server has each Job, or as last seen if the Job is gone.

        Names of Jobs that nobody saw are left out. Raises what `api.ERRORS` lists.
        """
        unknown = [name for name in names if not _is_known(self.jobs.get(name))]
        if len(unknown) > LIST_ALL_BEYOND:
            wanted = set(unknown)
            all_jobs = self._items(f"{jobs_path(namespace)}?labelSelector=app%3D{APP}", Job.decode)
            existing = [job async for job in all_jobs if job.name in wanted]
        else:
            slots = asyncio.Semaphore(CONCURRENT_REQUESTS)

            async def get(name: str) -> Job | None:
                async with slots:
                    return await self._get(namespace, name)

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
            refusals: defaultdict[str, list[Event]] = defaultdict(list)
            async for event in self._events(namespace, "Job", "FailedCreate"):
                if (name := event.involved_object.name) in without_pod:
                    refusals[name].append(event)
            for name, events in refusals.items():
                self.jobs.remember_failure(name, failure_of_refusals(events))
        if had_pod := [job for job in unclear if job.had_pod]:
            events = [event for reason in POD_EVENT_REASONS async for event in self._events(namespace, "Pod", reason)]
            for event in sorted(events, key=how_telling):
                seen = datetime.fromisoformat(event.metadata.creation_timestamp)
                if job := job_of_pod(event.involved_object.name, seen, had_pod):
                    self.jobs.remember_failure(job.name, failure_of_start(event))

    async def find_failures_in_pods(self, jobs: Collection[Job], namespace: str) -> None:
        """Read the pods of Jobs and remember the pod failures. Raises what `api.ERRORS` lists."""
        names = [job.name for job in jobs]
        chunks = [names[start : start + NAMES_PER_SELECTOR] for start in range(0, len(names), NAMES_PER_SELECTOR)]
        selectors = [f"{JOB_NAME_LABEL} in ({','.join(chunk)})" for chunk in chunks]
        if len(names) > LIST_ALL_BEYOND:
            selectors = [f"app={APP}"]
        for selector in selectors:
            path = f"/api/v1/namespaces/{namespace}/pods?fieldSelector=status.phase%21%3DSucceeded"
            async for pod in self._items(f"{path}&labelSelector={quote(selector)}", decode_pod):
                if failure := failure_of_pod(pod):
                    self.jobs.remember_failure(pod.metadata.labels.get(JOB_NAME_LABEL, ""), failure)

    async def names_with_pod(self, names: Collection[str], namespace: str) -> set[str]:
        """Return the names of those Jobs that have a pod, as the API server has it now. `names` are NAMES_PER_SELECTOR
        at most. Raises what `api.ERRORS` lists.
        """
        selector = quote(f"{JOB_NAME_LABEL} in ({','.join(names)})")
        pods = self._items(f"/api/v1/namespaces/{namespace}/pods?labelSelector={selector}", decode_pod)
        return {pod.metadata.labels[JOB_NAME_LABEL] async for pod in pods}

    def _events(self, namespace: str, kind: str, reason: str) -> AsyncIterator[Event]:
        selector = quote(f"reason={reason},involvedObject.kind={kind}")
        return self._items(f"/api/v1/namespaces/{namespace}/events?fieldSelector={selector}", decode_event)

    async def _items(self, path: str, decode: Callable[[bytes], T]) -> AsyncIterator[T]:
        """Yield the objects of a collection, decoded one by one: no page is held as values."""
        async for page in self._api.pages(path):
            for item in page.items:
                yield decode(bytes(item))

    async def _get(self, namespace: str, name: str) -> Job | None:
        body = await self._api.get(f"{jobs_path(namespace)}/{name}")
        return Job.from_object(body) if body else None


def _is_known(job: Job | None) -> bool:
    """Whether a remembered Job is enough, without a request. A Job that is gone may still exist: as a success."""
    return job is not None and job.state is not JobState.GONE


def jobs_path(namespace: str) -> str:
    """Return the path of a namespace's Jobs."""
    return f"/apis/batch/v1/namespaces/{namespace}/jobs"


def unsuccessful_jobs_path(namespace: str) -> str:
    """Return the path of the ticks' Jobs that did not succeed. Otherwise a start would read every Job."""
    return f"{jobs_path(namespace)}?labelSelector=app%3D{APP}&fieldSelector=status.successful%3D0"
