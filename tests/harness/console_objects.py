"""Made-up objects of the cluster around a tick that failed for good: its CronJob, Job, pod and their Events."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from region_operator.console.chain import Evidence
from region_operator.console.cluster import read_cronjob, read_event, read_job, read_pod
from region_operator.scheduler import format_time
from tests.harness.console_facts import INSTALLED

if TYPE_CHECKING:
    from datetime import datetime

    from region_operator.console.region_views import TickRow
    from region_operator.console.standing import Version


def seen(version: Version, row: TickRow) -> Evidence:
    """Return what the cluster still knows of a tick whose only attempt failed, with an exit code that ends its Job."""
    assert row.started_at
    assert row.finished_at
    began, ended = row.started_at - timedelta(seconds=3), row.finished_at + timedelta(seconds=1)
    cronjob = {"metadata": _meta(version.cronjob, INSTALLED) | {"uid": "0b1c"}, "spec": {"suspend": False}}
    why = f"Container tick for pod region-tick/{row.pod} failed with exit code {row.exit_code} matching FailJob rule"
    failed = {"reason": "PodFailurePolicy", "message": f"{why} at index 1"}
    condition = {"type": "Failed", "status": "True", "lastTransitionTime": format_time(ended), **failed}
    job = {"metadata": _meta(row.job_name, began), "status": {"conditions": [condition]}}
    terminated = {"exitCode": row.exit_code, "reason": "Error"}
    pod = {
        "metadata": _meta(row.pod, began),
        "spec": {"nodeName": row.node},
        "status": {
            "phase": "Failed",
            "containerStatuses": [{"name": "tick", "state": {"terminated": terminated}}],
        },
    }
    image = "registry.example.com/region-tick/tick:0.1.0"
    events = (
        _event("Job", row.job_name, began, "SuccessfulCreate", f"Created pod: {row.pod}"),
        _event("Pod", row.pod, began, "Scheduled", f"Successfully assigned region-tick/{row.pod} to {row.node}"),
        _event("Pod", row.pod, began, "Pulled", f'Container image "{image}" already present on machine'),
        _event("Pod", row.pod, began + timedelta(seconds=1), "Created", "Container created"),
        _event("Pod", row.pod, began + timedelta(seconds=1), "Started", "Container started"),
        _event("Job", row.job_name, ended, failed["reason"], failed["message"], kind="Warning"),
    )
    return Evidence(
        version=version,
        made=row.started_at,
        cronjob=read_cronjob(cronjob),
        job=read_job(job),
        pods=(read_pod(pod),),
        events=tuple(map(read_event, events)),
    )


def _meta(name: str | None, created: datetime) -> dict[str, Any]:
    return {"name": name, "creationTimestamp": format_time(created)}


def _event(
    about: str, name: str | None, at: datetime, reason: str, message: str, *, kind: str = "Normal"
) -> dict[str, Any]:
    return {
        "metadata": _meta(name, at),
        "involvedObject": {"kind": about, "name": name},
        "lastTimestamp": format_time(at),
        "reason": reason,
        "message": message,
        "type": kind,
    }
