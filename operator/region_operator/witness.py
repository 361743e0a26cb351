"""What the cluster can say of ticks: its Jobs, their pods and Events, looked at when asked and as events come.

Nothing here decides; `causes` does. As long as a Job is active, Forbid holds its region, so two kinds are deleted here:
one that should have been ended long ago, because its pod hangs on a lost node, and one that still waits for its first
pod when its tick has its final row. Each goes only as it was seen; what cannot be deleted is tried again at the next
settling and holds up nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote

from kubernetes.aio.client import ApiException

from region_operator import metrics
from region_operator.api import CONCURRENT_REQUESTS, ERRORS, Api, ApiUnavailableError, Propagation
from region_operator.cronjob import APP
from region_operator.jobs import (
    JOB_NAME_LABEL,
    PODS_EVENTS,
    Job,
    Jobs,
    JobState,
    how_telling,
    job_of_pod,
    trouble_of_pod,
    trouble_of_refusals,
    trouble_of_start,
)
from region_operator.refusal import in_words
from region_operator.streak import Streak

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Mapping

log = logging.getLogger(__name__)

OVERDUE = timedelta(seconds=60)
"""How much longer than its activeDeadlineSeconds a Job may be active: pods have a grace period, and clocks differ."""

DELETE_SECONDS = 5
"""No settling waits longer for its deletions: an admission webhook may take its time, for each."""

PODS_SECONDS = 30
"""No batch of pods is waited for longer while others begin to fail."""

NAMED_AT_ONCE = 50
ASKED_ONE_BY_ONE = 200
"""From so many on, everything is listed instead."""


class Witness:
    """Sees the Jobs of one namespace, and remembers those that did not succeed."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.jobs = Jobs()
        self._failing: dict[str, Job] = {}
        self._fails = asyncio.Event()
        self._streak = Streak()

    def see(self, body: Mapping[str, Any], *, deleted: bool) -> None:
        """Note an event of a Job of ours, and one that begins to fail as to be looked at while it has pods."""
        job = Job.from_object(body)
        before = self.jobs.get(job.name)
        self.jobs.see(job)
        if deleted:
            self.jobs.gone(job.name, datetime.now(UTC))
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
        path = f"{_jobs_path(namespace)}?labelSelector=app%3D{APP}&fieldSelector=status.successful%3D0"
        self.jobs.all([Job.from_object(body) async for body in self._api.items(path)], now)

    async def find(self, names: Collection[str], namespace: str) -> dict[str, Job]:
        """Return Jobs by name as they are, or were when last seen; without those that nobody saw."""
        unknown = [name for name in names if not _is_known(self.jobs.get(name))]
        if len(unknown) > ASKED_ONE_BY_ONE:
            path = f"{_jobs_path(namespace)}?labelSelector=app%3D{APP}"
            wanted = set(unknown)
            there = [
                Job.from_object(body) async for body in self._api.items(path) if body["metadata"]["name"] in wanted
            ]
        else:
            slots = asyncio.Semaphore(CONCURRENT_REQUESTS)

            async def ask(name: str) -> Job | None:
                async with slots:
                    body = await self._api.get(f"{_jobs_path(namespace)}/{name}")
                return Job.from_object(body) if body else None

            there = [job for job in await asyncio.gather(*map(ask, unknown)) if job]
        seen = {name: job for name in names if (job := self.jobs.get(name))}
        return seen | {job.name: job for job in there}

    async def look_for_trouble(self, jobs: Iterable[Job], namespace: str) -> None:
        """See why Jobs get no further: by their pods, or by the Events of those that have none, or had."""
        jobs = list(jobs)
        await self.look_at_pods([job for job in jobs if job.had_pod], namespace)
        unclear = [job for job in jobs if (known := self.jobs.trouble_of(job.name)) is None or known.vague]
        without = {job.name for job in unclear if not job.had_pod}
        if without:
            refusals: defaultdict[str, list[Any]] = defaultdict(list)
            async for event in self._events(namespace, "Job", "FailedCreate"):
                if (name := event["involvedObject"]["name"]) in without:
                    refusals[name].append(event)
            for name, events in refusals.items():
                self.jobs.trouble(name, trouble_of_refusals(events))
        if had_pod := [job for job in unclear if job.had_pod]:
            events = [event for reason in PODS_EVENTS async for event in self._events(namespace, "Pod", reason)]
            for event in sorted(events, key=how_telling):
                seen = datetime.fromisoformat(event["metadata"]["creationTimestamp"])
                if job := job_of_pod(event["involvedObject"]["name"], seen, had_pod):
                    self.jobs.trouble(job.name, trouble_of_start(event))

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
                if trouble := trouble_of_pod(pod):
                    self.jobs.trouble(pod["metadata"]["labels"].get(JOB_NAME_LABEL, ""), trouble)

    async def delete_overdue(self, namespace: str, now: datetime) -> None:
        """Delete the Jobs that are active although their time is long over, and see before why: their pods go too."""
        overdue = list(self.jobs.overdue(now, OVERDUE))
        await self.look_at_pods(overdue, namespace)
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
                        f"{_jobs_path(namespace)}/{job.name}",
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
            self._tell(refused[0], len(jobs) - len(deleted))
        elif deleted:
            self._streak.ended()
        return deleted

    def _tell(self, error: ApiException | ApiUnavailableError, count: int) -> None:
        kind, words = "no answer", str(error)
        if isinstance(error, ApiException):
            kind, words = f"{error.status} {error.reason}", in_words(error)  # the kind names no Job: each has its own
        if keys := self._streak.failed(kind):
            log.warning("jobs not deleted", extra={"jobs": count, "error": words} | keys)


def _is_known(job: Job | None) -> bool:
    """Whether the API server needs not be asked: what is gone may have succeeded in the end."""
    return job is not None and job.state is not JobState.GONE


def _jobs_path(namespace: str) -> str:
    return f"/apis/batch/v1/namespaces/{namespace}/jobs"
