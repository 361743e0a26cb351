"""Tells which Jobs of ticks wait for a pod, and from when to when a pod is worth a slot. Pure.

Which waiting Job is next is left to `nudge`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from region_operator.cronjobs.job import JobState
from region_operator.cronjobs.render import pod_backoff_seconds
from region_tick.contract import LATENESS_TOLERANCE_SECONDS

if TYPE_CHECKING:
    from region_operator.cronjobs.job import Job


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """A Job whose next pod the quota refused."""

    name: str
    uid: str
    cronjob: str
    minute: int
    """The tick's scheduled minute, in minutes since 1970; of a rerun, the minute in which its Job was made."""
    failed_pods: int
    not_before: float
    """When the Job controller's back-off from a failed pod ends at the latest, in Unix time; 0 without a failed pod."""
    until: float
    """Up to when the first pod can still claim the tick, in Unix time. A later pod would take a slot for nothing."""
    ttl: int | None
    """The Job's ttlSecondsAfterFinished."""
    rerun: bool = False
    """Whether the Job runs a tick again, long after its time: it gives way to ticks, which have a latest start."""


def waiting_job(job: Job, *, now: float) -> WaitingJob | None:
    """Return the waiting Job; None if the Job does not wait, or if the Job controller has not synced the Job yet.

    `now` is the Unix time at which the Job was seen in this state. The first sync sets startTime, in the same write as
    the number of created pods (job_controller.go, syncJob).
    """
    cronjob, minute = cronjob_and_minute(job.name)
    if job.rerun:
        minute = int(job.created.timestamp()) // 60
    waits = job.state is JobState.ACTIVE and job.makes_pods and job.started is not None and not job.has_pod
    if minute is None or not waits:
        return None
    not_before = now + pod_backoff_seconds(job.failed_pods) if job.failed_pods else 0.0
    latest_start = minute * 60 + job.start_deadline_seconds + LATENESS_TOLERANCE_SECONDS
    until = math.inf if job.failed_pods or job.rerun else latest_start
    return WaitingJob(
        job.name, job.uid, cronjob, minute, job.failed_pods, not_before, until, job.ttl_seconds, rerun=job.rerun
    )


def cronjob_and_minute(job_name: str) -> tuple[str, int | None]:
    """Return the CronJob and the scheduled minute (since 1970) that a Job's name tells; None for a manual run's."""
    cronjob, _, minute = job_name.rpartition("-")
    return cronjob, int(minute) if minute.isdecimal() else None


def began_at(job: Job) -> float | None:
    """Return when the Job controller began with a Job that has or had a pod, in Unix time; None without a pod.

    The first pod may be younger: the Job may have waited for a slot.
    """
    return job.started.timestamp() if job.started and (job.has_pod or job.failed_pods) else None
