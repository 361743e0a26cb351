"""A table, a namespace and the people around, simulated for the model of observe, plan and guard.

What stands here knows nothing of the operator's rules. `GuardModel` compares what the operator does with what the
operator promises.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from region_operator.cronjobs.labels import PAUSED_ANNOTATION, region_key
from region_operator.cronjobs.live import LiveCronJob
from tests.harness.examples import applied

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from region_operator.plan.changes import Guarded


SOURCE = "public.region_index"
_NOWHERE = dict.fromkeys(("bbox_min_lon", "bbox_min_lat", "bbox_max_lon", "bbox_max_lat"))


@dataclass(frozen=True, slots=True)
class Row:
    """An active row of the table."""

    id: str
    code: str | None
    cron: str
    name: str = "Region"

    def as_read(self) -> dict[str, Any]:
        """Return the row as a reading has it."""
        return {"id": self.id, "code": self.code, "name": self.name, "cron_schedule": self.cron} | _NOWHERE


@dataclass(slots=True)
class Namespace:
    """The CronJobs of a namespace, as objects of the API server, by name."""

    now: datetime = datetime(2026, 11, 24, 9, tzinfo=UTC)
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    foreign: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The CronJobs that are somebody else's, as they were made."""
    _versions: int = 0
    _read: dict[str, LiveCronJob] = field(default_factory=dict)

    def cronjobs(self) -> list[LiveCronJob]:
        """Return what the watch knows. A CronJob that did not change is the same value."""
        for name in self.objects:
            if name not in self._read:
                self._read[name] = LiveCronJob.from_object(self.objects[name])
        return [self._read[name] for name in self.objects]

    def ours(self) -> Iterator[LiveCronJob]:
        """Yield the CronJobs that the operator made."""
        return (live for live in self.cronjobs() if live.name not in self.foreign)

    def put(self, name: str, manifest: dict[str, Any]) -> None:
        """Apply a manifest by force. What others put beside it stays only if it is the pause annotation."""
        before = self.objects.get(name)
        manifest = copy.deepcopy(manifest)
        if before and before["metadata"]["annotations"].get(PAUSED_ANNOTATION):
            manifest["metadata"]["annotations"][PAUSED_ANNOTATION] = "true"
        body = applied(manifest)
        created = before["metadata"]["creationTimestamp"] if before else self.now.isoformat()
        body["metadata"]["creationTimestamp"] = created
        self._keep(name, body, uid=before["metadata"]["uid"] if before else f"u{self._versions}")

    def edit(self, name: str, *, annotation: tuple[str, str] | None = None, suspend: bool | None = None) -> None:
        """Do what a person does with kubectl."""
        body = copy.deepcopy(self.objects[name])
        if annotation:
            body["metadata"]["annotations"][annotation[0]] = annotation[1]
        if suspend is not None:
            body["spec"]["suspend"] = suspend
            fields: dict[str, Any] = {"f:spec": {"f:suspend": {}}}
            for entry in body["metadata"]["managedFields"]:
                entry["fieldsV1"].get("f:spec", {}).pop("f:suspend", None)
            body["metadata"]["managedFields"].append(
                {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": fields}
            )
        self._keep(name, body, uid=body["metadata"]["uid"])

    def make_foreign(self, name: str) -> None:
        """Make a CronJob that is somebody else's."""
        self.remove(name)
        body = {"metadata": {"name": name, "uid": "f", "resourceVersion": "1"}, "spec": {"schedule": "@daily"}}
        self.objects[name] = self.foreign[name] = body

    def remove(self, name: str) -> None:
        """Delete a CronJob."""
        for known in (self.objects, self.foreign, self._read):
            known.pop(name, None)

    def _keep(self, name: str, body: dict[str, Any], *, uid: str) -> None:
        self._versions += 1
        body["metadata"] |= {"uid": uid, "resourceVersion": str(self._versions)}
        self.objects[name] = body
        self._read.pop(name, None)


@dataclass(frozen=True, slots=True)
class Stop:
    """A region that stopped ticking because of a change that nobody had approved."""

    at: datetime
    kind: Guarded
    key: str


@dataclass(slots=True)
class Record:
    """What happened, by which promises are judged: computed from what was done, not from what the operator remembers.

    `held` are the regions whose change of a kind was held, and neither approved nor unasked since. `may` are those that
    a person approved.
    """

    stops: list[Stop] = field(default_factory=list)
    held: set[tuple[Guarded, str]] = field(default_factory=set)
    may: set[tuple[Guarded, str]] = field(default_factory=set)


def seeded_anew(rows: Iterable[Row], name: str) -> list[Row]:
    """Return rows with the same codes and new ids."""
    return [replace(row, id=f"{name}-{number}") for number, row in enumerate(rows)]


def keys_of(rows: Iterable[Row]) -> set[str]:
    """Return the keys of the rows' regions."""
    return {region_key(row.id) for row in rows}
