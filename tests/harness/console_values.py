"""Made-up values of all the console's views. Regions and their ticks are in `console_regions`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from region_operator.console import region_views as rv
from region_operator.console import request_views as q
from region_operator.console import views as v
from region_operator.plan.demand import group_regions
from region_operator.plan.forecast import TickTime, make_forecast
from region_operator.plan.forecast_report import as_json, summarize
from region_operator.regions.schedule import parse_schedule
from region_operator.scheduler import Spec
from region_tick.contract import State
from tests.harness.console_regions import (
    MINUTE,
    NOW,
    REMEDY,
    SCHEDULES,
    code_of,
    ledger,
    region,
    region_list,
    tick_list,
    tick_values,
)

if TYPE_CHECKING:
    from region_operator.plan.forecast import Forecast

HOSTILE = "<script>alert('x')</script>\u202e\u200b\"'`javascript:alert(1)"
"""What a row may have as its name, or a server as its error: markup, a change of direction, a link that runs."""

_BAD_SCHEDULE = 'cron_schedule "0 3 * * 7" is invalid: day of week "7": Kubernetes counts Sunday as 0; write "0"'
_HELD = (
    "deletions held: BR-RJ, BR-SP, CA-ON and 211 more; within 600s, or within a day, more regions would stop than"
    " spec.deletionGuard lets, or all of them; to stop all and keep them, set spec.suspend"
)
_IMAGE = "See that the image exists and may be pulled: spec.tick.image, spec.tick.imagePullSecrets, the registry."
_APPROVE = "kubectl -n region-tick annotate regionscheduler default region-tick.dev/approve-deletions=3f9a1c20"


def hold() -> v.Hold:
    codes = tuple(code_of(number) for number in range(200))
    return v.Hold(kind="deletion", count=214, approval="3f9a1c20", command=_APPROVE, text=_HELD, regions=codes)


def _attention() -> tuple[v.Attention, ...]:
    failed = "the tick of 2026-11-30T09:15:00Z failed: error: HTTP 503 from https://feeds.example.com/idf.xml"
    missed = "the tick of 2026-11-30T09:00:00Z was missed: image: The tick image could not be pulled"
    late = "late by 3.4 of its intervals; the tick of 2026-11-30T09:15:00Z was skipped: capacity"
    rows = (
        ("IS-1", v.Trouble.QUARANTINED, f"{_BAD_SCHEDULE}; it does not tick", None, "mend the row, as the text says"),
        ("BR-RJ", v.Trouble.HELD, "a deletion is held: it ticks on as it last was", 120, "if it is meant, approve it"),
        ("FR-IDF", v.Trouble.FAILING, f"{failed}; its last success was 2026-11-30T05:45:00Z", 212, REMEDY),
        ("KE-30", v.Trouble.MISSED, f"{missed}; its last success was 2026-11-29T21:00:00Z", 737, _IMAGE),
        ("US-CA", v.Trouble.LATE, late, 62, "`kubectl region forecast` says what would be enough."),
        ("PL-MZ", v.Trouble.PAUSED, "paused by ana@example.com, for 9 days", 12_960, "resume it, if it was forgotten"),
    )
    return tuple(
        v.Attention(
            code=code,
            region_id=f"id-{code}",
            kind=kind,
            text=text,
            since=None if minutes is None else NOW - minutes * MINUTE,
            remedy=remedy,
        )
        for code, kind, text, minutes, remedy in rows
    )


def overview(*, troubles: bool = True) -> v.Overview:
    """Return the overview of a day with every trouble, or of a day without any."""
    odd = int(troubles)
    message = "10,000 regions have their CronJobs" + "; 1 is quarantined" * odd
    ready = v.Ready(status="True", reason="RegionsQuarantined" if troubles else "InSync", message=message)
    ended = (
        (State.SUCCEEDED, "ok", 412_807),
        (State.FAILED, "error", 27 * odd),
        (State.FAILED, "timeout", 4 * odd),
        (State.SKIPPED, "capacity", 96 * odd),
        (State.SKIPPED, "still running", 22 * odd),
        (State.MISSED, "image", 7 * odd),
    )
    since = NOW - 180 * MINUTE
    conditions = [v.Condition(type="Ready", status="True", reason=ready.reason, message=message, since=since)]
    if troubles:
        conditions.append(
            v.Condition(type="DeletionsHeld", status="True", reason="GuardHolds", message=_HELD, since=since)
        )
    return v.Overview(
        now=NOW,
        scheduler=v.Scheduler(namespace="region-tick", name="default", table="public.region_index", suspended=False),
        ready=ready,
        conditions=tuple(conditions),
        regions=v.RegionCounts(
            active=10_000,
            ticking=10_000 - 217 * odd,
            paused=2 * odd,
            suspended=0,
            quarantined=odd,
            held=214 * odd,
            pending=0,
            failing=12 * odd,
            missed=odd,
            late=4 * odd,
        ),
        ticks=v.TickCounts(
            window="24h",
            by_state={state: sum(ticks for each, _, ticks in ended if each is state) for state in State},
            by_reason=tuple(
                v.ReasonCount(state=state, reason=why, ticks=ticks) for state, why, ticks in ended if ticks
            ),
        ),
        attention=_attention() if troubles else (),
        attention_total=232 * odd,
        forecast=v.ForecastSummary(fits=not troubles, text=summarize(_forecast(crowded=troubles))),
        ledger=v.LedgerProgress(accounted_until=NOW - MINUTE, lag_seconds=60.0),
        holds=(hold(),) if troubles else (),
        versions=v.Versions(console="0.1.0", operator="0.1.0", schema_revision="0014"),
    )


def tick(**changes: Any) -> rv.Tick:
    """Return a tick whose image was gone. `changes` are values of its view."""
    values = tick_values()
    at, job = values["tick_at"], "fr-idf-7f69c20dbcbe-29925017"
    pulled = 'Failed: Failed to pull image "registry.example.com/region-tick/tick:0.1.1": not found'
    steps = (
        (-259_200, v.Source.SCHEDULE, "expected by */15 * * * *, in force since 2026-11-27T08:00:12Z", True),
        (1, v.Source.CRONJOB, "the CronJob fr-idf-7f69c20dbcbe was not suspended", True),
        (1, v.Source.JOB, f"the Job {job} was created", True),
        (2, v.Source.POD, f"the pod {job}-z6f9j was scheduled to node-3", True),
        (14, v.Source.EVENT, pulled, False),
        (None, v.Source.CLAIM, "no attempt claimed the tick", False),
        (316, v.Source.LEDGER, "recorded as missed: image", False),
    )
    more = {
        "now": NOW,
        "code": "FR-IDF",
        "region_id": "id-2",
        "chain": tuple(
            rv.Step(at=None if after is None else at + timedelta(seconds=after), source=source, text=text, ok=ok)
            for after, source, text, ok in steps
        ),
        "summary": "The Job made a pod, and the pod never started: its image could not be pulled.",
        "remedy": _IMAGE,
        "logs": f"kubectl logs -n region-tick --prefix --tail=-1 -l batch.kubernetes.io/job-name={job}",
        "failed_log": None,
    }
    return rv.Tick(**(values | more | changes))


def next_ticks() -> rv.NextTicks:
    first = NOW.replace(minute=18, second=0)
    items = (
        rv.NextTick(code=code_of(number), region_id=f"id-{number}", at=first + number * MINUTE) for number in range(20)
    )
    return rv.NextTicks(now=NOW, items=tuple(items))


def plan(*, empty: bool = False) -> rv.Plan:
    lines = (
        ("create", "NO-03", "*/15 * * * *", "an active row without a CronJob"),
        ("reschedule", "US-NY", "*/5 * * * *", "was */15 * * * *"),
        ("restore", "DE-BE", "* * * * *", "changed by kubectl-edit"),
        ("hold", "BR-RJ", "*/2 * * * *", "no active row, but too many or all would go"),
    )
    keys = ("action", "code", "schedule", "reason")
    changes = [dict(zip(keys, line, strict=True)) | {"regionId": "id", "cronjob": "name"} for line in lines]
    printed = {
        "changes": [] if empty else changes,
        "unchanged": 9_783,
        "quota": None,
        "quarantined": [] if empty else [{"regionId": "id-9", "code": "IS-1", "reason": _BAD_SCHEDULE}],
        "notes": [],
        "forecast": {"fits": True, "due": 1, "late": 0, "lost": 0},
    }
    return rv.Plan(now=NOW, made_at=NOW - timedelta(seconds=4), plan=printed, holds=() if empty else (hold(),))


def _forecast(*, crowded: bool) -> Forecast:
    schedules = [parse_schedule(SCHEDULES[number % len(SCHEDULES)], code=f"R-{number}") for number in range(10_000)]
    crowd = [parse_schedule("*/5 6 * * *")] * (9_000 if crowded else 0)
    spec = Spec.model_validate({"concurrency": 300, "capacity": {"jobsPerSecond": 300.0}})
    groups = group_regions([*schedules, *crowd], start_deadline=None)
    return make_forecast(groups, spec, tick_time=TickTime(2.1, 1.4), start=NOW.replace(second=0))


def forecast(*, crowded: bool = True) -> rv.Forecast:
    made = _forecast(crowded=crowded)
    return rv.Forecast(now=NOW, made_at=NOW - MINUTE, text=summarize(made), forecast=as_json(made))


def error() -> q.Error:
    return q.Error(
        reason=q.ErrorReason.NOT_FOUND,
        message='there is no region "FR-IDX"',
        remedy="look for its code in the list of regions",
    )


def all_views() -> dict[str, rv.View]:
    """Return a view of each kind, by the path of its page."""
    return {
        "": overview(),
        "regions": region_list(),
        "ledger": ledger(),
        "regions/FR-IDF": region(),
        "regions/FR-IDF/ticks": tick_list(),
        "regions/FR-IDF/ticks/2026-11-30T09:15:00Z": tick(),
        "next": next_ticks(),
        "plan": plan(),
        "forecast": forecast(),
        "regions/FR-IDX": error(),
    }


def context_of(path: str, **query: str) -> q.RequestContext:
    return q.RequestContext(namespace="region-tick", path=path, root="../" * path.count("/"), query=query)
