"""Decides which new CronJobs may be created: the guard against a wrong table, which would fill the cluster. Pure.

| the plan creates                             | outcome                                                      |
|----------------------------------------------|--------------------------------------------------------------|
| more than `spec.maxRegions` has room for     | nothing is created, until there is room                      |
| the first regions                            | allowed                                                      |
| at most LEAST_GROWTH, or as many as stand    | allowed                                                      |
| more than that beside standing regions       | the new regions are held until a person approves them        |
| any new region, while a hold lasts           | held: the creation joins the hold                            |
| a CronJob again, which somebody deleted      | allowed                                                      |
| the successor of a region under a new id     | left to `deletion_guard`: nothing grows                      |

A creation is new if the region was not in the plan before, as far as this process knows. So a deleted CronJob comes
back at once. `GuardState.filling` tells the next process that many creations were let through and are not made yet:
a first fill that is interrupted goes on.

If the table has more rows than were read, nobody can tell which regions lost their rows. Then nothing is deleted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from region_operator.plan.changes import Guarded
from region_operator.plan.guard_memory import NONE, RegionKeys, put, update_hold

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from region_operator.cronjobs.live import LiveCronJob
    from region_operator.plan.changes import Plan
    from region_operator.plan.deletion_guard import Decision

LEAST_GROWTH = 100
"""So many new regions are never too many."""


@dataclass(frozen=True, slots=True)
class Room:
    """How many regions fit. `excess` counts the creations for which `max_regions` has no room; 0: all fit."""

    max_regions: int
    excess: int = 0


def guard_growth(
    decision: Decision,
    current: Sequence[LiveCronJob],
    *,
    max_regions: int,
    known: Collection[str],
    approval: str,
    now: datetime,
) -> tuple[Decision, Room]:
    """Decide on the creations of a decision's plan.

    `current` holds the CronJobs for which the plan was made, `known` the keys of the regions of the plan before.
    """
    plan, state, kind = decision.plan, decision.state, Guarded.CREATION
    creations = frozenset(write.key for write in plan.writes if write.guarded is kind)
    if not creations and not (state.filling or kind in state.holds or kind in state.approved):
        return decision, Room(max_regions)
    standing = len({live.key for live in current if not live.terminating})
    excess = standing + len(creations) - max_regions
    if creations and excess > 0:
        without_hold = replace(state, holds=put(state.holds, kind, None))
        return replace(decision, plan=_without(plan, creations), state=without_hold), Room(max_regions, excess)
    now = now.replace(microsecond=0)
    approved = state.is_approved(kind, approval) & creations
    hold = state.holds.get(kind)
    named = hold.regions & creations - approved if hold else NONE
    new = creations - approved - frozenset(known)
    filling = (state.filling or not standing) and len(creations) > LEAST_GROWTH
    too_many = not filling and len(new) > max(LEAST_GROWTH, standing)
    held = named | new if named or too_many else NONE
    hold = update_hold(hold if named else None, held, kind, now)
    changed = replace(
        state,
        holds=put(state.holds, kind, hold),
        approved=put(state.approved, kind, approved),
        filling=len(creations - held) > LEAST_GROWTH,
    )
    changes = tuple(write for write in plan.writes if write.guarded is kind and write.key in held)
    return replace(decision, plan=_without(plan, held), held=(*decision.held, *changes), state=changed), Room(
        max_regions
    )


def without_deletions(plan: Plan) -> Plan:
    """Return a plan that keeps every CronJob as it is, because the rows of some regions are unknown."""
    gone = [delete for delete in plan.deletes if delete.guarded is Guarded.DELETION]
    instead = [delete.replacement for delete in gone if delete.replacement]
    return replace(
        plan,
        writes=(*plan.writes, *instead),
        deletes=tuple(delete for delete in plan.deletes if delete.guarded is not Guarded.DELETION),
    )


def explain_room(room: Room, *, complete: bool) -> str:
    """Say why regions are not created, and what to do; "" if all fit. `complete` says that all rows were read."""
    remedy = "take rows out, or raise spec.maxRegions"
    if not complete:
        return (
            f"the table has far more active rows than spec.maxRegions {room.max_regions}, so the rest is not read,"
            f" nothing is deleted, and no region beyond that is created: {remedy}"
        )
    if not room.excess:
        return ""
    return f"no region is created: there would be {room.excess} more than spec.maxRegions {room.max_regions}; {remedy}"


def _without(plan: Plan, regions: RegionKeys) -> Plan:
    if not regions:
        return plan
    kept = (write for write in plan.writes if write.guarded is not Guarded.CREATION or write.key not in regions)
    return replace(plan, writes=tuple(kept))
