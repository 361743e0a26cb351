"""A CronJob as a small value: the parts of the object by which the operator decides. Pure.

Ten thousand objects of 7 kB would fill the memory, so an object is read once and dropped. Only the body of a CronJob
in which somebody else has a hand is kept, because the plan and the log must say what others changed.

Two values are equal if a reconcile judges both alike. A tick changes only the status of its CronJob. So the value's
resourceVersion and last success do not count. For the spec `generation` counts: `generation` changes with every change
of the spec, and with nothing else (registry/batch/cronjob/strategy.go, PrepareForUpdate).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from sys import intern
from typing import TYPE_CHECKING, Any, Self

from region_operator.cronjobs.alteration import explain_alteration
from region_operator.cronjobs.field_sets import FieldSet, parse_field_set
from region_operator.cronjobs.labels import (
    CODE_ANNOTATION,
    DIGEST_ANNOTATION,
    FIELD_MANAGER,
    ID_ANNOTATION,
    OUR_LABELS,
    OUR_PREFIXES,
    PAUSE_ANNOTATIONS,
    PAUSED_ANNOTATION,
    PAUSED_SINCE_ANNOTATION,
    PAUSED_UNTIL_ANNOTATION,
    SUSPENDED_BY_ANNOTATION,
    SuspendedBy,
    key_in_name,
)
from region_operator.cronjobs.ownership import concerns_us
from region_operator.cronjobs.pod_spec import unescape_dollars
from region_operator.cronjobs.rendered import Rendered, read_rendered, tick_variables
from region_operator.cronjobs.wire import ManagedFields, Meta, decode_cronjob, encode
from region_tick.contract import Variable

if TYPE_CHECKING:
    from collections.abc import Mapping

_DETAILS = [name for name in PAUSE_ANNOTATIONS if name != PAUSED_ANNOTATION]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveCronJob:
    """A CronJob as the API server has it. Moments are the API server's texts.

    `key` is the hash of the region's id at the end of the name, "" if the name has another form than ours. `ours` says
    whether the operator made the CronJob, whatever others changed since. Anybody can change `region_id` and `code`,
    which are annotations, and the source, installation and code of which the tick is told.
    """

    name: str
    uid: str
    resource_version: str = field(compare=False)
    key: str
    ours: bool
    created_at: str
    changed_at: str
    """When the object was last changed. Changes of the status do not count."""
    terminating: bool
    paused: bool
    paused_until: str
    """When the pause ends, as a person wrote it; "" if nobody wrote an end."""
    pause_over: bool
    """Whether annotations of a pause are left that has ended: by its own end (`plan.pauses`), or because somebody took
    the main one away. A later pause must not find the end of an earlier one.
    """
    paused_since: str = field(default="", compare=False)
    """Since when, as far as known: what the annotation says, or else when its manager last wrote; "" if not paused."""
    suspended: bool
    suspended_by: str
    """The SuspendedBy of our last write, "" if none."""
    schedule: str
    start_deadline_seconds: int
    digest: str
    region_id: str
    code: str
    told_source: str
    told_installation: str
    told_code: str
    rendered: Rendered
    altered: str = ""
    """Which values an admission policy changed as we wrote them, in words; "" if none."""
    applied: FieldSet | None = field(repr=False)
    """The fields of our apply entry."""
    fingerprint: int
    """A hash of the generation, the owners, the labels and annotations that we set or obey, and of who else owns what
    concerns us.
    """
    last_success: str = field(compare=False)
    """When a tick last succeeded; "" before the first success."""
    body: bytes | None = field(compare=False, repr=False)
    """The object as JSON. None: nobody else owns a field that matters to us."""

    @property
    def quarantined(self) -> bool:
        """Whether the region stands still because of its row. Releases up to 0.1 do not say what suspends a CronJob."""
        return self.suspended_by == SuspendedBy.QUARANTINE or (self.suspended and not self.suspended_by)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read an object of the API server. Raises msgspec.ValidationError if the object is no CronJob."""
        cronjob = decode_cronjob(body)
        meta, spec = cronjob.metadata, cronjob.spec
        variables = tick_variables(spec.job_template.spec.template)
        applied = _applied(meta.managed_fields)
        key = key_in_name(meta.name) or ""
        paused = meta.annotations.get(PAUSED_ANNOTATION) == "true"
        suspended_by = meta.annotations.get(SUSPENDED_BY_ANNOTATION, "")
        rendered = read_rendered(cronjob, applied, variables)
        return cls(
            name=meta.name,
            uid=meta.uid,
            resource_version=meta.resource_version,
            key=key,
            ours=bool(key) and (applied is not None or meta.labels.items() >= OUR_LABELS.items()),
            created_at=meta.creation_timestamp,
            changed_at=_changed_at(meta),
            terminating=meta.deletion_timestamp is not None,
            paused=paused,
            pause_over=not paused and any(name in meta.annotations for name in _DETAILS),
            paused_until=meta.annotations.get(PAUSED_UNTIL_ANNOTATION, ""),
            paused_since=_paused_since(meta),
            suspended=bool(spec.suspend),
            suspended_by=suspended_by,
            schedule=intern(spec.schedule),
            start_deadline_seconds=spec.starting_deadline_seconds or 0,
            digest=meta.annotations.get(DIGEST_ANNOTATION, ""),
            region_id=meta.annotations.get(ID_ANNOTATION, ""),
            code=meta.annotations.get(CODE_ANNOTATION, ""),
            told_source=intern(unescape_dollars(variables.get(Variable.SOURCE, ""))),
            told_installation=intern(unescape_dollars(variables.get(Variable.INSTALLATION, ""))),
            told_code=unescape_dollars(variables.get(Variable.REGION_CODE, "")),
            rendered=rendered,
            altered=intern(explain_alteration(spec, applied, cron=rendered.cron, suspend=bool(suspended_by))),
            applied=applied,
            fingerprint=_fingerprint(meta),
            last_success=cronjob.status.last_successful_time,
            body=bytes(body) if any(map(concerns_us, meta.managed_fields)) else None,
        )

    @classmethod
    def from_object(cls, body: Mapping[str, Any]) -> Self:
        """Read an object that was decoded into dictionaries."""
        return cls.decode(encode(body))


def end_of_pause(live: LiveCronJob) -> list[dict[str, str]]:
    """Return the JSON patch that takes a pause's annotations away. A conflict: somebody has changed the CronJob since.

    A text is added before it is removed, because a patch cannot remove what is not there.
    """
    paths = [f"/metadata/annotations/{name.replace('/', '~1')}" for name in PAUSE_ANNOTATIONS]
    gone = [operation for path in paths for operation in (_add(path, ""), {"op": "remove", "path": path})]
    return [_add("/metadata/resourceVersion", live.resource_version), *gone]


def _add(path: str, value: str) -> dict[str, str]:
    return {"op": "add", "path": path, "value": value}


def _paused_since(meta: Meta) -> str:
    if meta.annotations.get(PAUSED_ANNOTATION) != "true":
        return ""
    field_name = f'"f:{PAUSED_ANNOTATION}"'.encode()
    times = (entry.time for entry in meta.managed_fields if field_name in bytes(entry.fields))
    return meta.annotations.get(PAUSED_SINCE_ANNOTATION, "") or max(times, default="")


def _applied(entries: list[ManagedFields]) -> FieldSet | None:
    for entry in entries:
        if entry.manager == FIELD_MANAGER and entry.operation == "Apply" and not entry.subresource:
            return parse_field_set(bytes(entry.fields))
    return None


def _changed_at(meta: Meta) -> str:
    """Return when the object was last changed.

    A write without a change keeps the times (apimachinery, managedfields/internal/managedfieldsupdater.go).
    """
    times = (entry.time for entry in meta.managed_fields if entry.time and not entry.subresource)
    return max(times, default=meta.creation_timestamp)


def _fingerprint(meta: Meta) -> int:
    owners = [(owner.uid, owner.controller) for owner in meta.owner_references]
    texts = [
        (key, value)
        for texts in (meta.labels, meta.annotations)
        for key, value in sorted(texts.items())
        if key.startswith(OUR_PREFIXES)
    ]
    others = [(entry.manager, bytes(entry.fields)) for entry in meta.managed_fields if concerns_us(entry)]
    return hash((meta.generation, *owners, *texts, *others))
