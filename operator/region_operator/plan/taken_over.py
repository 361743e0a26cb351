"""Judges what is created here to take regions over from another installation by what ticks there. Pure.

A change of owner must not let through what the former owner's guards hold: otherwise a table that lost its rows would
lose its ticks as soon as it is moved.

| a region of the slots to take over                            | outcome                                              |
|---------------------------------------------------------------|------------------------------------------------------|
| ticks there, and would tick here about as often               | created: no growth                                   |
| ticks there, and would tick ten times more or less often here | created with the schedule from there while held      |
| does not tick there                                           | created if `growth_guard` lets as many new regions   |
| ticks there, and has no row here that can be scheduled        | would stop                                           |

If more would stop than `spec.deletionGuard` lets stop at once, or all of two or more, nothing is created in these
slots, and no slot changes hands. What ticks elsewhere is read from region_tick.region_schedule, where each owner says
what its CronJobs are.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from region_operator.cronjobs.labels import region_key
from region_operator.plan.changes import Desired
from region_operator.plan.plan import kind_of_reschedule
from region_operator.regions.cron_field import ScheduleError
from region_operator.regions.schedule import parse_schedule
from region_operator.regions.slots import Slots, slot_of_key

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

    from region_operator.cronjobs.live import LiveCronJob
    from region_operator.plan.changes import Plan, Write
    from region_operator.regions.handover import RegionElsewhere
    from region_operator.scheduler import DeletionGuard


@dataclass(frozen=True, slots=True)
class TakeOver:
    """The slots to take over. `crons` has the schedules of their regions elsewhere, by key; `ticking` are the keys of
    those that are not suspended there.
    """

    slots: Slots = frozenset()
    crons: Mapping[str, str] = field(default_factory=dict)
    ticking: frozenset[str] = frozenset()

    @classmethod
    def of(cls, slots: Slots, regions: Iterable[RegionElsewhere]) -> Self:
        """Return what is to be taken over, with the `regions` that have a CronJob elsewhere."""
        by_key = {region_key(region.region_id): region for region in regions}
        return cls(
            slots,
            crons={key: region.cron for key, region in by_key.items()},
            ticking=frozenset(key for key, region in by_key.items() if not region.suspended),
        )


def guard_reschedules(plan: Plan, take_over: TakeOver) -> Generator[None, None, Plan]:
    """Return the plan with what a guard counts the creations as whose regions have another schedule elsewhere.

    Yield after each write: to compare two schedules takes a quarter of a millisecond.
    """
    if not take_over.crons:
        return plan
    writes: list[Write] = []
    for write in plan.writes:
        writes.append(_guard(write, take_over.crons.get(write.key)))
        yield
    return replace(plan, writes=tuple(writes))


def explain_loss(plan: Plan, current: Sequence[LiveCronJob], take_over: TakeOver, guard: DeletionGuard) -> str:
    """Say that too many regions that tick elsewhere would have no CronJob here; "" if few enough.

    All of two or more are always too many. A `max_percent` of 100 turns the guard off.
    """
    gone = {delete.key for delete in plan.deletes if delete.guarded}
    made = {live.key for live in current if not live.terminating} - gone | {write.key for write in plan.writes}
    lost, of = len(take_over.ticking - made), len(take_over.ticking)
    leaves_none = lost == of > 1 and guard.max_percent < 100
    if lost <= guard.allowance(of) and not leaves_none:
        return ""
    return (
        f"{lost} of {of} regions that tick elsewhere would have no CronJob here and would stop: mend their rows, or let"
        " the former owner delete them, or raise spec.deletionGuard"
    )


def without_creations(plan: Plan, slots: Slots) -> Plan:
    """Return the plan without the CronJobs that are new in these slots."""
    writes = (write for write in plan.writes if not write.creates or slot_of_key(write.key) not in slots)
    return replace(plan, writes=tuple(writes))


def _guard(write: Write, cron: str | None) -> Write:
    if cron is None or not write.creates:
        return write
    try:
        before = parse_schedule(cron)
    except ScheduleError:
        return write
    if (kind := kind_of_reschedule(before, write.desired.schedule)) is None:
        return write
    kept = Desired(replace(write.desired.region, cron_schedule=before.written), before, write.desired.suspended_by)
    return replace(write, guarded=kind, replacement=replace(write, desired=kept))
