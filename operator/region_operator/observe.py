"""The reading half of a reconcile: read the table, know the CronJobs, parse rows and schedules, plan, guard.

The command `plan` stops after this half, and a reconcile continues. So the command shows exactly what a reconcile does.
An Observer remembers its last observation, so the next observation costs what has changed since. Once per refresh
interval an observation is a full look: the CronJobs are listed, whatever the watch has told.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from region_operator.kube.quota import Quota, explain_name_conflict, read_quota
from region_operator.plan.changes import Delete, Guarded
from region_operator.plan.decide import Decider
from region_operator.plan.growth_guard import explain_room
from region_operator.plan.handed_over import divide, explain_unrefused
from region_operator.plan.status import count_held
from region_operator.plan.summary import ReconcileSummary
from region_operator.plan.taken_over import TakeOver
from region_operator.regions.elsewhere import read_elsewhere
from region_operator.regions.handover import explain_refusal
from region_operator.regions.source import ROWS_BEYOND, Table, read_regions
from region_operator.runtime.slices import run_in_slices

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from region_operator.database.region_table import Trigger
    from region_operator.database.store import Database
    from region_operator.kube.api import Api
    from region_operator.kube.cronjob_watch import CronJobWatch
    from region_operator.plan.changes import Render
    from region_operator.plan.decide import Decided
    from region_operator.plan.deletion_guard import Decision
    from region_operator.plan.handed_over import Division
    from region_operator.regions.handover import SlotHandover
    from region_operator.regions.region import Quarantined, RegionRow
    from region_operator.scheduler import Scheduler


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a reconcile found, and what the guard decided.

    `quota_due` says whether the quota must be applied. `render` gives the manifests of the decided writes. `look` is
    the number of the last full look. `rows` are the active rows. `handover` says which slots the plan is for.
    `due` is when the next pause ends, or the suspension of all regions, or when the next CronJob may be deleted that
    another installation has taken over: by the Observer's clock, infinity if nothing waits.
    `unmade` says that some active rows get no CronJob yet, because a guard holds them back.
    """

    summary: ReconcileSummary
    quota: Quota
    quota_due: bool
    decision: Decision
    trigger: Trigger
    table_version: str | None
    render: Render
    look: int
    rows: Sequence[RegionRow | Quarantined]
    handover: SlotHandover
    due: float
    unmade: bool

    def with_decision(self, decision: Decision) -> Observation:
        """Return the observation with another decision on the same plan."""
        changed = self.quota_due or len(decision.plan) > 0
        summary = replace(self.summary, held=count_held(decision), changed=changed)
        return replace(self, decision=decision, summary=summary)


class Observer:
    """Observes one namespace. `watch` knows the CronJobs; `tick_image` is used if the spec names no image; `clock`
    returns seconds. `looks` counts the full looks.
    """

    def __init__(
        self, api: Api, watch: CronJobWatch, *, tick_image: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._api = api
        self._watch = watch
        self._clock = clock
        self._looked_at: float | None = None
        self.looks = 0
        self._decider = Decider(tick_image=tick_image)

    def full_look_in(self, scheduler: Scheduler) -> timedelta:
        """Return the time until a full look is due, 0 if a full look is due now."""
        if self._looked_at is None:
            return timedelta()
        return max(timedelta(), scheduler.spec.refresh_interval - timedelta(seconds=self._clock() - self._looked_at))

    def look_in(self, scheduler: Scheduler, observation: Observation) -> timedelta:
        """Return the time until the next observation: a full look, or sooner because of what was due last."""
        seconds = max(0.0, observation.due - self._clock())
        return timedelta(seconds=min(seconds, self.full_look_in(scheduler).total_seconds()))

    async def observe(
        self, database: Database, scheduler: Scheduler, handover: SlotHandover, *, now: datetime
    ) -> Observation:
        """Read the table and the cluster, and decide what to change in the slots of `handover`. Change nothing.

        Raises the errors of `regions.source`, SQLAlchemy's errors, and the errors in `api.ERRORS`.
        """
        spec, began = scheduler.spec, self._clock()
        table = Table.parse(spec.source.table, default_schema=database.schema)
        reading = await read_regions(
            database.engine,
            spec.source,
            default_schema=database.schema,
            slots=handover.slots,
            max_rows=spec.max_regions + ROWS_BEYOND,
        )
        full = not self.full_look_in(scheduler)
        await self._watch.catch_up(scheduler.namespace, full=full)
        if full:
            self._looked_at, self.looks = self._clock(), self.looks + 1
        quota = await read_quota(self._api, scheduler)
        quota_due = quota.drifted and bool(handover.slots)
        elsewhere = await read_elsewhere(database.engine, handover)
        division = divide(self._watch.cache.cronjobs, handover)
        deciding = self._decider.decide(
            reading.rows,
            division.current,
            scheduler,
            source=str(table),
            take_over=TakeOver.of(handover.taking, elsewhere),
            complete=reading.complete,
            now=now,
        )
        decided = await run_in_slices(deciding)
        decision, plan, regions = decided.decision, decided.plan, decided.regions
        waiting = sum(bool(change.successor) for change in decision.held if isinstance(change, Delete))
        refusal = explain_refusal(handover, scheduler)
        held_back = decided.loss or decided.room.excess or decision.held_of(Guarded.CREATION)
        deletes = (*decision.plan.deletes, *division.handed_over)
        decision = replace(decision, plan=replace(decision.plan, deletes=deletes))
        summary = ReconcileSummary(
            active=len(regions),
            quarantined=plan.quarantined,
            held=count_held(decision),
            waiting=waiting,
            paused=plan.paused,
            pause_problem=decided.pauses.problem,
            changed=quota_due or len(decision.plan) > 0,
            history=database.history,
            taken="; ".join(filter(None, (decided.loss or refusal, explain_unrefused(division.unrefused)))),
            quota_conflict=explain_name_conflict(quota) if quota.taken else "",
            excess=explain_room(decided.room, complete=reading.complete),
            suspension=decided.suspension,
        )
        return Observation(
            summary=summary,
            quota=quota,
            quota_due=quota_due,
            decision=decision,
            trigger=reading.trigger,
            table_version=reading.version,
            render=decided.render,
            look=self.looks,
            rows=regions,
            handover=handover,
            due=began + _due_in(decided, division, now),
            unmade=not reading.complete or bool(held_back),
        )


def _due_in(decided: Decided, division: Division, now: datetime) -> float:
    """Return in how many seconds from `now` the first thing is due that waits for a moment."""
    end = decided.suspension.until if decided.suspension else None
    waits = (division.wait, decided.pauses.next_end_in, end - now if end else None)
    return min((wait.total_seconds() for wait in waits if wait is not None), default=math.inf)
