"""Decides which deletions of a plan may happen: the guard against a region table that lost its rows. Pure.

| the planned deletion is                      | outcome                                                    |
|----------------------------------------------|------------------------------------------------------------|
| approved                                     | allowed, not counted                                       |
| one of few                                   | allowed, counted for the window                            |
| one of too many                              | held, with all unapproved deletions of the plan            |
| the last CronJob, after others were deleted  | held, with all unapproved deletions of the plan            |
| any other, while a hold lasts                | held: the deletion joins the hold                          |
| of a duplicate CronJob                       | allowed, not counted: the region keeps its older CronJob   |

Too many: the regions of this plan plus the regions that were deleted within the window exceed the allowance. The
allowance is the greater of `max_count` and `max_percent` of all regions. "All regions" are the regions with a CronJob
now plus the regions deleted within the window, so deletions do not shrink the allowance. A plan beyond the allowance is
held as a whole. Deleting only the first few is wrong either way: too many if the loss is an accident, too few if the
deletion is meant.

The last CronJob: no region would keep a CronJob, although the window saw two regions or more. The guard never relies on
an empty table at once, however few regions there are: docs/decisions/0008-an-empty-table-is-not-believed-at-once.md.

A hold names its regions when the hold begins, and names them again when more regions join. A hold ends when every named
region either has its row back or has its deletion approved. A `max_percent` of 100 turns the guard off and ends the
hold too. Neither time nor new CronJobs end a hold. An approval covers the regions that the hold names, except the
regions that have a row again when the operator sees the approval. The approval is a hash of the regions and of the
moment; why the moment is part of the hash: docs/decisions/0006-approval-of-held-deletions.md.

The guard counts regions, not requests: a region whose deletion fails and is repeated counts once, and its time in the
window starts at the latest decision. Recent deletions are kept in the RegionScheduler's status. So a thousand single
deletions, a restart or a new leader change nothing. The table's own database is not asked, because the database may be
the wrong one. `now` is the UTC clock of this process: if the clocks of two leaders differ, the window is longer or
shorter by the difference.

The guard ignores writes. How a hold is announced is left to `status` and `announce`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from region_operator.plan.changes import ChangeReason
from region_operator.regions.region import MAX_NAMED_REGIONS, printable
from region_operator.scheduler import APPROVAL_ANNOTATION, KIND, format_duration, format_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from region_operator.cronjobs.live import LiveCronJob
    from region_operator.plan.changes import Delete, Plan
    from region_operator.scheduler import DeletionGuard, Scheduler

RegionKeys = frozenset[str]
"""Regions, each by the hash of the region's id: the value of the CronJob's region label."""

_NONE: RegionKeys = frozenset()

STATUS_FIELDS = ("recentDeletions", "heldDeletions", "approvedDeletions")
"""The fields of a RegionScheduler's status that hold the GuardState."""


@dataclass(frozen=True, slots=True)
class RecentDeletion:
    """The regions whose deletion the guard allowed at one moment (UTC, whole seconds)."""

    at: datetime
    regions: RegionKeys


@dataclass(frozen=True, slots=True)
class Hold:
    """The regions whose deletion the guard holds, and since when (UTC, whole seconds)."""

    since: datetime
    regions: RegionKeys

    @property
    def approval(self) -> str:
        """The text that approves the deletion of exactly these regions, and only for the present hold."""
        return hashlib.sha256(f"{format_time(self.since)} {_join(self.regions)}".encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class GuardState:
    """What the guard remembers from one reconcile to the next, in the RegionScheduler's status and nowhere else.

    `recent` holds the counted deletions, oldest first. `approved` holds the regions whose approved deletion is not done
    yet.
    """

    recent: tuple[RecentDeletion, ...] = ()
    hold: Hold | None = None
    approved: RegionKeys = _NONE

    @classmethod
    def from_status(cls, status: Mapping[str, Any]) -> Self:
        """Read what `to_status` wrote."""
        hold = status.get("heldDeletions")
        return cls(
            recent=tuple(
                RecentDeletion(datetime.fromisoformat(item["at"]), _split(item["regions"]))
                for item in status.get("recentDeletions", [])
            ),
            hold=Hold(datetime.fromisoformat(hold["since"]), _split(hold["regions"])) if hold else None,
            approved=_split(status.get("approvedDeletions", "")),
        )

    def to_status(self) -> dict[str, Any]:
        """Return the STATUS_FIELDS, without the empty fields."""
        status: dict[str, Any] = {}
        if self.recent:
            status["recentDeletions"] = [
                {"at": format_time(item.at), "regions": _join(item.regions)} for item in self.recent
            ]
        if self.hold:
            status["heldDeletions"] = {
                "since": format_time(self.hold.since),
                "approval": self.hold.approval,
                "regions": _join(self.hold.regions),
            }
        if self.approved:
            status["approvedDeletions"] = _join(self.approved)
        return status


@dataclass(frozen=True, slots=True)
class Decision:
    """Which changes of a plan may happen, and which deletions are held.

    `plan` holds the allowed changes, `allowance` is a number of regions. `state` must be saved before any change is
    made.
    """

    plan: Plan
    held: tuple[Delete, ...]
    allowance: int
    state: GuardState


def guard_deletions(
    plan: Plan, current: Sequence[LiveCronJob], *, guard: DeletionGuard, state: GuardState, approval: str, now: datetime
) -> Decision:
    """Decide on the deletions of a plan.

    `current` holds the CronJobs for which the plan was made. `approval` is the text that a person wrote to approve a
    hold, or "". `now` has a time zone; fractions of a second are dropped.
    """
    now = now.replace(microsecond=0)
    to_delete = frozenset(_region_key(delete.live) for delete in plan.deletes if not _is_duplicate(delete))
    approved = (state.approved | _approved_by(approval, state.hold)) & to_delete
    unapproved = to_delete - approved
    hold = state.hold if state.hold and state.hold.regions & unapproved else None

    recent = [item for item in state.recent if now - item.at <= guard.window]
    recently_deleted = _NONE.union(*(item.regions for item in recent))
    live_regions = frozenset(_region_key(live) for live in current if not live.terminating)
    all_regions = live_regions | recently_deleted
    allowance = max(guard.max_count, len(all_regions) * guard.max_percent // 100)
    too_many = len(unapproved | recently_deleted) > allowance
    none_would_stay = live_regions <= to_delete and len(all_regions) > 1
    held = unapproved if guard.max_percent < 100 and (hold or too_many or none_would_stay) else _NONE

    held_deletes = tuple(delete for delete in plan.deletes if _region_key(delete.live) in held)
    allowed = replace(
        plan,
        writes=(*plan.writes, *(delete.replacement for delete in held_deletes if delete.replacement)),
        deletes=tuple(delete for delete in plan.deletes if _region_key(delete.live) not in held),
    )
    return Decision(
        plan=allowed,
        held=held_deletes,
        allowance=allowance,
        state=GuardState(
            recent=_count_deletions(recent, unapproved - held, now) if len(allowed) else state.recent,
            hold=_update_hold(hold, held, now),
            approved=approved,
        ),
    )


def explain_hold(hold: Hold, held: Sequence[Delete], scheduler: Scheduler) -> str:
    """Say which deletions are held, why, and how to approve the hold. The same hold always gives the same text."""
    codes = [region_code(delete.live) for delete in held]
    named = ", ".join(codes[:MAX_NAMED_REGIONS]) + (
        f" and {len(codes) - MAX_NAMED_REGIONS} more" if codes[MAX_NAMED_REGIONS:] else ""
    )
    window = format_duration(scheduler.spec.deletion_guard.window)
    text = (
        f"deletions held: {named}; within {window} more regions would go than spec.deletionGuard lets, or all of them;"
        " to stop all and keep them, set spec.suspend"
    )
    if scheduler.approval:
        text += f"; the approval {scheduler.approval} is of other regions, or of another time"
    return f"{text}; if they are to go: {approve_command(scheduler, hold)}"


def approve_command(scheduler: Scheduler, hold: Hold) -> str:
    """Return the kubectl command that approves a hold."""
    return (
        f"kubectl annotate {KIND.lower()} {scheduler.name} -n {scheduler.namespace} --overwrite"
        f" {APPROVAL_ANNOTATION}={hold.approval}"
    )


def region_code(live: LiveCronJob) -> str:
    """Return the code of a CronJob's region, fit for a message. Without the code's annotation: the CronJob's name."""
    return printable(live.code or live.name)


def _approved_by(approval: str, hold: Hold | None) -> RegionKeys:
    return hold.regions if hold and hold.approval == approval else _NONE


def _count_deletions(
    recent: Sequence[RecentDeletion], deleted: RegionKeys, now: datetime
) -> tuple[RecentDeletion, ...]:
    """Add regions to the recent deletions. A region that was counted before is counted from now on instead."""
    earlier = (RecentDeletion(item.at, item.regions - deleted) for item in recent)
    return tuple(item for item in (*earlier, RecentDeletion(now, deleted)) if item.regions)


def _update_hold(hold: Hold | None, held: RegionKeys, now: datetime) -> Hold | None:
    """Return the hold of the `held` regions: the present hold, or a new hold if a region joins.

    A row that comes back keeps the hold's approval valid: a person may be about to write the approval.
    """
    if not held or hold is None:
        return Hold(now, held) if held else None
    return hold if held <= hold.regions else Hold(now, held)


def _region_key(live: LiveCronJob) -> str:
    """Return the key of a CronJob's region, or the CronJob's name if the CronJob has no key."""
    return live.key or live.name


def _is_duplicate(delete: Delete) -> bool:
    return delete.reason is ChangeReason.DUPLICATE


def _join(regions: RegionKeys) -> str:
    return " ".join(sorted(regions))


def _split(text: str) -> RegionKeys:
    return frozenset(text.split())
