"""A made-up view of each kind. The facts are in `console_facts`, and each text comes from the product."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from typing import Any

from region_operator.console import region_views as rv
from region_operator.console import request_views as q
from region_operator.console import views as v
from region_operator.console.chain import explain, summarize
from region_operator.console.lists import count_regions, need_a_look
from region_operator.console.not_found import no_region
from region_operator.console.overview import (
    conditions_of,
    holds_of,
    judge_progress,
    ready_of,
    summarize_forecast,
    tick_counts,
)
from region_operator.console.problems import explain_problem
from region_operator.console.reasons import explain_reason
from region_operator.console.region_answers import logs_command
from region_operator.console.sight import Planned
from region_operator.database.migrate import newest_revision
from region_operator.plan import forecast_report
from region_tick.contract import VERSION, State
from tests.harness import console_facts, console_plan
from tests.harness.console_facts import MINUTE, NOW
from tests.harness.console_objects import seen
from tests.harness.console_regions import (
    IDF,
    coming,
    known_region,
    ledger,
    region,
    region_list,
    snapshot,
    tick_list,
    tick_rows,
)

HOSTILE = "<script>alert('x')</script>\u202e\u200b\"'`javascript:alert(1)"
"""What a row may have as its name, or a server as its error: markup, a change of direction, a link that runs."""

TICK = f"regions/{IDF}/ticks/2026-11-30T09:15:00Z"


def holds() -> tuple[v.Hold, ...]:
    return holds_of(console_plan.scheduler(troubles=True), snapshot())


def overview(*, troubles: bool = True) -> v.Overview:
    """Return the overview of a day with every trouble, or of a day without any."""
    scheduler, known = console_plan.scheduler(troubles=troubles), snapshot(troubles=troubles)
    attention, total = need_a_look(known.regions)
    progress = v.LedgerProgress(accounted_until=NOW - MINUTE, lag_seconds=60.0)
    planned = Planned(console_plan.report(empty=not troubles), NOW - MINUTE)
    return v.Overview(
        now=NOW,
        scheduler=v.Scheduler(
            namespace=scheduler.namespace, name=scheduler.name, table=known.source, suspended=scheduler.spec.suspend
        ),
        ready=ready_of(scheduler),
        conditions=conditions_of(scheduler),
        regions=count_regions(known.regions),
        ticks=tick_counts(_ended(troubles=troubles)),
        attention=attention,
        attention_total=total,
        forecast=summarize_forecast(scheduler, planned, NOW),
        ledger=judge_progress(progress, known, scheduler.namespace),
        holds=holds_of(scheduler, known),
        versions=v.Versions(console=VERSION, operator=VERSION, schema_revision=newest_revision()),
    )


def _ended(*, troubles: bool) -> tuple[v.ReasonCount, ...]:
    """Return how the ticks of a day ended: as a forecast of the same schedules says, and some that went wrong."""
    day = console_plan.forecast(troubles=troubles)
    odd = (
        (State.SKIPPED, "capacity", day.lost),
        (State.FAILED, "error", 27),
        (State.SKIPPED, "still running", 22),
        (State.MISSED, "image", 7),
        (State.FAILED, "timeout", 4),
    )
    wrong = odd if troubles else ()
    ended = ((State.SUCCEEDED, "ok", day.due - sum(ticks for *_, ticks in wrong)), *wrong)
    return tuple(v.ReasonCount(state=state, reason=reason, ticks=ticks) for state, reason, ticks in ended if ticks)


def tick(**changes: Any) -> rv.Tick:
    """Return the latest tick of IDF, which failed. `changes` are values of its view."""
    known, row = known_region(IDF), tick_rows()[0]
    assert known.version
    evidence = seen(known.version, row)
    more = {
        "now": NOW,
        "code": known.code,
        "region_id": known.region_id,
        "chain": explain(row, evidence),
        "summary": summarize(known.code, row),
        "remedy": explain_reason(row.reason).remedy,
        "logs": logs_command("region-tick", row, evidence),
        "failed_log": None,
    }
    values = {each.name: getattr(row, each.name) for each in fields(rv.TickRow)}
    return rv.Tick(**(values | more | changes))


def plan(*, empty: bool = False) -> rv.Plan:
    printed = console_plan.report(empty=empty).as_json()
    return rv.Plan(now=NOW, made_at=NOW - timedelta(seconds=4), plan=printed, holds=() if empty else holds())


def forecast(*, crowded: bool = True) -> v.Forecast:
    made = console_plan.forecast(troubles=crowded)
    text, numbers = forecast_report.summarize(made), forecast_report.as_json(made)
    return v.Forecast(now=NOW, made_at=NOW - MINUTE, text=text, forecast=numbers)


def error() -> q.Error:
    """Return what is answered about a region that there is not."""
    return explain_problem(no_region("FR-IDX", console_facts.SOURCE))


def all_views() -> dict[str, rv.View]:
    """Return a view of each kind, by the path of its page."""
    return {
        "": overview(),
        "regions": region_list(),
        "ledger": ledger(),
        f"regions/{IDF}": region(),
        f"regions/{IDF}/ticks": tick_list(),
        TICK: tick(),
        "next": coming(),
        "plan": plan(),
        "forecast": forecast(),
        "regions/FR-IDX": error(),
    }


def context_of(path: str, **query: str) -> q.RequestContext:
    return q.RequestContext(namespace="region-tick", path=path, root="../" * path.count("/"), query=query)
