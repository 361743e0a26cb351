"""The values of a plan: what should be, what is, and the changes between them. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from region_operator.cronjobs.labels import PAUSED_ANNOTATION, key_in_name
from region_operator.cronjobs.manifest import Manifest

if TYPE_CHECKING:
    from region_operator.regions.region import Quarantined, RegionRow
    from region_operator.regions.schedule import Schedule


class ChangeReason(StrEnum):
    """Why a CronJob is written or deleted; the words of the log."""

    ADDED = "added"
    RESCHEDULED = "rescheduled"
    SUSPENDED = "suspended"
    PAUSED = "paused"
    RESUMED = "resumed"
    UPDATED = "updated"
    RESTORED = "restored"
    """Somebody else had changed it."""
    REMOVED = "removed"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Desired:
    """A region that is to tick, and when."""

    region: RegionRow
    schedule: Schedule
    suspend: bool = False


@dataclass(frozen=True, slots=True)
class LiveCronJob:
    """A CronJob as listed; `body` is the API server's object."""

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
        """Read an item of a CronJobList."""
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
    """A CronJob to apply; `live` is what stands there now, None where nothing does."""

    reason: ChangeReason
    desired: Desired
    manifest: Manifest
    live: LiveCronJob | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """A CronJob to delete, exactly as it was seen; `replacement` is what keeps it true while its deletion is held."""

    live: LiveCronJob
    reason: ChangeReason = ChangeReason.REMOVED
    replacement: Write | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done; empty where the cluster is as the table says. `quarantined` are all rows that are not
    scheduled, for whatever reason.
    """

    writes: tuple[Write, ...] = ()
    deletes: tuple[Delete, ...] = ()
    quarantined: tuple[Quarantined, ...] = ()
    unchanged: int = 0
    paused: int = 0
    pending: int = 0
    """How many regions get their CronJob only when one that is going is gone."""

    def __len__(self) -> int:
        return len(self.writes) + len(self.deletes)


Render = Callable[[Desired, str], Manifest]
"""Gives the manifest, with its digest, of a region's CronJob under a name."""
