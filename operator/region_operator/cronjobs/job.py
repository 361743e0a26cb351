"""A tick's Job as a small value: the parts of the object by which the ledger and the nudges go. Pure.

What a Job means for its tick is left to `causes`, and which waiting Job is next to `nudge`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from sys import intern
from typing import TYPE_CHECKING, Any

from region_operator.cronjobs.labels import REGION_LABEL
from region_operator.cronjobs.rendered import tick_variables
from region_operator.cronjobs.wire import decode_job, encode
from region_tick.contract import Variable

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEADLINE_EXCEEDED = "DeadlineExceeded"


class JobState(StrEnum):
    """The state of a Job. A Job with terminating pods is still active, because Forbid counts the Job."""

    ACTIVE = "active"
    COMPLETE = "complete"
    FAILED = "failed"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A Job as the API server has it, or had it. If the Job is gone, `ended` is when the deletion was noticed."""

    name: str
    uid: str
    resource_version: str
    region: str
    """The value of the region's label."""
    rerun: bool
    """Whether the Job runs a tick again, long after its time."""
    state: JobState
    created: datetime
    started: datetime | None
    """When the Job controller first synced the Job."""
    ended: datetime | None
    deadline: timedelta | None
    """The Job's activeDeadlineSeconds."""
    start_deadline_seconds: float
    """Up to how many seconds after the scheduled minute the tick may start; math.inf if the tick is told none."""
    ttl_seconds: int | None
    """The Job's ttlSecondsAfterFinished."""
    failed_pods: int
    has_pod: bool
    """Whether the Job has a pod that has not ended."""
    had_pod: bool
    """Whether the Job has or had a pod."""
    timed_out: bool
    failing: bool
    """Whether the Job has failed or is about to fail. The pods may be gone soon, so are best read now."""
    makes_pods: bool
    """Whether the Job controller makes pods for the Job: nobody deleted the Job, and the Job neither ends nor is
    suspended.
    """

    @classmethod
    def decode(cls, body: bytes) -> Job:
        """Read an object of the API server. Raises msgspec.ValidationError if the object is no Job."""
        job = decode_job(body)
        meta, spec, status = job.metadata, job.spec, job.status
        conditions = {item.type: item for item in status.conditions if item.status == "True"}
        end = conditions.get("Failed") or conditions.get("Complete")
        failure = conditions.get("Failed") or conditions.get("FailureTarget")
        has_pod = bool(status.active or status.terminating)
        variables = tick_variables(spec.template)
        return cls(
            name=meta.name,
            uid=meta.uid,
            resource_version=meta.resource_version,
            region=intern(meta.labels.get(REGION_LABEL, "")),
            rerun=Variable.RERUN_OF in variables,
            state=JobState.ACTIVE if not end else JobState.FAILED if "Failed" in conditions else JobState.COMPLETE,
            created=datetime.fromisoformat(meta.creation_timestamp),
            started=_moment(status.start_time),
            ended=_moment(end.last_transition_time) if end else None,
            deadline=timedelta(seconds=spec.active_deadline_seconds) if spec.active_deadline_seconds else None,
            start_deadline_seconds=_start_deadline(variables),
            ttl_seconds=spec.ttl_seconds_after_finished,
            failed_pods=status.failed,
            has_pod=has_pod,
            had_pod=has_pod or bool(status.succeeded or status.failed),
            timed_out=failure is not None and failure.reason == _DEADLINE_EXCEEDED,
            failing=failure is not None,
            makes_pods=not conditions and not spec.suspend and meta.deletion_timestamp is None,
        )

    @classmethod
    def from_object(cls, body: Mapping[str, Any]) -> Job:
        """Read an object that was decoded into dictionaries."""
        return cls.decode(encode(body))

    @property
    def waits(self) -> bool:
        """Whether the Job waits for its first pod: the Job controller could not make one, or did not get there yet."""
        looked_at = self.started is not None or self.makes_pods
        return self.state is JobState.ACTIVE and looked_at and not self.had_pod and not self.failing

    def expired_unseen(self, now: datetime) -> bool:
        """Whether the start deadline of the Job's tick was over before the Job controller looked at the Job.

        The name tells the tick, as the CronJob controller names a Job that it makes within the start deadline.
        """
        minute = self.name.rpartition("-")[2]
        if not (minute.isdecimal() and self.waits and self.started is None):
            return False
        tick_at = int(minute) * 60.0
        latest_start = tick_at + self.start_deadline_seconds
        return tick_at <= self.created.timestamp() <= latest_start < now.timestamp()

    def was_active(self, since: datetime, until: datetime) -> bool:
        """Whether the Job was active at some time after `since` and up to `until`."""
        return self.created <= until and (self.ended is None or self.ended > since)

    def is_overdue(self, now: datetime, patience: timedelta) -> bool:
        """Whether the Job is active although the Job controller should have ended the Job `patience` ago."""
        if self.state is not JobState.ACTIVE or self.started is None or self.deadline is None:
            return False
        return now > self.started + self.deadline + patience

    def is_older_than(self, version: str) -> bool:
        """Whether a resourceVersion is newer than the Job's. Versions of one resource can be compared (KEP-5504)."""
        return int(self.resource_version) < int(version)


def _start_deadline(variables: Mapping[str, str]) -> float:
    seconds = variables.get(Variable.START_DEADLINE_SECONDS, "")
    return float(seconds) if seconds.isdecimal() else math.inf


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
