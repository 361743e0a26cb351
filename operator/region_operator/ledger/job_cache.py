"""What is known of Jobs and their pods: read from the API server's objects, and remembered for a while. Pure.

Jobs go (history limits, ttl, people) and their pods before them, but the ledger asks later. So what events say is kept
until then: of Jobs that did not succeed, because the others have written their rows, and of no more than MOST. By a
watch of what did not succeed, a success looks like a Job that was deleted: such are kept too, but forgotten first.
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
MOST = 20_000
"""Jobs in memory, of some hundred bytes each."""

_GENERATED_NAME_BASE, _GENERATED_NAME_END = 58, 5
"""A pod's name is that of its Job and a hyphen, cut to so many characters, and so many at random
(k8s.io/apiserver/pkg/storage/names/generate.go)."""


class JobState(StrEnum):
    """Where a Job is in its life. A Job whose pods are still terminating is active: Forbid counts it."""

    ACTIVE = "active"
    COMPLETE = "complete"
    FAILED = "failed"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What matters of a Job. `ended` of one that is gone is when that was noticed."""

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
    """Whether it has failed or is about to: its pods may be read now, and soon no more."""

    @classmethod
    def from_object(cls, body: Mapping[str, Any]) -> Job:
        """Read the API server's object."""
        meta, spec, status = body["metadata"], body["spec"], body.get("status", {})
        conditions = {item["type"]: item for item in status.get("conditions", []) if item["status"] == "True"}
        end = conditions.get("Failed") or conditions.get("Complete")
        why = conditions.get("Failed") or conditions.get("FailureTarget") or {}
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
            timed_out=why.get("reason") == _DEADLINE_EXCEEDED,
            failing=bool(why),
        )

    @property
    def waits(self) -> bool:
        """Whether its controller has looked at it and could make no pod yet."""
        return self.state is JobState.ACTIVE and self.started is not None and not self.had_pod and not self.failing

    def was_active(self, since: datetime, until: datetime) -> bool:
        """Whether it was at some time between two moments."""
        return self.created <= until and (self.ended is None or self.ended > since)

    def overdue(self, now: datetime, patience: timedelta) -> bool:
        """Whether it is active although its controller should have ended it."""
        if self.state is not JobState.ACTIVE or self.started is None or self.deadline is None:
            return False
        return now > self.started + self.deadline + patience


class JobCache:
    """What was seen of Jobs, by name, and what troubled their pods."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._failures: dict[str, PodFailure] = {}
        self._maybe_succeeded: dict[str, None] = {}

    def remember(self, job: Job) -> None:
        """Note a Job as it is now. Beyond MOST, what may have succeeded is forgotten, then what was seen first."""
        before = self._jobs.pop(job.name, None)
        self._maybe_succeeded.pop(job.name, None)
        if job.state is JobState.COMPLETE:
            self._failures.pop(job.name, None)
            return
        had_pod = job.had_pod or (before is not None and before.uid == job.uid and before.had_pod)
        self._jobs[job.name] = replace(job, had_pod=had_pod)
        while len(self._jobs) > MOST:
            self._drop(next(iter(self._maybe_succeeded or self._jobs)))

    def mark_gone(self, name: str, now: datetime) -> None:
        """Note that one is there no longer, or no longer one of those that did not succeed."""
        job = self._jobs.get(name)
        if job is not None and job.state is not JobState.GONE:
            self._jobs[name] = replace(job, state=JobState.GONE, ended=job.ended or now)
            if not job.failing:
                self._maybe_succeeded[name] = None

    def remember_failure(self, name: str, failure: PodFailure) -> None:
        """Note what troubles a Job's pods; nothing vague about one of which more is known."""
        if name in self._jobs and not (failure.vague and name in self._failures):
            self._failures[name] = failure

    def replace_all(self, jobs: Iterable[Job], now: datetime) -> None:
        """Note all that did not succeed: those of before that are not among them are gone."""
        there = {job.name: job for job in jobs}
        for name in self._jobs.keys() - there.keys():
            self.mark_gone(name, now)
        for job in there.values():
            self.remember(job)

    def forget(self, before: datetime) -> None:
        """Forget those that ended before a moment."""
        for name in [name for name, job in self._jobs.items() if job.ended is not None and job.ended < before]:
            self._drop(name)

    def get(self, name: str) -> Job | None:
        return self._jobs.get(name)

    def failure_of(self, name: str) -> PodFailure | None:
        return self._failures.get(name)

    def by_region(self) -> Mapping[str, list[Job]]:
        """Return the Jobs by their region's label."""
        regions: defaultdict[str, list[Job]] = defaultdict(list)
        for job in self._jobs.values():
            regions[job.region].append(job)
        return regions

    def waiting(self) -> list[Job]:
        """Return those that wait for their first pod."""
        return [job for job in self._jobs.values() if job.waits]

    def overdue(self, now: datetime, patience: timedelta) -> list[Job]:
        """Return those that are active although their controller should have ended them."""
        return [job for job in self._jobs.values() if job.overdue(now, patience)]

    def __len__(self) -> int:
        return len(self._jobs)

    def _drop(self, name: str) -> None:
        self._jobs.pop(name, None)
        self._failures.pop(name, None)
        self._maybe_succeeded.pop(name, None)


def job_of_pod(name: str, seen: datetime, jobs: Iterable[Job]) -> Job | None:
    """Return which of some Jobs a pod of that name was of, which was seen then."""
    base = name[:-_GENERATED_NAME_END]
    of_base = (job for job in jobs if f"{job.name}-"[:_GENERATED_NAME_BASE] == base)
    return next((job for job in of_base if job.was_active(seen, seen)), None)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
