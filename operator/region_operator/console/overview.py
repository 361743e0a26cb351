"""Reads what the overview shows from the RegionScheduler's status: in the words that the operator wrote there. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from region_operator.console import views
from region_operator.console.region_queries import HOURS
from region_operator.console.time_words import say_time
from region_operator.console.views import Condition, ForecastSummary, LedgerProgress, Ready, TickCounts
from region_operator.cronjobs.labels import region_key
from region_operator.plan.conditions import HELD, ConditionType
from region_operator.plan.forecast_report import summarize
from region_operator.plan.guard_memory import GuardState
from region_operator.plan.hold_report import approve_command
from region_tick.contract import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from region_operator.console.sight import Planned
    from region_operator.console.snapshot import Snapshot
    from region_operator.console.views import ReasonCount
    from region_operator.scheduler import Scheduler

NAMED_REGIONS = 200
"""How many codes of a hold are listed."""

STANDSTILL_SECONDS = 600
"""How far behind the ledger may be before that is said. A tick that starts late keeps the ledger back for minutes."""

RECENT_PLAN = timedelta(minutes=5)
"""How old a plan may be that still tells whether the ticks fit."""

_NOT_YET = "no operator has reconciled this RegionScheduler yet"
_ALL_START = "no tick of the next 24 h will be lost, by the operator's last forecast"


def conditions_of(scheduler: Scheduler) -> tuple[Condition, ...]:
    """Return the conditions as the status has them."""
    return tuple(
        Condition(
            type=item["type"],
            status=item["status"],
            reason=item.get("reason", ""),
            message=item.get("message", ""),
            since=datetime.fromisoformat(item["lastTransitionTime"]) if "lastTransitionTime" in item else None,
        )
        for item in scheduler.status.get("conditions", [])
    )


def ready_of(scheduler: Scheduler) -> Ready:
    """Return the condition Ready. A status of an older generation is unknown: the operator has not looked yet."""
    found = next((item for item in conditions_of(scheduler) if item.type == ConditionType.READY), None)
    if found is None:
        return Ready(status="Unknown", reason="NotReconciled", message=_NOT_YET)
    if scheduler.status.get("observedGeneration", scheduler.generation) < scheduler.generation:
        return Ready(
            status="Unknown", reason="NotReconciled", message=f"the spec was edited since; then: {found.message}"
        )
    return Ready(status=found.status, reason=found.reason, message=found.message)


def holds_of(scheduler: Scheduler, snapshot: Snapshot) -> tuple[views.Hold, ...]:
    """Return what the guards hold, with the conditions' texts."""
    holds = GuardState.from_status(scheduler.status).holds
    if not holds:  # the keys of all regions take long
        return ()
    texts = {item.type: item.message for item in conditions_of(scheduler)}
    codes = {region_key(region.region_id): region.code for region in snapshot.regions}
    return tuple(
        views.Hold(
            kind=kind,
            count=len(hold.held),
            approval=hold.approval,
            command=approve_command(scheduler, hold),
            text=texts.get(HELD[kind], ""),
            regions=tuple(sorted(codes.get(key, key) for key in hold.held)[:NAMED_REGIONS]),
        )
        for kind, hold in holds.items()
    )


def tick_counts(counts: Sequence[ReasonCount]) -> TickCounts:
    """Sum ticks up by state. States that are not final have no ticks here: only endings are counted."""
    by_state = Counter(dict.fromkeys(State, 0))
    for count in counts:
        by_state[count.state] += count.ticks
    return TickCounts(window=f"{HOURS}h", by_state=dict(by_state), by_reason=tuple(counts))


def judge_progress(progress: LedgerProgress, snapshot: Snapshot, namespace: str) -> LedgerProgress:
    """Say so if the ledger stands still: then nobody knows of ticks that fail or are missed, and all looks well.

    A new installation's ledger begins a while before its first schedule. Nothing is left to account for in that time.
    """
    until, lag = progress.accounted_until, progress.lag_seconds
    first = min((region.version.since for region in snapshot.regions if region.version), default=snapshot.now)
    if until is None or lag is None or min(lag, (snapshot.now - first).total_seconds()) <= STANDSTILL_SECONDS:
        return progress
    text = (
        f"not every tick since {say_time(until)} is accounted for: no operator runs, or the Job of such a tick hangs;"
        f" see whether one runs: kubectl get pods -n {namespace} -l app.kubernetes.io/component=operator"
    )
    return replace(progress, standstill=text)


def summarize_forecast(scheduler: Scheduler, planned: Planned | None, now: datetime) -> ForecastSummary:
    """Say whether the ticks fit: by the operator's own forecast, in the words of the latest one, if it is recent."""
    overcommitted = next(
        (
            item
            for item in conditions_of(scheduler)
            if item.type == ConditionType.OVERCOMMITTED and item.status == "True"
        ),
        None,
    )
    if overcommitted:
        return ForecastSummary(fits=False, text=overcommitted.message)
    if planned and now - planned.at <= RECENT_PLAN:
        return ForecastSummary(fits=planned.report.forecast.fits, text=summarize(planned.report.forecast))
    known = ready_of(scheduler).status != "Unknown"
    return ForecastSummary(fits=True if known else None, text=_ALL_START if known else _NOT_YET)
