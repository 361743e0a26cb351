"""The reading half of a reconcile: read the table, know the CronJobs, parse rows and schedules, plan, guard.

The command `plan` stops after this half, and a reconcile continues. So the command shows exactly what a reconcile does.
An Observer remembers its last observation, so the next observation costs what has changed since. Once per refresh
interval an observation is a full look: the CronJobs are listed, whatever the watch has told.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from region_operator.cronjobs.render import render_cronjob
from region_operator.kube.quota import Quota, explain_name_conflict, read_quota
from region_operator.plan.deletion_guard import Decision, GuardState, guard_deletions
from region_operator.plan.plan import ticking_ids_by_code
from region_operator.plan.planner import Planner
from region_operator.plan.summary import ReconcileSummary
from region_operator.regions.row_parser import RowParser
from region_operator.regions.source import Table, read_regions
from region_operator.runtime.slices import run_in_slices
from region_operator.scheduler import InvalidSchedule, Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from region_operator.cronjobs.manifest_parts import Manifest
    from region_operator.database.region_table import Trigger
    from region_operator.database.store import Database
    from region_operator.kube.api import Api
    from region_operator.kube.cronjob_watch import CronJobWatch
    from region_operator.plan.changes import Desired, Render
    from region_operator.regions.region import Quarantined, RegionRow


@dataclass(frozen=True, slots=True)
class Observation:
    """What a reconcile found, and what the guard decided.

    `render` gives the manifests of the decided writes. `look` is the number of the last full look. `rows` are the
    active rows.
    """

    summary: ReconcileSummary
    quota: Quota
    decision: Decision
    trigger: Trigger
    render: Render
    look: int
    rows: Sequence[RegionRow | Quarantined]


class Observer:
    """Observes one namespace. `watch` knows the CronJobs; `tick_image` is used if the spec names no image; `clock`
    returns seconds.
    """

    def __init__(
        self, api: Api, watch: CronJobWatch, *, tick_image: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._api = api
        self._watch = watch
        self._tick_image = tick_image
        self._clock = clock
        self._looked_at: float | None = None
        self._looks = 0
        self._parser = RowParser()
        self._planner = Planner()

    def full_look_in(self, scheduler: Scheduler) -> timedelta:
        """Return the time until a full look is due, 0 if a full look is due now."""
        if self._looked_at is None:
            return timedelta()
        return max(timedelta(), scheduler.spec.refresh_interval - timedelta(seconds=self._clock() - self._looked_at))

    async def observe(self, database: Database, scheduler: Scheduler, *, now: datetime) -> Observation:
        """Read the table and the cluster, and decide what to change. Nothing is changed here.

        Raises the errors of `regions.source`, SQLAlchemy's errors, and the errors in `api.ERRORS`.
        """
        spec = scheduler.spec
        table = Table.parse(spec.source.table, default_schema=database.schema)
        reading = await read_regions(database.engine, spec.source, default_schema=database.schema)
        full = not self.full_look_in(scheduler)
        await self._watch.catch_up(scheduler.namespace, full=full)
        if full:
            self._looked_at, self._looks = self._clock(), self._looks + 1
        cronjobs = self._watch.cache.cronjobs
        current = [live for live in cronjobs if live.ours]
        parsing = self._parser.parse(reading.rows, source=str(table), ticking_ids=partial(ticking_ids_by_code, current))
        regions = await run_in_slices(parsing)
        quota = await read_quota(self._api, scheduler)
        render = partial(_render, scheduler, self._tick_image)
        planning = self._planner.plan(
            regions,
            current,
            render=render,
            keep_last=spec.invalid_schedule is InvalidSchedule.KEEP_LAST,
            foreign_names={live.name for live in cronjobs if not live.ours},
            common=(scheduler.uid, scheduler.name, scheduler.namespace, spec.model_dump_json(), self._tick_image),
        )
        plan = await run_in_slices(planning)
        decision = guard_deletions(
            plan,
            current,
            guard=spec.deletion_guard,
            state=GuardState.from_status(scheduler.status),
            approval=scheduler.approval,
            now=now,
        )
        summary = ReconcileSummary(
            active=len(regions),
            scheduled=len(regions) - len(plan.quarantined),
            quarantined=plan.quarantined,
            held=len(decision.held),
            paused=plan.paused,
            changed=quota.drifted or len(decision.plan) > 0,
            history=database.history,
            quota_conflict=explain_name_conflict(quota) if quota.taken else "",
        )
        return Observation(summary, quota, decision, reading.trigger, render, self._looks, regions)


def _render(scheduler: Scheduler, tick_image: str, desired: Desired, name: str) -> Manifest:
    return render_cronjob(
        desired.region,
        desired.schedule,
        scheduler,
        name=name,
        tick_image=tick_image,
        suspend=desired.suspend or scheduler.spec.suspend,
    )
