"""The values that a plan is made of: the desired CronJobs, the live CronJobs, and the changes between both. Pure.

How the changes are found is left to `plan`, and which deletions may happen to `deletion_guard`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from region_operator.cronjobs.labels import PAUSED_ANNOTATION, key_in_name
from region_operator.cronjobs.manifest_parts import Manifest

if TYPE_CHECKING:
    from region_operator.regions.region import Quarantined, RegionRow
    from region_operator.regions.schedule import Schedule


class ChangeReason(StrEnum):
    """Why a CronJob is written or deleted. The log shows the values."""

    ADDED = "added"
    """The region is new, or active again."""
    RESCHEDULED = "rescheduled"
    """The row has another schedule."""
    SUSPENDED = "suspended"
    """spec.suspend is true, or the row is quarantined."""
    PAUSED = "paused"
    """A person set the pause annotation."""
    RESUMED = "resumed"
    """What suspended the region is over."""
    UPDATED = "updated"
    """Something else of the row, of spec or of the release changed."""
    RESTORED = "restored"
    """Somebody else had changed the CronJob."""
    REMOVED = "removed"
    """The region has no active row any more."""
    DUPLICATE = "duplicate"
    """The region has another CronJob already."""


@dataclass(frozen=True, slots=True)
class Desired:
    """A region that should have a CronJob, with the schedule. `suspend` asks for a suspended CronJob."""

    region: RegionRow
    schedule: Schedule
    suspend: bool = False


@dataclass(frozen=True, slots=True)
class LiveCronJob:
    """A CronJob as the API server listed it. `key` is the hash of the region's id, `body` the API server's object."""

    name: str
    uid: str
    resource_version: str
    key: str
    schedule: str
    suspended: bool
    terminating: bool
    body: Manifest
    paused: bool = False

    @classmethod
    def from_object(cls, body: dict[str, Any]) -> LiveCronJob:
        """Read an item of a CronJobList. `key` is empty if the name has another form than ours."""
        meta, spec = body["metadata"], body["spec"]
        return cls(
            name=meta["name"],
            uid=meta["uid"],
            resource_version=meta["resourceVersion"],
            key=key_in_name(meta["name"]) or "",
            schedule=spec["schedule"],
            suspended=spec.get("suspend", False),
            terminating="deletionTimestamp" in meta,
            body=body,
            paused=meta.get("annotations", {}).get(PAUSED_ANNOTATION) == "true",
        )


@dataclass(frozen=True, slots=True)
class Write:
    """A CronJob to apply. `live` is the CronJob that exists now, or None if the CronJob is new."""

    reason: ChangeReason
    desired: Desired
    manifest: Manifest
    live: LiveCronJob | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """A CronJob to delete, in exactly the version that was listed.

    If the deletion guard holds the deletion, `replacement` is written instead and keeps the CronJob in sync. None: the
    CronJob is in sync already, or must be left alone.
    """

    live: LiveCronJob
    reason: ChangeReason = ChangeReason.REMOVED
    replacement: Write | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The changes that make the cluster match the table. A plan is empty if the cluster matches already.

    `quarantined` holds every row that is not scheduled, for any reason. `unchanged` and `paused` count CronJobs.
    """

    writes: tuple[Write, ...] = ()
    deletes: tuple[Delete, ...] = ()
    quarantined: tuple[Quarantined, ...] = ()
    unchanged: int = 0
    paused: int = 0
    pending: int = 0
    """How many regions must wait for a terminating CronJob of the same name before they get a new CronJob."""

    def __len__(self) -> int:
        return len(self.writes) + len(self.deletes)


Render = Callable[[Desired, str], Manifest]
"""Turns a desired region and a CronJob name into the manifest, digest included."""
