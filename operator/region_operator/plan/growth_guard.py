"""Decides which new CronJobs may be created: the guard against a wrong table, which would fill the cluster. Pure.

| the plan creates                             | outcome                                                      |
|----------------------------------------------|--------------------------------------------------------------|
| more than `spec.maxRegions` has room for     | nothing is created, until there is room                      |
| the first regions                            | allowed                                                      |
| at most LEAST_GROWTH, or as many as stand    | allowed                                                      |
| more than that beside standing regions       | the new regions are held until a person approves them        |
| any new region, while a hold lasts           | held: the creation joins the hold                            |
| a CronJob again, which somebody deleted      | allowed, also beyond `spec.maxRegions`                       |
| a region that ticks elsewhere, to take over  | allowed, if `spec.maxRegions` has room: nothing grows        |
| the successor of a region under a new id     | left to `deletion_guard`: nothing grows                      |

A creation is new if the region was not in the plan before, as far as this process knows, and does not tick elsewhere.
So a deleted CronJob comes back at once. `GuardState.filling` tells the next process that many creations were let
through and are not made yet: a first fill that is interrupted goes on.

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
    elsewhere: Collection[str],
    approval: str,
    now: datetime,
) -> tuple[Decision, Room]:
    """Decide on the creations of a decision's plan.

    `current` holds the CronJobs for which the plan was made. `known` are the keys of the regions of the plan before,
    `elsewhere` those of the regions to take over that tick in another installation.
    """
    plan, state, kind = decision.plan, decision.state, Guarded.CREATION
    creations = frozenset(write.key for write in plan.writes if write.creates)
    if not creations and not (state.filling or kind in state.holds or kind in state.approved):
        return decision, Room(max_regions)
    standing = {live.key for live in current if not live.terminating}
    excess = len(standing) + len(creations) - max_regions
    returning = creations.intersection(known)
    if excess > 0 and creations > returning:
        without_hold = replace(state, holds=put(state.holds, kind, None))
        plan = _without(plan, creations - returning)
        return replace(decision, plan=plan, state=without_hold), Room(max_regions, excess)
    now = now.replace(microsecond=0)
    approved = state.is_approved(kind, approval) & creations
    hold = state.holds.get(kind)
    named = hold.regions & creations - approved if hold else NONE
    new = creations - approved - returning - frozenset(elsewhere)
    ticking = standing.union(elsewhere)
    begun = state.filling and not known  # this process knows what it has begun
    filling = (begun or not ticking) and len(creations) > LEAST_GROWTH
    too_many = not filling and len(new) > max(LEAST_GROWTH, len(ticking))
    held = named | new if named or too_many else NONE
    hold = update_hold(hold if named else None, held, kind, now)
    changed = replace(
        state,
        holds=put(state.holds, kind, hold),
        approved=put(state.approved, kind, approved),
        filling=len(creations - held) > LEAST_GROWTH,
    )
    changes = tuple(write for write in plan.writes if write.creates and write.key in held)
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
    kept = (write for write in plan.writes if not write.creates or write.key not in regions)
    return replace(plan, writes=tuple(kept))
