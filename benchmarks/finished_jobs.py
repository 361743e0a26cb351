"""Makes, for each CronJob, a Job and its pod that have ended, without a node: as a large installation has them.

The Jobs are `managedBy` nobody, so that the Job controller leaves them alone.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from region_operator.kube.api import CONCURRENT_REQUESTS, MERGE
from region_operator.kube.connect import connect
from region_operator.kube.cronjob_watch import cronjobs_path
from region_operator.ledger.job_watch import jobs_path
from region_operator.ledger.pod_failure import JOB_NAME_LABEL
from region_operator.scheduler import format_time
from tests.node.installation import job_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from region_operator.kube.api import Api


async def finish_one_tick_each(namespace: str) -> None:
    """Make a Job and a pod for each CronJob of a namespace."""
    async with connect("benchmark") as api:
        cronjobs = iter([item async for item in api.items(cronjobs_path(namespace))])
        await asyncio.gather(*(_finish(api, namespace, cronjobs) for _ in range(CONCURRENT_REQUESTS)))


async def _finish(api: Api, namespace: str, cronjobs: Iterator[dict[str, Any]]) -> None:
    for cronjob in cronjobs:
        now = format_time(datetime.now(UTC))
        job = job_of(cronjob, int(time.time() // 60))
        job["spec"]["managedBy"] = "example.com/nobody"
        conditions = [
            {"type": kind, "status": "True", "reason": "CompletionsReached", "lastTransitionTime": now}
            for kind in ("SuccessCriteriaMet", "Complete")
        ]
        status: dict[str, Any] = {"startTime": now, "completionTime": now, "succeeded": 1, "conditions": conditions}
        made = await create_with_status(api, jobs_path(namespace), job, status)
        ended = {"terminated": {"exitCode": 0, "reason": "Completed"}}
        container = {"name": "tick", "ready": False, "restartCount": 0, "image": "", "imageID": "", "state": ended}
        status = {"phase": "Succeeded", "containerStatuses": [container]}
        await create_with_status(api, f"/api/v1/namespaces/{namespace}/pods", _pod_of(made), status)


def _pod_of(job: dict[str, Any]) -> dict[str, Any]:
    name, template = job["metadata"]["name"], job["spec"]["template"]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job["metadata"]["uid"], "controller": True}
    labels = template["metadata"]["labels"] | {JOB_NAME_LABEL: name}
    meta = {"name": f"{name}-x7z2k", "labels": labels, "ownerReferences": [owner]}
    spec = {key: value for key, value in template["spec"].items() if key != "priorityClassName"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec | {"schedulerName": "nobody"}}


async def create_with_status(api: Api, path: str, body: dict[str, Any], status: dict[str, Any]) -> dict[str, Any]:
    """Create an object below `path`, and give the object its status. Return what was created."""
    made = await api.request("POST", path, body=body)
    at = f"{path}/{body['metadata']['name']}/status"
    await api.request("PATCH", at, body={"status": status}, content_type=MERGE)
    return made
