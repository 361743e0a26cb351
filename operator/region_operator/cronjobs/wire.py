"""The parts of a CronJob's and a Job's JSON that the operator reads, as types. Pure.

msgspec decodes into these types at a tenth of the time and memory of dictionaries, and skips what no type names. A
field of every object is required by Kubernetes; the defaults are for fields that an object may lack.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct, field

_NO_FIELDS = Raw(b"{}")


class Owner(Struct):
    """An owner reference."""

    uid: str
    controller: bool | None = None


class ManagedFields(Struct):
    """One manager's entry in managedFields. `fields` is a FieldsV1."""

    manager: str = ""
    operation: str = ""
    subresource: str = ""
    time: str = ""
    fields: Raw = field(name="fieldsV1", default=_NO_FIELDS)


class BriefMeta(Struct, rename="camel"):
    """The part of an object's metadata that tells which object it is, and since when it exists."""

    name: str
    uid: str
    resource_version: str
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    labels: dict[str, str] = {}


class Meta(BriefMeta, rename="camel"):
    """An object's metadata."""

    generation: int = 0
    annotations: dict[str, str] = {}
    owner_references: list[Owner] = []
    managed_fields: list[ManagedFields] = []


class EnvVar(Struct):
    """A variable of a container. The API server leaves an empty value out."""

    name: str
    value: str = ""


class Container(Struct):
    """A container of a pod."""

    name: str
    env: list[EnvVar] = []


class PodSpec(Struct):
    """A pod's spec."""

    containers: list[Container] = []


class PodTemplate(Struct):
    """A Job's pod template."""

    spec: PodSpec = field(default_factory=PodSpec)


class JobSpec(Struct, rename="camel"):
    """A Job's spec."""

    active_deadline_seconds: int | None = None
    ttl_seconds_after_finished: int | None = None
    suspend: bool | None = None
    template: PodTemplate = field(default_factory=PodTemplate)


class JobTemplate(Struct, rename="camel"):
    """A CronJob's template of Jobs."""

    spec: JobSpec = field(default_factory=JobSpec)


class CronJobSpec(Struct, rename="camel"):
    """A CronJob's spec."""

    schedule: str
    suspend: bool | None = None
    starting_deadline_seconds: int | None = None
    time_zone: str = ""
    concurrency_policy: str = ""
    job_template: JobTemplate = field(default_factory=JobTemplate)


class CronJobStatus(Struct, rename="camel"):
    """A CronJob's status."""

    last_successful_time: str = ""


class CronJob(Struct):
    """A CronJob."""

    metadata: Meta
    spec: CronJobSpec
    status: CronJobStatus = field(default_factory=CronJobStatus)


class Condition(Struct, rename="camel"):
    """A condition in the status of a Job or a pod."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None


class JobStatus(Struct, rename="camel"):
    """A Job's status. The numbers count pods."""

    start_time: str | None = None
    active: int = 0
    terminating: int | None = None
    succeeded: int = 0
    failed: int = 0
    conditions: list[Condition] = []


class Job(Struct):
    """A Job."""

    metadata: BriefMeta
    spec: JobSpec = field(default_factory=JobSpec)
    status: JobStatus = field(default_factory=JobStatus)


class Object(Struct):
    """An object of any kind."""

    metadata: Meta


class ListMeta(Struct):
    """The metadata of a list's page. `token` is empty on the last page."""

    resource_version: str = field(name="resourceVersion", default="")
    token: str = field(name="continue", default="")


class Version(Struct, rename="camel"):
    """Which version of which object a body is."""

    name: str
    uid: str
    resource_version: str


class Versioned(Struct):
    """An object of any kind, of which only the version is read."""

    metadata: Version


class Page(Struct):
    """A page of a list, with the objects still as bytes."""

    metadata: ListMeta
    items: list[Raw]


class WatchEvent(Struct):
    """A line of a watch, with the object still as bytes."""

    type: str
    object: Raw


class BookmarkMeta(Struct):
    """The metadata of a bookmark."""

    resource_version: str = field(name="resourceVersion", default="")
    annotations: dict[str, str] = {}


class Bookmark(Struct):
    """The object of a bookmark: up to which resourceVersion the watch has come."""

    metadata: BookmarkMeta


class Status(Struct):
    """The object of an error: what the API server answers in place of an object."""

    code: int = 0
    reason: str = ""
    message: str = ""


decode_object = msgspec.json.Decoder(Object).decode
decode_version = msgspec.json.Decoder(Versioned).decode
decode_cronjob = msgspec.json.Decoder(CronJob).decode
decode_job = msgspec.json.Decoder(Job).decode
decode_page = msgspec.json.Decoder(Page).decode
decode_event = msgspec.json.Decoder(WatchEvent).decode
decode_bookmark = msgspec.json.Decoder(Bookmark).decode
decode_status = msgspec.json.Decoder(Status).decode


def encode(body: Any) -> bytes:
    """Write an object as JSON."""
    return msgspec.json.encode(body)
