"""The values that a plan is made of: the desired CronJobs, and the changes to the live CronJobs. Pure.

How the changes are found is left to `plan`, and which deletions may happen to `deletion_guard`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from region_operator.cronjobs.manifest_parts import Manifest

if TYPE_CHECKING:
    from region_operator.cronjobs.live import LiveCronJob
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
class Write:
    """A CronJob to apply. `live` is the CronJob that exists now, or None if the CronJob is new.

    The manifest is rendered when the CronJob is written: ten thousand manifests would fill the memory.
    """

    reason: ChangeReason
    desired: Desired
    name: str
    live: LiveCronJob | None = None
    changed_by: tuple[str, ...] = ()
    """The field managers whose changes are undone, as far as known."""


@dataclass(frozen=True, slots=True)
class Delete:
    """A CronJob to delete, in exactly the version that was last seen.

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
