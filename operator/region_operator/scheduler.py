"""RegionScheduler as values: what a user writes in `spec`, and the parts of it that must agree with
crds/regionscheduler.yaml.

The API server has validated and defaulted an object before we see it; the models here believe in that and repeat the
defaults only so that an object which is not complete (a test's, or one of an older schema) means the same. Unknown
fields are ignored: a newer CRD may know them.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

GROUP = "region-tick.dev"
VERSION = "v1alpha1"
KIND = "RegionScheduler"
PLURAL = "regionschedulers"
API_VERSION = f"{GROUP}/{VERSION}"
DEFAULT_NAME = "default"
"""The only name a RegionScheduler may have: one per namespace, so that quota and names are never shared."""
UNOBSERVED = {"observedGeneration": -1}
"""The status before anybody wrote one: the schema's default, lest who waits by kstatus takes none for a good one."""
APPROVAL_ANNOTATION = f"{GROUP}/approve-deletions"
"""Whose value, on a RegionScheduler, approves the deletions that it names."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")


def parse_duration(text: object) -> object:
    """Turn a Go duration (`90s`, `1h30m`) into a timedelta; leave anything but text to pydantic. Raises ValueError."""
    if not isinstance(text, str):
        return text
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(
            f'duration "{text}" is not one: write a number and a unit (ms, s, m, h), e.g. "90s" or "1h30m"'
        )
    return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))


def format_duration(value: timedelta) -> str:
    """Write a timedelta as a Go duration, in whole seconds where that is exact, else in milliseconds."""
    milliseconds = round(value / timedelta(milliseconds=1))
    return f"{milliseconds}ms" if milliseconds % 1000 else f"{milliseconds // 1000}s"


def format_time(moment: datetime) -> str:
    """Write a moment as the API server writes its own, in whole seconds of UTC (apimachinery, metav1.Time)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")


class InvalidSchedule(StrEnum):
    """What becomes of a live CronJob whose row is quarantined."""

    SUSPEND = "Suspend"
    KEEP_LAST = "KeepLast"


class Columns(_Model):
    """Which column of the table says what; those that a table need not have are None where it has none."""

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


class Source(_Model):
    """Where the regions are: a table or view, `name` or `schema.name`."""

    table: str = "region_index"
    columns: Columns = Columns()


class TickSpec(_Model):
    """What every tick's pod is made of. `image` unset follows the operator's release, `start_deadline` unset the
    schedule.
    """

    image: str | None = None
    handler: str = "poke"
    timeout: Duration = timedelta(minutes=10)
    retries: int = 2
    start_deadline: Duration | None = None
    env: list[dict[str, Any]] = Field(default_factory=list)
    env_from: list[dict[str, Any]] = Field(default_factory=list)
    resources: dict[str, Any] = Field(default_factory=dict)
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: list[dict[str, Any]] = Field(default_factory=list)
    service_account_name: str | None = None


class DeletionGuard(_Model):
    """How many regions may go within the window: the greater of the two."""

    max_count: int = 10
    max_percent: int = 10
    window: Duration = timedelta(minutes=10)


class Spec(_Model):
    """A RegionScheduler's spec."""

    source: Source = Source()
    refresh_interval: Duration = timedelta(minutes=5)
    concurrency: int = 4
    suspend: bool = False
    invalid_schedule: InvalidSchedule = InvalidSchedule.SUSPEND
    deletion_guard: DeletionGuard = DeletionGuard()
    tick: TickSpec = TickSpec()


def scheduler_path(namespace: str, name: str) -> str:
    """Return the API server's path of a RegionScheduler."""
    return f"/apis/{API_VERSION}/namespaces/{namespace}/{PLURAL}/{name}"


class Scheduler(_Model):
    """A RegionScheduler as read from the API server; `status` stays as it came, to be compared. `approval` is what
    somebody wrote into APPROVAL_ANNOTATION, empty where nobody did.
    """

    name: str
    namespace: str
    uid: str
    generation: int
    resource_version: str
    approval: str
    spec: Spec
    status: dict[str, Any]

    @classmethod
    def from_object(cls, body: dict[str, Any]) -> Scheduler:
        """Read the API server's object. Raises pydantic.ValidationError where its spec says what we cannot follow."""
        meta = body["metadata"]
        return cls(
            name=meta["name"],
            namespace=meta["namespace"],
            uid=meta["uid"],
            generation=meta["generation"],
            resource_version=meta["resourceVersion"],
            approval=meta.get("annotations", {}).get(APPROVAL_ANNOTATION, ""),
            spec=Spec.model_validate(body.get("spec", {})),
            status=body.get("status", {}),
        )

    @property
    def reference(self) -> dict[str, str]:
        """The scheduler as an Event's involvedObject."""
        return {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": self.name,
            "namespace": self.namespace,
            "uid": self.uid,
        }
