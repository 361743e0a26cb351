"""Reads Jobs from the API server's objects, and remembers Jobs and pod failures for a while. Pure.

Jobs get deleted (by history limits, ttl or people), and pods even earlier, but the ledger judges later. So the cache
keeps what was seen until then. The cache keeps only Jobs that did not succeed, because the tick of a successful Job has
written a row, and at most MAX_JOBS.

The operator watches only Jobs that did not succeed. A Job that succeeds vanishes from this watch just like a deleted
Job. Jobs that vanish are kept, but evicted first.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from region_operator.cronjobs.labels import REGION_LABEL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from region_operator.ledger.pod_failure import PodFailure

_DEADLINE_EXCEEDED = "DeadlineExceeded"
MAX_JOBS = 20_000
"""The most Jobs in memory. A Job takes some hundred bytes."""

_GENERATED_NAME_BASE, _GENERATED_NAME_END = 58, 5
"""A pod's name is the Job's name and a hyphen, cut to 58 characters, and then 5 random characters
(k8s.io/apiserver/pkg/storage/names/generate.go)."""


class JobState(StrEnum):
    """The state of a Job. A Job with terminating pods is still active, because Forbid counts the Job."""

    ACTIVE = "active"
    COMPLETE = "complete"
    FAILED = "failed"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the ledger needs of a Job. If the Job is gone, `ended` is when the deletion was noticed."""

    name: str
    uid: str
    resource_version: str
    region: str
    state: JobState
    created: datetime
    started: datetime | None
    ended: datetime | None
    deadline: timedelta | None
    had_pod: bool
    timed_out: bool
    failing: bool
    """Whether the Job has failed or is about to fail. The pods may be gone soon, so are best read now."""

    @classmethod
    def from_object(cls, body: Mapping[str, Any]) -> Job:
        """Read the API server's object."""
        meta, spec, status = body["metadata"], body["spec"], body.get("status", {})
        conditions = {item["type"]: item for item in status.get("conditions", []) if item["status"] == "True"}
        end = conditions.get("Failed") or conditions.get("Complete")
        failure = conditions.get("Failed") or conditions.get("FailureTarget") or {}
        state = JobState.ACTIVE if not end else JobState.FAILED if "Failed" in conditions else JobState.COMPLETE
        seconds = spec.get("activeDeadlineSeconds")
        return cls(
            name=meta["name"],
            uid=meta["uid"],
            resource_version=meta["resourceVersion"],
            region=meta.get("labels", {}).get(REGION_LABEL, ""),
            state=state,
            created=datetime.fromisoformat(meta["creationTimestamp"]),
            started=_moment(status.get("startTime")),
            ended=_moment(end["lastTransitionTime"]) if end else None,
            deadline=timedelta(seconds=seconds) if seconds else None,
            had_pod=any(status.get(count) for count in ("active", "succeeded", "failed", "terminating")),
            timed_out=failure.get("reason") == _DEADLINE_EXCEEDED,
            failing=bool(failure),
        )

    @property
    def waits(self) -> bool:
        """Whether the Job waits for its first pod: the Job controller has synced the Job but could not create a pod."""
        return self.state is JobState.ACTIVE and self.started is not None and not self.had_pod and not self.failing

    def was_active(self, since: datetime, until: datetime) -> bool:
        """Whether the Job was active at some time after `since` and up to `until`."""
        return self.created <= until and (self.ended is None or self.ended > since)

    def is_overdue(self, now: datetime, patience: timedelta) -> bool:
        """Whether the Job is active although the Job controller should have ended the Job `patience` ago."""
        if self.state is not JobState.ACTIVE or self.started is None or self.deadline is None:
            return False
        return now > self.started + self.deadline + patience


class JobCache:
    """The Jobs that were seen and did not succeed, by name, and the pod failures."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._failures: dict[str, PodFailure] = {}
        self._maybe_succeeded: dict[str, None] = {}

    def remember(self, job: Job) -> None:
        """Remember a Job in its present state. Forget a Job that succeeded.

        Beyond MAX_JOBS, Jobs that may have succeeded are evicted first, then the Jobs seen first.
        """
        before = self._jobs.pop(job.name, None)
        self._maybe_succeeded.pop(job.name, None)
        if job.state is JobState.COMPLETE:
            self._failures.pop(job.name, None)
            return
        had_pod = job.had_pod or (before is not None and before.uid == job.uid and before.had_pod)
        self._jobs[job.name] = replace(job, had_pod=had_pod)
        while len(self._jobs) > MAX_JOBS:
            self._drop(next(iter(self._maybe_succeeded or self._jobs)))

    def mark_gone(self, name: str, now: datetime) -> None:
        """Record that a Job is gone, noticed at `now`. The Job was deleted, or has succeeded and left the watch."""
        job = self._jobs.get(name)
        if job is not None and job.state is not JobState.GONE:
            self._jobs[name] = replace(job, state=JobState.GONE, ended=job.ended or now)
            if not job.failing:
                self._maybe_succeeded[name] = None

    def remember_failure(self, name: str, failure: PodFailure) -> None:
        """Remember a pod failure of a Job. A vague failure never replaces a known failure."""
        if name in self._jobs and not (failure.vague and name in self._failures):
            self._failures[name] = failure

    def replace_all(self, jobs: Iterable[Job], now: datetime) -> None:
        """Remember `jobs`, all Jobs that exist and did not succeed. Mark every other remembered Job as gone."""
        existing = {job.name: job for job in jobs}
        for name in self._jobs.keys() - existing.keys():
            self.mark_gone(name, now)
        for job in existing.values():
            self.remember(job)

    def forget(self, before: datetime) -> None:
        """Forget the Jobs that ended before a moment."""
        for name in [name for name, job in self._jobs.items() if job.ended is not None and job.ended < before]:
            self._drop(name)

    def get(self, name: str) -> Job | None:
        return self._jobs.get(name)

    def failure_of(self, name: str) -> PodFailure | None:
        return self._failures.get(name)

    def by_region(self) -> Mapping[str, list[Job]]:
        """Return the remembered Jobs by the value of the region's label."""
        regions: defaultdict[str, list[Job]] = defaultdict(list)
        for job in self._jobs.values():
            regions[job.region].append(job)
        return regions

    def waiting(self) -> list[Job]:
        """Return the Jobs that wait for their first pod."""
        return [job for job in self._jobs.values() if job.waits]

    def overdue(self, now: datetime, patience: timedelta) -> list[Job]:
        """Return the Jobs that are active although the Job controller should have ended the Jobs `patience` ago."""
        return [job for job in self._jobs.values() if job.is_overdue(now, patience)]

    def __len__(self) -> int:
        return len(self._jobs)

    def _drop(self, name: str) -> None:
        self._jobs.pop(name, None)
        self._failures.pop(name, None)
        self._maybe_succeeded.pop(name, None)


def job_of_pod(pod_name: str, seen: datetime, jobs: Iterable[Job]) -> Job | None:
    """Return the Job of a pod, by the pod's name and a moment when the pod was seen; None if no Job fits."""
    base = pod_name[:-_GENERATED_NAME_END]
    matching = (job for job in jobs if f"{job.name}-"[:_GENERATED_NAME_BASE] == base)
    return next((job for job in matching if job.was_active(seen, seen)), None)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
