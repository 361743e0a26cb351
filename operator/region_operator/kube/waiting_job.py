"""Reads a tick's Job that waits for a pod from the API server's object. Pure.

Which waiting Job is next is left to `nudge`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from region_operator.cronjobs.render import pod_backoff_seconds
from region_tick.contract import LATENESS_TOLERANCE_SECONDS, Variable

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """A Job whose next pod the quota refused."""

    name: str
    uid: str
    cronjob: str
    minute: int
    """The tick's scheduled minute, in minutes since 1970."""
    failed_pods: int
    not_before: float
    """When the Job controller's back-off from a failed pod ends at the latest, in Unix time; 0 without a failed pod."""
    until: float
    """Up to when the first pod can still claim the tick, in Unix time. A later pod would take a slot for nothing."""
    ttl: int | None
    """The Job's ttlSecondsAfterFinished."""


def waiting_job(job: Mapping[str, Any], *, now: float) -> WaitingJob | None:
    """Return the waiting Job; None if the Job does not wait, or if the Job controller has not synced the Job yet.

    `now` is the Unix time at which the Job was seen in this state. The first sync sets startTime, in the same write as
    the number of created pods (job_controller.go, syncJob).
    """
    meta, status = job["metadata"], job.get("status", {})
    cronjob, minute = cronjob_and_minute(meta["name"])
    over = any(condition["status"] == "True" for condition in status.get("conditions", []))
    if minute is None or over or "deletionTimestamp" in meta or "startTime" not in status or has_pod(job):
        return None
    failed: int = status.get("failed", 0)
    not_before = now + pod_backoff_seconds(failed) if failed else 0.0
    until = math.inf if failed else minute * 60 + _start_deadline(job) + LATENESS_TOLERANCE_SECONDS
    ttl: int | None = job["spec"].get("ttlSecondsAfterFinished")
    return WaitingJob(meta["name"], meta["uid"], cronjob, minute, failed, not_before, until, ttl)


def cronjob_and_minute(job_name: str) -> tuple[str, int | None]:
    """Return the CronJob and the scheduled minute (since 1970) that a Job's name tells; None for a manual run's."""
    cronjob, _, minute = job_name.rpartition("-")
    return cronjob, int(minute) if minute.isdecimal() else None


def has_pod(job: Mapping[str, Any]) -> bool:
    """Whether the Job has a pod that has not ended."""
    status = job.get("status", {})
    return bool(status.get("active") or status.get("terminating"))


def began_at(job: Mapping[str, Any]) -> float | None:
    """Return when the Job controller began with a Job that has or had a pod, in Unix time; None without a pod.

    The first pod may be younger: the Job may have waited for a slot.
    """
    status = job.get("status", {})
    if "startTime" not in status or not (has_pod(job) or status.get("failed")):
        return None
    return datetime.fromisoformat(status["startTime"]).timestamp()


def _start_deadline(job: Mapping[str, Any]) -> float:
    """Return how many seconds after the scheduled minute a Job's first pod may start, by the pod's environment."""
    [container, *_] = job["spec"]["template"]["spec"]["containers"]
    variables = {item["name"]: item.get("value", "") for item in container.get("env", [])}
    seconds = variables.get(Variable.START_DEADLINE_SECONDS, "")
    return float(seconds) if seconds.isdecimal() else math.inf
