"""Which deletes of a plan may be done: the guard against a table that lost its rows. Pure; writes are none of its
business.

| a planned delete is of a region | outcome                                                  |
|---------------------------------|----------------------------------------------------------|
| that was approved               | goes, and is not counted                                 |
| one of few                      | goes, and is counted for the window                      |
| one of too many                 | held, with all others of this plan that are not approved |
| the last one, where others went | held, likewise                                           |
| any, while a hold lasts         | held, likewise: it joins the hold                        |
| that keeps an older CronJob     | goes, and is not counted: the region stays               |

Too many: the regions of this plan and those that went within the window are more than the greater of `max_count` and
`max_percent` of the regions that stood within the window, which are the ones with a CronJob now and the ones that went.
So the allowance does not shrink while they go. A plan beyond it is held whole: to let some go, by chance the first,
would help nobody who did not mean it, and would not be what somebody meant who did.

The last one: nothing that stands would stay, and two or more stood within the window. An empty table is never believed
at once, however few regions there are: docs/decisions/0008-an-empty-table-is-not-believed-at-once.md.

A hold names its regions when it begins, and anew when others join them. It ends when the last of them is back, or its
deletion approved, or the guard turned off by a `max_percent` of 100; neither by waiting nor by what is created
meanwhile. What was named is what an approval approves, less what is back when it is seen. Why the name is a hash of the
moment too: docs/decisions/0006-approval-of-held-deletions.md.

Regions are counted, not requests: one whose deletion failed and is tried again counts once, from the last decision on.
What went is remembered in the RegionScheduler's status, so that a thousand single deletes, a restart or another leader
make no difference; the table's own database is not asked, because it may be the wrong one. `now` is this process's UTC
clock: if two leaders' clocks differ, the window is longer or shorter by that.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from region_operator.cronjobs.labels import CODE_ANNOTATION
from region_operator.plan.changes import ChangeReason
from region_operator.regions.region import NAMED_REGIONS, shown
from region_operator.scheduler import APPROVAL_ANNOTATION, KIND, format_duration, format_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from region_operator.plan.changes import Delete, LiveCronJob, Plan
    from region_operator.scheduler import DeletionGuard, Scheduler

Regions = frozenset[str]
"""Regions by the values of their CronJobs' region label."""

_NONE: Regions = frozenset()

STATUS_FIELDS = ("recentDeletions", "heldDeletions", "approvedDeletions")
"""What of a RegionScheduler's status is History's."""


@dataclass(frozen=True, slots=True)
class Gone:
    """Regions that were let go at a moment, in whole seconds of UTC."""

    at: datetime
    regions: Regions


@dataclass(frozen=True, slots=True)
class Hold:
    """Regions that were held together from a moment on, in whole seconds of UTC."""

    since: datetime
    regions: Regions

    @property
    def approval(self) -> str:
        """What approves the deletion of exactly these, now and never again."""
        return hashlib.sha256(f"{format_time(self.since)} {_join(self.regions)}".encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class History:
    """What the guard must know of before: kept in a RegionScheduler's status, and nowhere else."""

    gone: tuple[Gone, ...] = ()
    hold: Hold | None = None
    approved: Regions = _NONE

    @classmethod
    def from_status(cls, status: Mapping[str, Any]) -> Self:
        """Read what `to_status` wrote."""
        hold = status.get("heldDeletions")
        return cls(
            gone=tuple(
                Gone(datetime.fromisoformat(item["at"]), _split(item["regions"]))
                for item in status.get("recentDeletions", [])
            ),
            hold=Hold(datetime.fromisoformat(hold["since"]), _split(hold["regions"])) if hold else None,
            approved=_split(status.get("approvedDeletions", "")),
        )

    def to_status(self) -> dict[str, Any]:
        """Return STATUS_FIELDS, without those that say nothing."""
        status: dict[str, Any] = {}
        if self.gone:
            status["recentDeletions"] = [
                {"at": format_time(item.at), "regions": _join(item.regions)} for item in self.gone
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
    """What of a plan is to be done, and what the guard must remember before any of it is."""

    plan: Plan
    held: tuple[Delete, ...]
    allowance: int
    history: History


def guard_deletions(
    plan: Plan, current: Sequence[LiveCronJob], *, guard: DeletionGuard, history: History, approval: str, now: datetime
) -> Decision:
    """Decide on the deletes of a plan. `current` are the CronJobs that it was made for, `approval` is what somebody
    wrote to approve a hold.
    """
    now = now.replace(microsecond=0)
    asked = frozenset(_region(delete) for delete in plan.deletes if delete.reason is not ChangeReason.DUPLICATE)
    approved = (history.approved | _approved_by(approval, history.hold)) & asked
    others = asked - approved
    hold = history.hold if history.hold and history.hold.regions & others else None

    counted = [item for item in history.gone if now - item.at <= guard.window]
    went = _NONE.union(*(item.regions for item in counted))
    standing = frozenset(live.key or live.name for live in current if not live.terminating)
    stood = standing | went
    allowance = max(guard.max_count, len(stood) * guard.max_percent // 100)
    too_many = len(others | went) > allowance
    none_would_stay = standing <= asked and len(stood) > 1
    held = others if guard.max_percent < 100 and (hold or too_many or none_would_stay) else _NONE

    kept = tuple(delete for delete in plan.deletes if _region(delete) in held)
    done = replace(
        plan,
        writes=(*plan.writes, *(delete.replacement for delete in kept if delete.replacement)),
        deletes=tuple(delete for delete in plan.deletes if _region(delete) not in held),
    )
    return Decision(
        plan=done,
        held=kept,
        allowance=allowance,
        history=History(
            gone=_count(counted, others - held, now) if len(done) else history.gone,
            hold=_name(held, hold, now),
            approved=approved,
        ),
    )


def explain_hold(hold: Hold, held: Sequence[Delete], scheduler: Scheduler) -> str:
    """Say what is held, why, and how to approve it; the same text as long as the same is held."""
    codes = [region_code(delete.live) for delete in held]
    named = ", ".join(codes[:NAMED_REGIONS]) + (
        f" and {len(codes) - NAMED_REGIONS} more" if codes[NAMED_REGIONS:] else ""
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
    """Return the command by which a person approves a hold."""
    return (
        f"kubectl annotate {KIND.lower()} {scheduler.name} -n {scheduler.namespace} --overwrite"
        f" {APPROVAL_ANNOTATION}={hold.approval}"
    )


def region_code(live: LiveCronJob) -> str:
    """Return the code of a CronJob's region as a message may hold it, or the CronJob's name where somebody took it
    away.
    """
    return shown(live.body["metadata"].get("annotations", {}).get(CODE_ANNOTATION, live.name))


def _approved_by(approval: str, hold: Hold | None) -> Regions:
    return hold.regions if hold and hold.approval == approval else _NONE


def _count(counted: Sequence[Gone], going: Regions, now: datetime) -> tuple[Gone, ...]:
    """Count regions from now on, and no longer from before."""
    earlier = (Gone(item.at, item.regions - going) for item in counted)
    return tuple(item for item in (*earlier, Gone(now, going)) if item.regions)


def _name(held: Regions, before: Hold | None, now: datetime) -> Hold | None:
    """Keep a hold as it was named as long as none joins it: a row that is back must not outdate the approval that
    somebody is about to write.
    """
    if not held or before is None:
        return Hold(now, held) if held else None
    return before if held <= before.regions else Hold(now, held)


def _region(delete: Delete) -> str:
    """Return a region's label, or the name of a CronJob that somebody took it from."""
    return delete.live.key or delete.live.name


def _join(regions: Regions) -> str:
    return " ".join(sorted(regions))


def _split(text: str) -> Regions:
    return frozenset(text.split())
