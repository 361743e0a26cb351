"""Makes the Job of a rerun out of a region's CronJob, and reads what the cluster says of such Jobs. Pure.

The CronJob owns the Job, so the Job goes with its region. But the CronJob does not control the Job: so its controller
neither warns of the Job nor counts the Job for `Forbid`, nor deletes it by the history limits.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kubectl_region.cluster import CONTAINER
from region_tick.contract import OF_RERUNS, RERUN_BY_ANNOTATION, TICK_AT_LABEL, Variable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kubectl_region.backfill_plan import Rerun

KEPT_SECONDS = 600
"""How long the Job of a rerun stays at most when it has ended: a backfill makes many, and no history limit counts them.
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """A rerun's Job as the cluster has it. `why` says why it failed; "" if it did not."""

    cronjob: str
    code: str
    tick_at: datetime
    active: bool
    why: str


def make_job(cronjob: Mapping[str, Any], rerun: Rerun, *, by: str) -> dict[str, Any]:
    """Return the Job that runs a tick again. `by` says who wants it, in their own words."""
    job_template: dict[str, Any] = copy.deepcopy(cronjob["spec"]["jobTemplate"])
    spec, minute = job_template["spec"], f"{rerun.tick_at:%Y%m%dT%H%MZ}"
    for metadata in (job_template.setdefault("metadata", {}), spec["template"].setdefault("metadata", {})):
        metadata.setdefault("labels", {})[TICK_AT_LABEL] = minute
        metadata.setdefault("annotations", {})[RERUN_BY_ANNOTATION] = by
    spec["ttlSecondsAfterFinished"] = min(spec.get("ttlSecondsAfterFinished", KEPT_SECONDS), KEPT_SECONDS)
    for container in spec["template"]["spec"]["containers"]:
        if container["name"] == CONTAINER:
            others = [item for item in container.get("env", []) if item["name"] not in OF_RERUNS]
            container["env"] = [*others, *_variables(rerun, by)]
    owner = {"apiVersion": "batch/v1", "kind": "CronJob"} | {key: cronjob["metadata"][key] for key in ("name", "uid")}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": job_template["metadata"]
        | {"name": rerun.job, "namespace": cronjob["metadata"]["namespace"], "ownerReferences": [owner]},
        "spec": spec,
    }


def read_job(job: Mapping[str, Any]) -> Seen:
    """Read the Job of a rerun."""
    conditions = {
        item["type"]: item for item in job.get("status", {}).get("conditions", []) if item["status"] == "True"
    }
    variables = {
        item["name"]: item.get("value", "")
        for container in job["spec"]["template"]["spec"]["containers"]
        if container["name"] == CONTAINER
        for item in container.get("env", [])
    }
    failed = conditions.get("Failed", {})
    return Seen(
        cronjob=variables.get(Variable.CRONJOB_NAME, ""),
        code=variables.get(Variable.REGION_CODE, "").replace("$$", "$"),
        tick_at=datetime.strptime(job["metadata"]["labels"][TICK_AT_LABEL], "%Y%m%dT%H%MZ").replace(tzinfo=UTC),
        active=not conditions.keys() & {"Complete", "Failed"},
        why=": ".join(filter(None, (failed.get("reason"), failed.get("message")))),
    )


def _variables(rerun: Rerun, by: str) -> list[dict[str, str]]:
    """Return the reserved variables. The kubelet replaces `$(NAME)` and `$$` in a value."""
    return [
        {"name": str(Variable.RERUN_OF), "value": f"{rerun.tick_at:%Y-%m-%dT%H:%M:00Z}"},
        {"name": str(Variable.RERUN_BY), "value": by.replace("$", "$$")},
    ]
