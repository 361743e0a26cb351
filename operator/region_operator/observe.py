"""The reading half of a reconcile: read the table, list the CronJobs, parse rows and schedules, plan, guard.

The command `plan` stops after this half, and a reconcile continues. So the command shows exactly what a reconcile does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from region_operator.cronjobs.render import render_cronjob
from region_operator.kube.apply import list_current
from region_operator.kube.quota import Quota, explain_name_conflict, read_quota
from region_operator.plan.deletion_guard import Decision, GuardState, guard_deletions
from region_operator.plan.plan import make_plan, parse_schedules, ticking_ids_by_code
from region_operator.plan.status import ReconcileSummary
from region_operator.regions.region import parse_rows
from region_operator.regions.source import Table, read_regions
from region_operator.scheduler import InvalidSchedule, Scheduler

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from region_operator.cronjobs.manifest_parts import Manifest
    from region_operator.database.region_table import Trigger
    from region_operator.database.store import Database
    from region_operator.kube.api import Api
    from region_operator.plan.changes import Desired, LiveCronJob
    from region_operator.regions.region import Quarantined, RegionRow


@dataclass(frozen=True, slots=True)
class Observation:
    """What a reconcile found, and what the guard decided.

    `cronjobs` holds all CronJobs of the namespace, `ours` only our own. `rows` are the active rows.
    """

    cronjobs: tuple[LiveCronJob, ...]
    ours: tuple[LiveCronJob, ...]
    summary: ReconcileSummary
    quota: Quota
    decision: Decision
    trigger: Trigger
    rows: Sequence[RegionRow | Quarantined]


async def observe(api: Api, database: Database, scheduler: Scheduler, *, tick_image: str, now: datetime) -> Observation:
    """Read the table and the cluster, and decide what to change.

    Raises the errors of `regions.source`, SQLAlchemy's errors, and the errors in `api.ERRORS`. Nothing is changed here.
    """
    spec = scheduler.spec
    table = Table.parse(spec.source.table, default_schema=database.schema)
    reading = await read_regions(database.engine, spec.source, default_schema=database.schema)
    current, others = await list_current(api, scheduler.namespace)
    regions = parse_rows(reading.rows, source=str(table), ticking_ids=ticking_ids_by_code(current))
    desired, quarantined = parse_schedules(regions)
    quota = await read_quota(api, scheduler)
    plan = make_plan(
        desired,
        quarantined,
        current,
        render=partial(_render, scheduler, tick_image),
        keep_last=spec.invalid_schedule is InvalidSchedule.KEEP_LAST,
        foreign_names={live.name for live in others},
    )
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
        quota_conflict=explain_name_conflict(quota) if quota.taken else "",
    )
    return Observation((*current, *others), tuple(current), summary, quota, decision, reading.trigger, regions)


def _render(scheduler: Scheduler, tick_image: str, desired: Desired, name: str) -> Manifest:
    return render_cronjob(
        desired.region,
        desired.schedule,
        scheduler,
        name=name,
        tick_image=tick_image,
        suspend=desired.suspend or scheduler.spec.suspend,
    )
