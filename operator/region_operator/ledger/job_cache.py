"""Remembers Jobs and pod failures for a while, as lists, events and answers of the API server tell of them. Pure.

Jobs get deleted (by history limits, ttl or people), and pods even earlier, but the ledger judges later. So the cache
keeps what was seen until then. The cache keeps only Jobs that did not succeed, because the tick of a successful Job has
written a row, and at most MAX_JOBS.

The operator watches only Jobs that did not succeed. A Job that succeeds vanishes from this watch just like a deleted
Job. Jobs that vanish are kept, but evicted first.

Lists and events come in any order and perhaps twice. What is older than what is remembered of a Job is past, and
ignored.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from region_operator.cronjobs.job import Job, JobState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime, timedelta

    from region_operator.ledger.pod_failure import PodFailure

MAX_JOBS = 20_000
"""The most Jobs in memory. A Job takes about a kilobyte."""

_GENERATED_NAME_BASE, _GENERATED_NAME_END = 58, 5
"""A pod's name is the Job's name and a hyphen, cut to 58 characters, and then 5 random characters
(k8s.io/apiserver/pkg/storage/names/generate.go)."""


class JobCache:
    """The Jobs that were seen and did not succeed, by name, and the pod failures."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._failures: dict[str, dict[str, PodFailure]] = {}
        """By the names of Job and pod."""
        self._maybe_succeeded: dict[str, None] = {}
        self._began_to_fail: dict[str, Job] = {}
        self._listed_at = 0
        """The version of the last list."""

    def remember(self, job: Job) -> bool:
        """Remember a Job in its present state. Forget a Job that succeeded. Return False if a newer state is known.

        Beyond MAX_JOBS, Jobs that may have succeeded are evicted first, then the Jobs seen first.
        """
        before = self._jobs.get(job.name)
        if before is not None and _is_past(job, before):
            return False
        self._put(job, before)
        return True

    def remove(self, job: Job, now: datetime) -> Job | None:
        """Remember that a Job is gone, noticed at `now`: deleted, or succeeded. `job` is its last state.

        Return the Job that is gone, None if a newer state is known.
        """
        if not self.remember(job):
            return None
        return self._mark_gone(self._jobs.get(job.name, job), job.resource_version, now)

    def replace_all(self, jobs: Iterable[Job], version: str, now: datetime) -> list[Job]:
        """Take in a list of all Jobs that exist and did not succeed, as of `version`. Every other remembered Job is
        gone, noticed at `now`.

        A list that ends after a newer one is past. Return the Jobs of which nothing newer was known, those that are
        gone included.
        """
        if int(version) < self._listed_at:
            return []
        self._listed_at = int(version)
        existing = {job.name: job for job in jobs}
        vanished = [
            job
            for name, job in self._jobs.items()
            if name not in existing and job.state is not JobState.GONE and job.is_older_than(version)
        ]
        gone = [self._mark_gone(job, version, now) for job in vanished]
        return gone + [job for job in existing.values() if self.remember(job)]

    def mark_gone(self, name: str, uid: str, now: datetime) -> None:
        """Record that a Job does not exist any more, as the API server answered at `now`."""
        job = self._jobs.get(name)
        if job is not None and job.uid == uid and job.state is not JobState.GONE:
            self._mark_gone(job, job.resource_version, now)

    def remember_failure(self, name: str, failure: PodFailure) -> None:
        """Remember a pod failure of a Job. A vague failure never replaces a known failure of the pod."""
        if name in self._jobs:
            failures = self._failures.setdefault(name, {})
            if not (failure.vague and failure.pod in failures):
                failures[failure.pod] = failure

    def take_failing(self) -> list[Job]:
        """Return the Jobs with pods that began to fail since the last call."""
        jobs, self._began_to_fail = list(self._began_to_fail.values()), {}
        return jobs

    def forget(self, before: datetime) -> None:
        """Forget the Jobs that ended before a moment."""
        for name in [name for name, job in self._jobs.items() if job.ended is not None and job.ended < before]:
            self._drop(name)

    def get(self, name: str) -> Job | None:
        return self._jobs.get(name)

    def failure_of(self, name: str, *, pod: str = "") -> PodFailure | None:
        """Return the failure of a Job's pod; if that is unknown, of the youngest pod whose failure is not vague."""
        failures = self._failures.get(name, {})
        if pod and pod in failures:
            return failures[pod]
        return max(failures.values(), key=lambda failure: (not failure.vague, failure.created), default=None)

    def by_region(self) -> Mapping[str, list[Job]]:
        """Return the remembered Jobs by the value of the region's label."""
        regions: defaultdict[str, list[Job]] = defaultdict(list)
        for job in self._jobs.values():
            regions[job.region].append(job)
        return regions

    def waiting(self) -> list[Job]:
        """Return the Jobs that wait for their first pod."""
        return [job for job in self._jobs.values() if job.waits]

    def expired_unseen(self, now: datetime) -> list[Job]:
        """Return the Jobs of ticks whose start deadline was over before the Job controller looked at them."""
        return [job for job in self._jobs.values() if job.expired_unseen(now)]

    def overdue(self, now: datetime, patience: timedelta) -> list[Job]:
        """Return the Jobs that are active although the Job controller should have ended the Jobs `patience` ago."""
        return [job for job in self._jobs.values() if job.is_overdue(now, patience)]

    def __len__(self) -> int:
        return len(self._jobs)

    def _put(self, job: Job, before: Job | None) -> None:
        self._jobs.pop(job.name, None)
        self._maybe_succeeded.pop(job.name, None)
        if job.state is JobState.COMPLETE:
            self._drop(job.name)
            return
        same = before if before is not None and before.uid == job.uid else None
        if same and same.had_pod and not job.had_pod:
            job = replace(job, had_pod=True)
        self._jobs[job.name] = job
        if job.failing and job.had_pod and not (same and same.failing):
            self._began_to_fail[job.name] = job
        while len(self._jobs) > MAX_JOBS:
            self._drop(next(iter(self._maybe_succeeded or self._jobs)))

    def _mark_gone(self, job: Job, version: str, now: datetime) -> Job:
        gone = replace(job, state=JobState.GONE, resource_version=version, ended=job.ended or now)
        if job.name in self._jobs:
            self._jobs[job.name] = gone
            if not job.failing:
                self._maybe_succeeded[job.name] = None
        return gone

    def _drop(self, name: str) -> None:
        self._jobs.pop(name, None)
        self._failures.pop(name, None)
        self._maybe_succeeded.pop(name, None)
        self._began_to_fail.pop(name, None)


def _is_past(job: Job, known: Job) -> bool:
    """Whether `known` tells more. Nothing but a newer Job follows a Job that is gone."""
    if known.state is JobState.GONE and known.uid == job.uid:
        return not known.is_older_than(job.resource_version)
    return job.is_older_than(known.resource_version)


def job_of_pod(pod_name: str, seen: datetime, jobs: Iterable[Job]) -> Job | None:
    """Return the Job of a pod, by the pod's name and a moment when the pod was seen; None if no Job fits."""
    base = pod_name[:-_GENERATED_NAME_END]
    matching = (job for job in jobs if f"{job.name}-"[:_GENERATED_NAME_BASE] == base)
    return next((job for job in matching if job.was_active(seen, seen)), None)
