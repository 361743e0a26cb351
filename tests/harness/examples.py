"""Makes values that the unit tests of several modules need."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from region_operator.cronjobs.job import Job
from region_operator.cronjobs.labels import CODE_ANNOTATION, FIELD_MANAGER, ID_ANNOTATION
from region_operator.cronjobs.live import LiveCronJob
from region_operator.regions.region import RegionRow
from region_operator.regions.row_values import Bbox
from region_operator.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Generator

T = TypeVar("T")

JOB_AT = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)

PARIS = RegionRow(
    source="public.region_index",
    id="5f0c6c0e-6d7b-4d0b-9f5a-0c7d0f6b7a11",
    code="FR-75",
    name="Paris",
    bbox=Bbox(Decimal("2.224122"), Decimal("48.815573"), Decimal("2.469921"), Decimal("48.902145")),
    cron_schedule="*/5 * * * *",
)


def scheduler(*, status: dict[str, Any] | None = None, **spec: Any) -> Scheduler:
    """Return RegionScheduler `default` with the given fields of spec, named as users write them."""
    return Scheduler.from_object(
        {
            "metadata": {
                "name": "default",
                "namespace": "region-tick",
                "uid": "b1d4",
                "generation": 3,
                "resourceVersion": "7",
                "creationTimestamp": "2026-11-01T00:00:00Z",
            },
            "spec": spec,
            "status": status or {},
        },
        installation="uid",
    )


def applied(manifest: dict[str, Any], *, but: tuple[tuple[str, ...], ...] = ()) -> dict[str, Any]:
    """Return a manifest as the API server has the object after our apply.

    `but` are paths in FieldsV1 that our apply entry no longer owns, because others took the fields.
    """
    fields = _fields(manifest)
    for path in but:
        below = fields
        for key in path[:-1]:
            below = below[key]
        del below[path[-1]]
    entry = {"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": fields}
    identity = {"uid": "u", "resourceVersion": "1"}
    return manifest | {"metadata": manifest["metadata"] | identity | {"managedFields": [entry]}}


def live_cronjob(
    name: str,
    *,
    uid: str = "u",
    region_id: str = "",
    code: str = "",
    schedule: str = "@daily",
    suspended: bool = False,
    terminating: bool = False,
    **annotations: str,
) -> LiveCronJob:
    """Return a CronJob of which only the given is known, as if the operator had not applied it."""
    meta: dict[str, Any] = {"name": name, "uid": uid, "resourceVersion": "1", "annotations": annotations}
    if region_id:
        annotations[ID_ANNOTATION] = region_id
    if code:
        annotations[CODE_ANNOTATION] = code
    if terminating:
        meta["deletionTimestamp"] = "2026-11-24T10:00:00Z"
    return LiveCronJob.from_object({"metadata": meta, "spec": {"schedule": schedule, "suspend": suspended}})


def finish(work: Generator[None, None, T]) -> T:
    """Run work that yields between its pieces, and return its result."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result


def variable(name: str) -> tuple[str, ...]:
    """Return the path in FieldsV1 of the value of the tick's variable `name`."""
    pod = ("f:spec", "f:jobTemplate", "f:spec", "f:template", "f:spec")
    return (*pod, "f:containers", 'k:{"name":"tick"}', "f:env", f'k:{{"name":"{name}"}}', "f:value")


def annotation(name: str) -> tuple[str, ...]:
    """Return the path in FieldsV1 of an annotation of ours."""
    return ("f:metadata", "f:annotations", f"f:region-tick.dev/{name}")


def _fields(value: object) -> dict[str, Any]:
    if isinstance(value, dict):
        return {f"f:{key}": _fields(item) for key, item in value.items()}
    if isinstance(value, list) and value and all(isinstance(item, dict) and "name" in item for item in value):
        return {f"k:{json.dumps({'name': item['name']}, separators=(',', ':'))}": _fields(item) for item in value}
    return {}


def job(
    *conditions: tuple[str, str],
    name: str = "a-0123456789ab-29925240",
    uid: str = "u",
    version: int = 1,
    **status: Any,
) -> Job:
    """Return a tick's Job made at JOB_AT. `conditions` are true, each (type, reason); `status` adds fields of the
    status.
    """
    stamp = JOB_AT.strftime("%Y-%m-%dT%H:%M:%SZ")
    found = [
        {"type": kind, "status": "True", "reason": reason, "lastTransitionTime": stamp} for kind, reason in conditions
    ]
    return Job.from_object(
        {
            "metadata": {
                "name": name,
                "uid": uid,
                "resourceVersion": str(version),
                "creationTimestamp": stamp,
                "labels": {"region-tick.dev/region": "k"},
            },
            "spec": {"activeDeadlineSeconds": 60},
            "status": {"startTime": stamp, "conditions": found} | status,
        }
    )
