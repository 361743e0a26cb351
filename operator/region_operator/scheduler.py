"""A RegionScheduler as values: the user's `spec`, and the constants that must agree with crds/regionscheduler.yaml.

The models assume that the API server has validated an object and filled in the defaults. The models repeat the defaults
only for incomplete objects: objects of an older schema and of tests. Unknown fields are ignored, because a newer CRD
may have more fields.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from region_operator.durations import Duration, Moment  # noqa: TC001 - pydantic needs the types
from region_operator.tick_spec import Model, TickSpec

GROUP = "region-tick.dev"
VERSION = "v1alpha1"
KIND = "RegionScheduler"
PLURAL = "regionschedulers"
API_VERSION = f"{GROUP}/{VERSION}"
DEFAULT_NAME = "default"
"""The only name that a RegionScheduler may have. So a namespace has one, and quota and names are never shared."""
INITIAL_STATUS = {"observedGeneration": -1}
"""The status before the first write: the schema's default. With no status at all kstatus would report success."""
APPROVAL_ANNOTATION = f"{GROUP}/approve-deletions"
"""On a RegionScheduler: a person sets it to the approval of a hold in the status, and approves what the hold names. For
several holds: to their approvals, separated by commas."""
TAKE_OVER_ANNOTATION = f"{GROUP}/take-over"
"""On a RegionScheduler: a person sets it to the installations, separated by commas, that are to lose their regions to
this one."""


def format_time(moment: datetime) -> str:
    """Write a moment like the API server: UTC, whole seconds (apimachinery, metav1.Time)."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class InvalidSchedule(StrEnum):
    """What happens to the CronJob of a quarantined row."""

    SUSPEND = "Suspend"
    KEEP_LAST = "KeepLast"


class DeletionPolicy(StrEnum):
    """What becomes of the CronJobs and the ResourceQuota when the RegionScheduler is deleted."""

    DELETE = "Delete"
    ORPHAN = "Orphan"


class Columns(Model):
    """The names of the table's columns. `handler`, `timeout` and `params` are None if the table has no such column."""

    id: str = "id"
    code: str = "code"
    name: str = "name"
    bbox_min_lon: str = "bbox_min_lon"
    bbox_min_lat: str = "bbox_min_lat"
    bbox_max_lon: str = "bbox_max_lon"
    bbox_max_lat: str = "bbox_max_lat"
    cron_schedule: str = "cron_schedule"
    active: str = "active"
    handler: str | None = None
    timeout: str | None = None
    params: str | None = None


class Shard(Model):
    """One of `count` parts of a table. `count` divides 256, and `index` counts from 0."""

    index: int
    count: int


class Source(Model):
    """The table or view with the regions. `table` is `name` or `schema.name`. `create` says whether region_index may be
    made. Without a `shard`: all regions.
    """

    table: str = "region_index"
    create: bool = True
    columns: Columns = Columns()
    shard: Shard | None = None

    @property
    def wants_default_table(self) -> bool:
        """Whether the table that the operator can make is the table to be read."""
        return self == Source()


class DeletionGuard(Model):
    """How many regions may stop within the window: `max_count`, or `max_percent` of all regions if greater."""

    max_count: int = 10
    max_percent: int = 10
    window: Duration = timedelta(minutes=10)

    def allowance(self, regions: int) -> int:
        """Return how many of so many regions may stop within the window."""
        return max(self.max_count, regions * self.max_percent // 100)


class Objective(Model):
    """How many of the regions, a percentage, are to succeed within how many of their ticks. Alerts are about this."""

    succeed_within_intervals: int = 2
    ratio: str = "99%"

    @property
    def share(self) -> float:
        """The ratio as a number from 0 to 1."""
        return float(self.ratio.removesuffix("%")) / 100


class Capacity(Model):
    """What the cluster can do, as far as nobody can ask the cluster. Only the forecast uses it."""

    jobs_per_second: float = 8


class Spec(Model):
    """A RegionScheduler's spec."""

    source: Source = Source()
    refresh_interval: Duration = timedelta(minutes=5)
    concurrency: int = 4
    capacity: Capacity = Capacity()
    objective: Objective = Objective()
    suspend: bool = False
    suspend_until: Moment | None = None
    invalid_schedule: InvalidSchedule = InvalidSchedule.SUSPEND
    max_regions: int = 10_000
    deletion_policy: DeletionPolicy = DeletionPolicy.DELETE
    deletion_guard: DeletionGuard = DeletionGuard()
    tick: TickSpec = TickSpec()


def schedulers_path(namespace: str) -> str:
    """Return the API server's path of a namespace's RegionSchedulers."""
    return f"/apis/{API_VERSION}/namespaces/{namespace}/{PLURAL}"


def scheduler_path(namespace: str, name: str) -> str:
    """Return the API server's path of a RegionScheduler."""
    return f"{schedulers_path(namespace)}/{name}"


class Scheduler(Model):
    """A RegionScheduler as the API server returned it.

    `metadata`, `status` and `tick_as_written`, which is spec.tick, stay unparsed. `approval` is the value of
    APPROVAL_ANNOTATION, or ""; `take_over` are the names in TAKE_OVER_ANNOTATION. `installation` is who this operator
    is to others on the same database; "" if unknown.
    """

    name: str
    namespace: str
    uid: str
    generation: int
    resource_version: str
    metadata: dict[str, Any]
    approval: str
    take_over: frozenset[str] = frozenset()
    installation: str = ""
    spec: Spec
    tick_as_written: dict[str, Any]
    status: dict[str, Any]

    @classmethod
    def from_object(cls, body: dict[str, Any], *, installation: str = "") -> Scheduler:
        """Parse the API server's object. Raises pydantic.ValidationError if the spec is invalid for this release."""
        meta, annotations = body["metadata"], body["metadata"].get("annotations", {})
        named = annotations.get(TAKE_OVER_ANNOTATION, "").split(",")
        return cls(
            name=meta["name"],
            namespace=meta["namespace"],
            uid=meta["uid"],
            generation=meta["generation"],
            resource_version=meta["resourceVersion"],
            metadata=meta,
            approval=annotations.get(APPROVAL_ANNOTATION, ""),
            take_over=frozenset(name.strip() for name in named if name.strip()),
            installation=installation,
            spec=Spec.model_validate(body.get("spec", {})),
            tick_as_written=body.get("spec", {}).get("tick", {}),
            status=body.get("status", {}),
        )

    @property
    def reference(self) -> dict[str, str]:
        """The RegionScheduler as the involvedObject of an Event."""
        return {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": self.name,
            "namespace": self.namespace,
            "uid": self.uid,
        }
