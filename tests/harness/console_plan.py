"""A made-up RegionScheduler, and what the operator decides and writes into the status, by its own functions."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from region_operator.console.tick_times import parse
from region_operator.cronjobs.labels import cronjob_name
from region_operator.plan.changes import ChangeReason, Delete, Desired, Plan, Write
from region_operator.plan.deletion_guard import Decision
from region_operator.plan.demand import group_regions
from region_operator.plan.forecast import Forecast, TickTime, make_forecast
from region_operator.plan.forecast_report import explain_overcommitment
from region_operator.plan.guard_memory import GuardState
from region_operator.plan.plan import quarantine
from region_operator.plan.report import Report, make_report
from region_operator.plan.status import count_held, status_after_success, status_with_guard
from region_operator.plan.summary import ReconcileSummary
from region_operator.regions.cron_field import ScheduleError
from tests.harness import console_facts as facts
from tests.harness import examples
from tests.harness.console_facts import NOW

if TYPE_CHECKING:
    from region_operator.cronjobs.live import LiveCronJob
    from region_operator.regions.region import Quarantined, RegionRow
    from region_operator.scheduler import Scheduler

AT_ONCE = {True: (110, 100), False: (300, 300)}
"""spec.concurrency and spec.capacity.jobsPerSecond on a day with troubles, and on one without: too little, enough."""


def spec_only(*, troubles: bool) -> Scheduler:
    """Return the RegionScheduler before the operator wrote its status."""
    slots, rate = AT_ONCE[troubles]
    return examples.scheduler(
        concurrency=slots, capacity={"jobsPerSecond": rate}, deletionGuard={"maxPercent": 1}, maxRegions=20_000
    )


@cache
def forecast(*, troubles: bool) -> Forecast:
    spec = spec_only(troubles=troubles).spec
    schedules = [facts.schedule_of(number) for number in facts.numbers(troubles=troubles)]
    groups = group_regions(schedules, start_deadline=spec.tick.start_deadline)
    return make_forecast(groups, spec, tick_time=TickTime(2.1, 1.4), start=NOW.replace(second=0))


@cache
def scheduler(*, troubles: bool) -> Scheduler:
    """Return the RegionScheduler, with the status that the operator writes."""
    known = spec_only(troubles=troubles)
    rows, versions = facts.rows(troubles=troubles), facts.scheduled(troubles=troubles).versions
    summary = ReconcileSummary(
        active=len(rows),
        quarantined=_quarantined(rows),
        held=count_held(decision()) if troubles else {},
        changed=False,
        scheduled=sum(row.id in versions and not versions[row.id].suspended for row in rows),
        paused=len(facts.PAUSED_SINCE) * troubles,
        overcommitment=explain_overcommitment(forecast(troubles=troubles)),
    )
    for now in (facts.INSTALLED, NOW):
        if troubles:
            guarded = status_with_guard(known, decision(), now=facts.HELD_SINCE)
            known = known.model_copy(update={"status": guarded})
        known = known.model_copy(update={"status": status_after_success(known, summary, now=now)})
    return known


def _quarantined(rows: tuple[RegionRow, ...]) -> tuple[Quarantined, ...]:
    found = []
    for row in rows:
        try:
            parse(row.cron_schedule, code=row.code)
        except ScheduleError as error:
            found.append(quarantine(row, error))
    return tuple(found)


def _live(code: str, *, schedule: str = "") -> LiveCronJob:
    number = list(facts.NAMES).index(code)
    row, cron = facts.row_of(number, good=True), schedule or facts.schedule_of(number).source
    return examples.live_cronjob(cronjob_name(row), region_id=row.id, code=code, schedule=cron)


def _write(reason: ChangeReason, code: str, live: LiveCronJob | None = None, changed_by: tuple[str, ...] = ()) -> Write:
    row = facts.row_of(list(facts.NAMES).index(code))
    desired = Desired(row, parse(row.cron_schedule, code=code))
    return Write(reason, desired, cronjob_name(row), live, changed_by=changed_by)


@cache
def decision(*, empty: bool = False) -> Decision:
    """Return what the next reconcile may do, and what the guard holds."""
    writes = (
        _write(ChangeReason.RESCHEDULED, "US-NY", _live("US-NY", schedule="0 4 * * 1-5")),
        _write(ChangeReason.RESTORED, "DE-BE", _live("DE-BE"), ("kubectl-edit",)),
    )
    if empty:
        return Decision(Plan(unchanged=facts.REGIONS), held=(), allowance=100, state=GuardState())
    held = tuple(Delete(_live(code)) for code in facts.HELD)
    plan = Plan(writes=writes, unchanged=facts.REGIONS - len(writes))
    return Decision(plan, held, allowance=100, state=facts.guard_state())


@cache
def report(*, empty: bool = False) -> Report:
    """Return what `region-operator plan` prints."""
    known = scheduler(troubles=not empty)
    quarantined = _quarantined(facts.rows(troubles=not empty))
    return make_report(decision(empty=empty), quarantined, known, forecast(troubles=not empty))
