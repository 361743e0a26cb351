"""Renders the CronJob that ticks for a region. Pure: the same values give the same manifest.

Every field that matters is sent, because anybody could set a field that we leave out. The manifest relies on observed
behaviour of the CronJob and Job controllers. A starting deadline keeps an edited or resumed schedule from catching up
on ticks that are older than the deadline: one tick within it, of up to an hour ago where ticks are sparse, starts at
once. `Forbid` keeps the ticks of a region apart. podReplacementPolicy `Failed` keeps the attempts of a tick apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from region_operator.cronjobs.labels import (
    BBOX_ANNOTATION,
    CODE_ANNOTATION,
    CONTAINER,
    HANDLER_ANNOTATION,
    ID_ANNOTATION,
    NAME_ANNOTATION,
    REGION_LABEL,
    SCHEDULE_ANNOTATION,
    SUSPENDED_BY_ANNOTATION,
    TIMEOUT_ANNOTATION,
    region_key,
)
from region_operator.cronjobs.manifest_parts import (
    COMMON_LABELS,
    CONCURRENCY_POLICY,
    TIME_ZONE,
    Manifest,
    ownership,
    with_digest,
)
from region_operator.cronjobs.pod_spec import pod_spec
from region_operator.durations import format_duration
from region_tick.contract import PERMANENT, TERMINATION_GRACE_SECONDS

if TYPE_CHECKING:
    from datetime import timedelta

    from region_operator.cronjobs.labels import SuspendedBy
    from region_operator.regions.region import RegionRow
    from region_operator.regions.schedule import Schedule
    from region_operator.scheduler import Scheduler
    from region_operator.tick_spec import ExtraMetadata

POD_START_SECONDS = 15


def render_cronjob(
    region: RegionRow,
    schedule: Schedule,
    scheduler: Scheduler,
    *,
    name: str,
    tick_image: str,
    suspended_by: SuspendedBy | None,
) -> Manifest:
    """Return a region's CronJob, digest included. `tick_image` is used if the spec names no image."""
    tick = scheduler.spec.tick
    start_deadline = tick.start_deadline or schedule.start_deadline()
    labels = COMMON_LABELS | {REGION_LABEL: region_key(region.id)}
    manifest = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {
            "name": name,
            "namespace": scheduler.namespace,
            "labels": labels,
            "annotations": _annotations(region, schedule, suspended_by),
        }
        | ownership(scheduler),
        "spec": {
            "schedule": schedule.source,
            "timeZone": TIME_ZONE,
            "concurrencyPolicy": CONCURRENCY_POLICY,
            "startingDeadlineSeconds": int(start_deadline.total_seconds()),
            "suspend": suspended_by is not None,
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": tick.failed_jobs_history_limit,
            "jobTemplate": {
                "metadata": _metadata(tick.job_metadata, labels),
                "spec": _job_spec(region, schedule, scheduler, name, tick_image, start_deadline, labels),
            },
        },
    }
    return with_digest(manifest)


def _job_spec(
    region: RegionRow,
    schedule: Schedule,
    scheduler: Scheduler,
    name: str,
    tick_image: str,
    start_deadline: timedelta,
    labels: dict[str, str],
) -> Manifest:
    tick = scheduler.spec.tick
    permanent = {"containerName": CONTAINER, "operator": "In", "values": sorted(PERMANENT)}
    return {
        "backoffLimit": tick.retries,
        "activeDeadlineSeconds": _active_deadline(start_deadline, region.timeout or tick.timeout, tick.retries),
        "ttlSecondsAfterFinished": int(tick.ttl.total_seconds()),
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {
            "rules": [
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                {"action": "FailJob", "onExitCodes": permanent},
            ]
        },
        "template": {
            "metadata": _metadata(tick.pod_metadata, labels),
            "spec": pod_spec(region, schedule, scheduler, name, tick_image, start_deadline),
        },
    }


def _metadata(extra: ExtraMetadata, labels: dict[str, str]) -> Manifest:
    metadata: Manifest = {"labels": extra.labels | labels}
    return metadata | {"annotations": extra.annotations} if extra.annotations else metadata


def _annotations(region: RegionRow, schedule: Schedule, suspended_by: SuspendedBy | None) -> dict[str, str]:
    texts = {
        ID_ANNOTATION: region.id,
        CODE_ANNOTATION: region.code,
        NAME_ANNOTATION: region.name,
        BBOX_ANNOTATION: str(region.bbox) if region.bbox else None,
        HANDLER_ANNOTATION: region.handler,
        TIMEOUT_ANNOTATION: format_duration(region.timeout) if region.timeout else None,
        SCHEDULE_ANNOTATION: schedule.written if schedule.written != schedule.source else None,
        SUSPENDED_BY_ANNOTATION: suspended_by,
    }
    return {name: str(text) for name, text in texts.items() if text is not None}


def _active_deadline(start_deadline: timedelta, timeout: timedelta, retries: int) -> int:
    """Return the Job's activeDeadlineSeconds.

    The deadline counts from the Job's start. So the time includes the wait for a slot, all attempts and the back-offs.
    A retry may also wait for its database as long as it may work, and one outage holds up one attempt.
    """
    waits = timeout.total_seconds() if retries else 0.0
    backoffs = sum(pod_backoff_seconds(failures) for failures in range(1, retries + 1))
    attempts = (retries + 1) * (timeout.total_seconds() + TERMINATION_GRACE_SECONDS + POD_START_SECONDS)
    return int(start_deadline.total_seconds() + waits + attempts + backoffs)


def pod_backoff_seconds(failures: int) -> int:
    """Return how long the Job controller waits after a Job's n-th failed pod, n >= 1, before it makes the next pod.

    See job_controller.go, DefaultJobPodFailureBackOff and MaxJobPodFailureBackOff.
    """
    return int(min(10 * 2 ** (failures - 1), 600))
