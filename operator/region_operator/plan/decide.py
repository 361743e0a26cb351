"""Decides what one reconcile does: parses the rows, plans, and asks the guards. Pure.

A Decider is fed with what was read and returns what to do. It remembers what it saw last, so that a look costs what has
changed since; what must outlive the process is in the RegionScheduler's status.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from region_operator.cronjobs.labels import SuspendedBy, region_key
from region_operator.cronjobs.render import render_cronjob
from region_operator.plan.changes import Guarded
from region_operator.plan.deletion_guard import Decision, guard_stops
from region_operator.plan.growth_guard import Room, guard_growth, without_deletions
from region_operator.plan.guard_memory import NONE, GuardState, RegionKeys, is_remembered, put, update_hold
from region_operator.plan.pauses import Pauses, end_pauses
from region_operator.plan.plan import ticking_ids_by_code
from region_operator.plan.planner import Planner
from region_operator.plan.suspension import Suspension, suspension_of
from region_operator.plan.taken_over import TakeOver, explain_loss, guard_reschedules, without_creations
from region_operator.regions.row_parser import RowParser
from region_operator.scheduler import InvalidSchedule, Scheduler

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from datetime import datetime

    from region_operator.cronjobs.live import LiveCronJob
    from region_operator.cronjobs.manifest_parts import Manifest
    from region_operator.plan.changes import Desired, Plan, Render
    from region_operator.regions.region import Quarantined, RegionRow


CLOCKS_APART = timedelta(minutes=1)
"""By how much the clocks of API servers that answer in turn may differ. More is a clock that was wrong and is set."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What a reconcile does. `plan` is the plan before the guards, `regions` are the active rows.

    `loss` says why nothing is taken over, although it is asked for; "" if nothing is in the way. `pauses` and
    `suspension` are those that stand.
    """

    decision: Decision
    plan: Plan
    room: Room
    regions: Sequence[RegionRow | Quarantined]
    render: Render
    loss: str
    pauses: Pauses
    suspension: Suspension | None


class Decider:
    """Decides for one namespace. `tick_image` is used if the spec names no image."""

    def __init__(self, *, tick_image: str) -> None:
        self._tick_image = tick_image
        self._parser = RowParser()
        self._planner = Planner()
        self._known: set[str] = set()
        self._begun = ""
        """The uid of the last RegionScheduler that was seen beside no CronJob, or while its past was unknown."""
        self._ended: tuple[str, datetime] | None = None
        """The uid of the last RegionScheduler whose spec.suspendUntil was past, and that moment."""

    def decide(
        self,
        rows: Sequence[Mapping[str, Any]],
        cronjobs: Sequence[LiveCronJob],
        scheduler: Scheduler,
        *,
        source: str,
        take_over: TakeOver,
        complete: bool,
        now: datetime,
    ) -> Generator[None, None, Decided]:
        """Compare the active rows with all CronJobs of the namespace. Yield now and then.

        `source` is the table's qualified name. `complete` says that `rows` are all active rows. `now` has a time zone.
        """
        spec = scheduler.spec
        pauses = end_pauses([live for live in cronjobs if live.ours], now=now)
        current = pauses.cronjobs
        suspension = self._find_suspension(scheduler, now)
        regions = yield from self._parser.parse(rows, source=source, ticking_ids=partial(ticking_ids_by_code, current))
        render = partial(_render, scheduler, self._tick_image, SuspendedBy.SPEC if suspension else None)
        plan = yield from self._planner.plan(
            regions,
            current,
            render=render,
            keep_last=spec.invalid_schedule is InvalidSchedule.KEEP_LAST,
            foreign_names={live.name for live in cronjobs if not live.ours},
            common=(
                *(scheduler.uid, scheduler.name, scheduler.namespace, scheduler.installation),
                *(spec.model_dump_json(), self._tick_image, suspension is not None),
            ),
        )
        plan = yield from guard_reschedules(plan, take_over)
        state = self._remember(scheduler, current, now)
        decision = guard_stops(
            plan if complete else without_deletions(plan),
            current,
            guard=spec.deletion_guard,
            state=state,
            approval=scheduler.approval,
            now=now,
        )
        if not complete:
            read = frozenset(region_key(row.id) for row in regions)
            decision = replace(decision, state=_with_deletions_of(decision.state, state, read))
        loss = explain_loss(decision.plan, current, take_over, spec.deletion_guard) if complete else ""
        decision, room = guard_growth(
            decision,
            current,
            max_regions=spec.max_regions,
            known=self._known,
            elsewhere=take_over.crons,
            approval=scheduler.approval,
            now=now,
        )
        if loss:  # only now: the growth guard forgets the approval of what is not to be created
            decision = replace(decision, plan=without_creations(decision.plan, take_over.slots))
        created = {write.key for write in decision.plan.writes if write.creates}
        created |= {delete.successor.key for delete in decision.plan.deletes if delete.successor}
        self._known = {live.key for live in current} | created
        return Decided(decision, plan, room, regions, render, loss, pauses, suspension)

    def _find_suspension(self, scheduler: Scheduler, now: datetime) -> Suspension | None:
        """Return what suspends all regions. A moment that was past stays past, although a slower clock may follow."""
        until = scheduler.spec.suspend_until
        if until and self._ended == (scheduler.uid, until) and until - now < CLOCKS_APART:
            now = max(now, until)
        if until and until <= now:
            self._ended = scheduler.uid, until
        return suspension_of(scheduler, now=now)

    def _remember(self, scheduler: Scheduler, current: Sequence[LiveCronJob], now: datetime) -> GuardState:
        """Return what the guards remember. Whose CronJobs stand before the guards' first decision, nobody remembers."""
        state = GuardState.from_status(scheduler.status)
        if state.unknown_before or all(live.terminating for live in current):
            self._begun = scheduler.uid
        elif scheduler.uid != self._begun and not is_remembered(scheduler.status):
            return replace(state, unknown_before=now.replace(microsecond=0))
        return state


def _with_deletions_of(state: GuardState, before: GuardState, read: RegionKeys) -> GuardState:
    """Return a state with the deletions that another state holds or approves, except for those whose rows were read."""
    kind = Guarded.DELETION
    hold, approved = before.holds.get(kind), before.approved.get(kind, NONE) - read
    if hold:
        hold = update_hold(hold, hold.held - read, kind, hold.since)
    return replace(state, holds=put(state.holds, kind, hold), approved=put(state.approved, kind, approved))


def _render(
    scheduler: Scheduler, tick_image: str, all_suspended_by: SuspendedBy | None, desired: Desired, name: str
) -> Manifest:
    return render_cronjob(
        desired.region,
        desired.schedule,
        scheduler,
        name=name,
        tick_image=tick_image,
        suspended_by=desired.suspended_by or all_suspended_by,
    )
