"""console.overview: the overview says what the RegionScheduler's status says, in the same words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from region_operator.console.overview import (
    conditions_of,
    holds_of,
    judge_progress,
    ready_of,
    summarize_forecast,
    tick_counts,
)
from region_operator.console.sight import Planned
from region_operator.console.snapshot import Snapshot
from region_operator.console.views import LedgerProgress, ReasonCount
from region_operator.cronjobs.labels import region_key
from region_operator.plan.changes import Guarded
from region_operator.plan.demand import group_regions
from region_operator.plan.forecast import TickTime, make_forecast
from region_operator.plan.guard_memory import GuardState, Hold
from region_operator.plan.report import Report
from region_operator.regions.schedule import parse_schedule
from region_operator.scheduler import Spec
from region_tick.contract import State
from tests.harness.examples import scheduler
from tests.unit.test_console_lists import HOURLY, known

if TYPE_CHECKING:
    from region_operator.scheduler import Scheduler

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
READY = {
    "type": "Ready",
    "status": "False",
    "reason": "DeletionsHeld",
    "message": "held",
    "lastTransitionTime": "2026-11-30T12:00:00Z",
}


def with_status(*conditions: dict[str, Any], **status: Any) -> Scheduler:
    return scheduler(status={"observedGeneration": 3, "conditions": [*conditions], **status})


def test_the_conditions_as_they_are() -> None:
    [condition] = conditions_of(with_status(READY))
    assert (condition.type, condition.status, condition.since) == ("Ready", "False", NOW)
    assert conditions_of(scheduler()) == ()


def test_ready_is_unknown_before_a_reconcile_and_after_an_edit() -> None:
    assert ready_of(with_status(READY)).reason == "DeletionsHeld"
    assert ready_of(scheduler()).status == "Unknown"
    assert ready_of(with_status(READY, observedGeneration=2)).status == "Unknown"
    assert "held" in ready_of(with_status(READY, observedGeneration=2)).message


def test_a_hold_has_its_text_its_regions_and_the_command() -> None:
    keys = {region_key(f"id of {code}") for code in ("DE", "FR")} | {region_key("unknown")}
    hold = Hold(NOW, frozenset(keys), Guarded.DELETION, released=frozenset({region_key("id of FR")}))
    state = GuardState(holds={Guarded.DELETION: hold}).to_status()
    held = {"type": "DeletionsHeld", "status": "True", "reason": "TooMany", "message": "deletions held: DE"}
    [found] = holds_of(with_status(READY, held, **state), Snapshot(NOW, "s", [known("DE"), known("FR")]))
    assert (found.kind, found.count, found.approval, found.text) == ("deletion", 2, hold.approval, "deletions held: DE")
    assert found.regions == (region_key("unknown"), "DE") or found.regions == ("DE", region_key("unknown"))
    assert found.command.endswith(f"region-tick.dev/approve-deletions={hold.approval}")


def test_every_state_has_its_count() -> None:
    counts = (
        ReasonCount(state=State.FAILED, reason="error", ticks=2),
        ReasonCount(state=State.FAILED, reason="timeout", ticks=1),
    )
    found = tick_counts(counts)
    assert found.by_state[State.FAILED] == 3
    assert set(found.by_state) == set(State)
    assert (found.window, found.by_reason) == ("24h", counts)


def test_the_forecast_is_the_operators() -> None:
    lost = {"type": "Overcommitted", "status": "True", "reason": "TicksLost", "message": "12 will be lost"}
    assert summarize_forecast(with_status(READY, lost), None, NOW).text == "12 will be lost"
    assert summarize_forecast(with_status(READY), None, NOW).fits is True
    assert summarize_forecast(scheduler(), None, NOW).fits is None


def test_an_old_plan_tells_no_more_whether_the_ticks_fit() -> None:
    schedules = [parse_schedule("*/5 * * * *")] * 3
    forecast = make_forecast(group_regions(schedules, start_deadline=None), Spec(), tick_time=TickTime(1, 1), start=NOW)
    report = Report(lines=(), unchanged=3, quota=None, quarantined=(), notes=(), forecast=forecast)
    planned = Planned(report, NOW - timedelta(minutes=5))
    own = summarize_forecast(with_status(READY), None, NOW)
    assert summarize_forecast(with_status(READY), planned, NOW) != own
    assert summarize_forecast(with_status(READY), planned, NOW + timedelta(seconds=1)) == own


def snapshot_of(*, since: datetime) -> Snapshot:
    """Return one region that has ticked since a moment, as it is NOW."""
    return Snapshot(now=NOW, source="t", regions=(known("DE", version=replace(HOURLY, since=since)),))


def test_a_ledger_that_stands_still_is_said_with_what_to_do() -> None:
    """Where no operator runs, no tick is missed by the ledger, and all regions look well."""
    fresh, old = (LedgerProgress(accounted_until=NOW, lag_seconds=seconds) for seconds in (600.0, 601.0))
    ticking = snapshot_of(since=NOW - timedelta(seconds=601))
    assert judge_progress(fresh, ticking, "ns") == fresh
    assert judge_progress(LedgerProgress(accounted_until=None, lag_seconds=None), ticking, "ns").standstill is None
    assert judge_progress(old, snapshot_of(since=NOW - timedelta(seconds=600)), "ns") == old, "a new installation"
    assert judge_progress(old, Snapshot(now=NOW, source="t", regions=()), "ns") == old, "nothing ticks"
    text = judge_progress(old, ticking, "ns").standstill
    assert text is not None
    assert text.startswith("not every tick since 2026-11-30 12:00:00Z is accounted for")
    assert "kubectl get pods -n ns" in text
