"""What is known of Jobs and their pods: read from the API server's objects, and remembered for a while. Pure.

Jobs go (history limits, ttl, people) and their pods before them, but the ledger asks later. So what events say is kept
until then: of Jobs that did not succeed, because the others have written their rows, and of no more than MOST. By a
watch of what did not succeed, a success looks like a Job that was deleted: such are kept too, but forgotten first.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from region_operator.cronjob import CONTAINER, REGION_LABEL
from region_tick.contract import ExitCode, Reason

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

MOST = 20_000
"""Jobs in memory, of some hundred bytes each."""

JOB_NAME_LABEL = "batch.kubernetes.io/job-name"
_DEADLINE_EXCEEDED = "DeadlineExceeded"
_FAILED_SCHEDULING = "FailedScheduling"
PODS_EVENTS = ("Failed", _FAILED_SCHEDULING)
"""The reasons of Events of pods that did not start; a pod that is deleted no longer says why, or is gone at once."""
_STAYS_PENDING = "its pod stays pending"
_GENERATED_NAME_BASE, _GENERATED_NAME_END = 58, 5
"""A pod's name is that of its Job and a hyphen, cut to so many characters, and so many at random
(k8s.io/apiserver/pkg/storage/names/generate.go)."""
_QUOTA = ("exceeded quota", "status unknown for quota", "cannot be fulfilled on resourcequotas")
"""What the quota says: it is full, was not counted yet, or many asked it at once
(k8s.io/apiserver/pkg/admission/plugin/resourcequota/controller.go, CheckRequest, checkQuotas)."""
_IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"})


class JobState(StrEnum):
    """Where a Job is in its life. A Job whose pods are still terminating is active: Forbid counts it."""

    ACTIVE = "active"
    COMPLETE = "complete"
    FAILED = "failed"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What kept a Job's pods from doing their tick, with its own words."""

    reason: Reason
    detail: str

    @property
    def vague(self) -> bool:
        """Whether others may know more: a pod whose end is near no longer says why it did not start."""
        return self.detail == _STAYS_PENDING


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


class Jobs:
    """What was seen of Jobs, by name, and what troubled their pods."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._troubles: dict[str, Trouble] = {}
        self._maybe_succeeded: dict[str, None] = {}

    def see(self, job: Job) -> None:
        """Note a Job as it is now. Beyond MOST, what may have succeeded is forgotten, then what was seen first."""
        before = self._jobs.pop(job.name, None)
        self._maybe_succeeded.pop(job.name, None)
        if job.state is JobState.COMPLETE:
            self._troubles.pop(job.name, None)
            return
        had_pod = job.had_pod or (before is not None and before.uid == job.uid and before.had_pod)
        self._jobs[job.name] = replace(job, had_pod=had_pod)
        while len(self._jobs) > MOST:
            self._drop(next(iter(self._maybe_succeeded or self._jobs)))

    def gone(self, name: str, now: datetime) -> None:
        """Note that one is there no longer, or no longer one of those that did not succeed."""
        job = self._jobs.get(name)
        if job is not None and job.state is not JobState.GONE:
            self._jobs[name] = replace(job, state=JobState.GONE, ended=job.ended or now)
            if not job.failing:
                self._maybe_succeeded[name] = None

    def trouble(self, name: str, trouble: Trouble) -> None:
        """Note what troubles a Job's pods; nothing vague about one of which more is known."""
        if name in self._jobs and not (trouble.vague and name in self._troubles):
            self._troubles[name] = trouble

    def all(self, jobs: Iterable[Job], now: datetime) -> None:
        """Note all that did not succeed: those of before that are not among them are gone."""
        there = {job.name: job for job in jobs}
        for name in self._jobs.keys() - there.keys():
            self.gone(name, now)
        for job in there.values():
            self.see(job)

    def forget(self, before: datetime) -> None:
        """Forget those that ended before a moment."""
        for name in [name for name, job in self._jobs.items() if job.ended is not None and job.ended < before]:
            self._drop(name)

    def get(self, name: str) -> Job | None:
        return self._jobs.get(name)

    def trouble_of(self, name: str) -> Trouble | None:
        return self._troubles.get(name)

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
        self._troubles.pop(name, None)
        self._maybe_succeeded.pop(name, None)


def trouble_of_pod(pod: Mapping[str, Any]) -> Trouble | None:
    """Return what keeps a pod from doing its tick, None where nothing can be seen."""
    status = pod.get("status", {})
    disrupted = _condition(status, "DisruptionTarget", "True")
    if disrupted or status.get("reason") in ("Evicted", "NodeLost", "Preempting"):
        about = disrupted or status
        return Trouble(Reason.NODE_LOST, _words(about))
    for container in status.get("containerStatuses", []):
        if container["name"] == CONTAINER and (found := _trouble_of_container(container)):
            return found
    unscheduled = _condition(status, "PodScheduled", "False")
    if unscheduled:
        return Trouble(Reason.NO_NODE, _words(unscheduled))
    if status.get("phase") == "Pending":
        return Trouble(Reason.NOT_STARTED, _STAYS_PENDING)
    return None


def trouble_of_refusals(events: Collection[Mapping[str, Any]]) -> Trouble:
    """Read the Events FailedCreate of one Job, one at least: whether it was the quota that refused its pods more often,
    or something else; of both as often, what did so last. The quota's name a pod each, so the same words come in many
    Events.
    """
    said: Counter[Reason] = Counter()
    for event in events:
        said[_refused_by(event)] += _times_said(event)

    def order(event: Mapping[str, Any]) -> tuple[int, str]:
        return said[_refused_by(event)], event.get("lastTimestamp") or ""

    last = max(events, key=order)
    return Trouble(_refused_by(last), last.get("message", ""))


def trouble_of_start(event: Mapping[str, Any]) -> Trouble:
    """Read one of PODS_EVENTS: what kept a pod from being scheduled, or the kubelet from starting its container
    (pkg/kubelet/images, pkg/kubelet/kuberuntime).
    """
    message: str = event.get("message", "")
    if event["reason"] == _FAILED_SCHEDULING:
        return Trouble(Reason.NO_NODE, message)
    image = message.startswith("Failed to pull image") or message.removeprefix("Error: ") in _IMAGE
    return Trouble(Reason.IMAGE if image else Reason.NOT_STARTED, message)


def how_telling(event: Mapping[str, Any]) -> tuple[bool, bool, int, int]:
    """Order PODS_EVENTS: what came after scheduling tells more, words more than a code, and more what was said more
    often, which is no passing state of the kubelet (pkg/kubelet/util/manager/watch_based_manager.go, Get).
    """
    message: str = event.get("message", "")
    in_words = " " in message.removeprefix("Error: ")
    return event["reason"] != _FAILED_SCHEDULING, in_words, _times_said(event), len(message)


def job_of_pod(name: str, seen: datetime, jobs: Iterable[Job]) -> Job | None:
    """Return which of some Jobs a pod of that name was of, which was seen then."""
    base = name[:-_GENERATED_NAME_END]
    of_base = (job for job in jobs if f"{job.name}-"[:_GENERATED_NAME_BASE] == base)
    return next((job for job in of_base if job.was_active(seen, seen)), None)


def _refused_by(event: Mapping[str, Any]) -> Reason:
    message: str = event.get("message", "")
    return Reason.CAPACITY if any(words in message for words in _QUOTA) else Reason.REFUSED


def _times_said(event: Mapping[str, Any]) -> int:
    return event.get("count") or 1


def _trouble_of_container(container: Mapping[str, Any]) -> Trouble | None:
    states = [container.get("state", {}), container.get("lastState", {})]
    for state in states:
        if waiting := state.get("waiting"):
            reason = waiting.get("reason", "")
            if reason in _IMAGE:
                return Trouble(Reason.IMAGE, _words(waiting))
            if reason not in ("", "ContainerCreating", "PodInitializing"):
                return Trouble(Reason.NOT_STARTED, _words(waiting))
        if ended := state.get("terminated"):
            return _trouble_of_end(ended)
    return None


def _trouble_of_end(ended: Mapping[str, Any]) -> Trouble | None:
    code = ended.get("exitCode", 0)
    if ended.get("reason") == "OOMKilled":
        return Trouble(Reason.OUT_OF_MEMORY, "the container was killed")
    if ended.get("reason") in ("StartError", "ContainerCannotRun"):
        return Trouble(Reason.NOT_STARTED, _words(ended))
    if code in (ExitCode.AGAIN, ExitCode.NOT_PERMITTED):
        return Trouble(Reason.DATABASE, f"exit code {code}")
    return Trouble(Reason.POD_FAILED, f"exit code {code}") if code else None


def _condition(status: Mapping[str, Any], kind: str, value: str) -> Mapping[str, Any] | None:
    for condition in status.get("conditions", []):
        if condition["type"] == kind and condition["status"] == value:
            found: Mapping[str, Any] = condition
            return found
    return None


def _words(about: Mapping[str, Any]) -> str:
    return ": ".join(filter(None, (about.get("reason", ""), about.get("message", ""))))


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
