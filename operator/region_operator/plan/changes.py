"""The values that a plan is made of: the desired CronJobs, and the changes to the live CronJobs. Pure.

How the changes are found is left to `plan`, and which of them may happen to `deletion_guard` and `growth_guard`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from region_operator.cronjobs.labels import region_key
from region_operator.cronjobs.manifest_parts import Manifest

if TYPE_CHECKING:
    from region_operator.cronjobs.labels import SuspendedBy
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
    """spec.suspend or spec.suspendUntil suspends all regions, or the row is quarantined."""
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
    REPLACED = "replaced"
    """The region has no active row any more, and its code is that of a row with another id."""
    DUPLICATE = "duplicate"
    """The region has another CronJob already."""
    HANDED_OVER = "handed over"
    """Another installation owns the region now, and has made its own CronJob."""


class Guarded(StrEnum):
    """The kinds of changes that a guard may hold. The status has fields of these names."""

    DELETION = "deletion"
    """A region has no active row any more."""
    QUARANTINE = "quarantine"
    """A region that ticked would be suspended, because its row cannot be scheduled."""
    SLOWDOWN = "slowdown"
    """A region would tick more than ten times less often."""
    SPEEDUP = "speedup"
    """A region would tick more than ten times more often."""
    CREATION = "creation"
    """A new region would begin to tick."""


@dataclass(frozen=True, slots=True)
class Desired:
    """A region that should have a CronJob, with the schedule. `suspended_by` asks for a suspended CronJob."""

    region: RegionRow
    schedule: Schedule
    suspended_by: SuspendedBy | None = None


@dataclass(frozen=True, slots=True)
class Write:
    """A CronJob to apply. `live` is the CronJob that exists now, or None if the CronJob is new.

    The manifest is rendered when the CronJob is written: ten thousand manifests would fill the memory. While a guard
    holds the write, `replacement` is written instead and keeps the CronJob in sync. None: nothing is to be written.
    """

    reason: ChangeReason
    desired: Desired
    name: str
    live: LiveCronJob | None = None
    changed_by: tuple[str, ...] = ()
    """The field managers whose changes are undone, as far as known."""
    guarded: Guarded | None = None
    replacement: Write | None = None

    @property
    def key(self) -> str:
        """The key of the region."""
        return self.live.key if self.live else region_key(self.desired.region.id)

    @property
    def creates(self) -> bool:
        """Whether the CronJob is new, whatever a guard counts the write as."""
        return self.live is None


@dataclass(frozen=True, slots=True)
class Delete:
    """A CronJob to delete, in exactly the version that was last seen.

    If the deletion guard holds the deletion, `replacement` is written instead and keeps the CronJob in sync. None: the
    CronJob is in sync already, or must be left alone. `successor` creates the CronJob of another region that has the
    code now, as soon as this CronJob ticks no more.
    """

    live: LiveCronJob
    reason: ChangeReason = ChangeReason.REMOVED
    replacement: Write | None = None
    successor: Write | None = None

    @property
    def key(self) -> str:
        """The key of the region, or the CronJob's name if the CronJob has no key."""
        return self.live.key or self.live.name

    @property
    def guarded(self) -> Guarded | None:
        """What the guard counts the deletion as. A region that keeps an older CronJob loses nothing."""
        return None if self.reason is ChangeReason.DUPLICATE else Guarded.DELETION


Change = Write | Delete


@dataclass(frozen=True, slots=True)
class Wait:
    """A region whose code other CronJobs still have. `cronjobs` are their names."""

    row: Quarantined
    cronjobs: frozenset[str]


@dataclass(frozen=True, slots=True)
class Plan:
    """The changes that make the cluster match the table. A plan is empty if the cluster matches already.

    `quarantined` holds every row that is not scheduled as it is, for any reason. `waits` says which of these only wait
    for a code. `unchanged` and `paused` count CronJobs.
    """

    writes: tuple[Write, ...] = ()
    deletes: tuple[Delete, ...] = ()
    quarantined: tuple[Quarantined, ...] = ()
    unchanged: int = 0
    paused: int = 0
    pending: int = 0
    """How many regions are due at once in the next reconcile, when a CronJob of the same name or code is gone."""
    waits: tuple[Wait, ...] = ()

    def __len__(self) -> int:
        return len(self.writes) + len(self.deletes)


Render = Callable[[Desired, str], Manifest]
"""Turns a desired region and a CronJob name into the manifest, digest included."""
