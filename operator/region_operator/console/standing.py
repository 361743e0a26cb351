"""Judges how a region stands: what the operator does with it, what is wrong, since when, and what to do. Pure.

These texts stand here alone: pages, JSON and plugin show them. What is wrong with a row is said in the words of `plan`
and of the conditions, because these words come from the same parser and the same guards.

| what is known                                   | state       | needs a look       |
|-------------------------------------------------|-------------|--------------------|
| the row cannot be scheduled                     | quarantined | quarantined        |
| a guard holds a change of the region            | held        | held               |
| no CronJob yet                                  | pending     | pending, after long|
| no row any more                                 | inactive    |                    |
| spec.suspend, spec.suspendUntil                 | suspended   |                    |
| suspended by a person                           | paused      | paused, after long |
| else                                            | ticking     | see below          |

A region that ticks needs a look if its last tick failed or was missed, and no success came since; and if its last
success is older than two of its ticks, whatever became of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from region_operator.console.reasons import explain_reason
from region_operator.console.tick_times import next_of, parse, two_ticks_after
from region_operator.console.views import RegionState, Trouble
from region_operator.cronjobs.labels import SuspendedBy
from region_operator.scheduler import format_time
from region_tick.contract import State

if TYPE_CHECKING:
    from region_operator.plan.changes import Guarded

LONG_PAUSE = timedelta(days=1)
"""After so long a pause may be forgotten."""

JUST_NOW = timedelta(minutes=1)
"""How long after its minute a tick may still be under way without a question."""

_MENDED = "its row is mended, and its CronJob is not yet: the operator resumes it at its next reconcile"
_UNTOLD = "the RegionScheduler suspends all regions, or did: the operator resumes it at its next reconcile"
_RESUME_ALL = "to end it: kubectl region resume --all"
_UNKNOWN_HAND = "suspended, and nobody knows by whom"

_NOBODY_LOOKS = "see whether an operator runs, and what it would do: kubectl region doctor, kubectl region diff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """The schedule that a region's CronJob has: a current row of region_schedule."""

    cron: str
    cronjob: str
    since: datetime
    start_deadline: timedelta
    suspended: bool
    suspended_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The latest tick of a region that is due."""

    tick_at: datetime
    state: State
    reason: str | None
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a region. `quarantine` says why its row cannot be scheduled; "" if it can.

    `has_row` says whether the table has an active row. `held` is what a guard holds, and `approve` the command that
    approves it. `timeout` is how long an attempt may take. `last` is known only where the last success is not enough.
    `suspension` says what suspends all regions, in the operator's words; "" if nothing does. `pending_since` is since
    when at least an active region has had no CronJob; None if it has one. `look_every` is how often the operator looks
    at everything, `not_ready` why it is not Ready; "" if it is.
    """

    has_row: bool
    quarantine: str
    version: Version | None
    held: Guarded | None
    held_since: datetime | None
    approve: str
    last_success: datetime | None
    last: Ending | None
    timeout: timedelta
    suspension: str
    pending_since: datetime | None
    look_every: timedelta
    not_ready: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is wrong: why, since when, and what to do."""

    kind: Trouble
    text: str
    since: datetime | None
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a region stands. `findings` are the worst first. `why` explains the state where nothing is wrong.

    `remedy` is that of the worst finding; without one, what ends a suspension of all regions.
    """

    state: RegionState
    findings: tuple[Finding, ...]
    late_by_intervals: float | None
    why: str | None
    remedy: str | None


def may_be_troubled(version: Version | None, last_success: datetime | None, now: datetime) -> bool:
    """Whether a tick was due since the last success, so that the latest tick must be asked for."""
    if version is None or version.suspended:
        return False
    first, _ = two_ticks_after(version.cron, max(last_success or version.since, version.since))
    return now > first + JUST_NOW


def judge(facts: Facts, now: datetime) -> Standing:
    """Judge a region at a moment."""
    state, why = _state(facts)
    late = _lateness(facts, now) if state in (RegionState.TICKING, RegionState.HELD) else None
    findings = [*_of_state(facts, state, now)]
    if late is not None:
        findings += _of_ticks(facts, late)
    found = tuple(sorted(findings, key=lambda finding: list(Trouble).index(finding.kind)))
    ends = _RESUME_ALL if state is RegionState.SUSPENDED and facts.suspension else None
    remedy = found[0].remedy if found else ends
    return Standing(state=state, findings=found, late_by_intervals=late, why=why, remedy=remedy)


def _state(facts: Facts) -> tuple[RegionState, str | None]:
    version = facts.version
    if facts.quarantine:
        return RegionState.QUARANTINED, None
    if facts.held:
        return RegionState.HELD, None
    if version is None:
        waits = (
            "its CronJob is not there yet: the operator makes it at its next reconcile, unless a condition says why not"
        )
        return (RegionState.PENDING, waits) if facts.has_row else (RegionState.INACTIVE, "its row does not let it tick")
    if not facts.has_row:
        return RegionState.INACTIVE, "it has no active row: the operator deletes its CronJob at its next reconcile"
    if not version.suspended:
        return RegionState.TICKING, None
    match version.suspended_by:
        case SuspendedBy.SPEC:
            return RegionState.SUSPENDED, facts.suspension or _UNTOLD
        case "quarantined":
            return RegionState.SUSPENDED, _MENDED
        case hand:
            return RegionState.PAUSED, hand or _UNKNOWN_HAND


def _of_state(facts: Facts, state: RegionState, now: datetime) -> list[Finding]:
    """Return what is wrong with a region whatever its ticks do."""
    version = facts.version
    match state:
        case RegionState.QUARANTINED:
            goes_on = version is not None and not version.suspended
            meanwhile = "; it ticks on as it last was" if goes_on else "; it does not tick"
            remedy = "mend the row, as the text says: the operator follows within a second"
            return [_finding(Trouble.QUARANTINED, facts.quarantine + meanwhile, None, remedy)]
        case RegionState.HELD:
            running = "it stays suspended" if version and version.suspended else "it ticks on as it last was"
            text = f"a {facts.held} is held: {running if version else 'it does not tick yet'}"
            return [_finding(Trouble.HELD, text, facts.held_since, f"if it is meant, approve it: {facts.approve}")]
        case RegionState.PENDING if (since := facts.pending_since) and now - since > facts.look_every + JUST_NOW:
            text = f"active, and without a CronJob for {_roughly(now - since)} at least: it does not tick"
            return [_finding(Trouble.PENDING, text, since, facts.not_ready or _NOBODY_LOOKS)]
        case RegionState.PAUSED if version and now - version.since > LONG_PAUSE:
            text = f"{version.suspended_by or _UNKNOWN_HAND}, for {_roughly(now - version.since)}"
            remedy = "resume it, if it was forgotten: take the annotation region-tick.dev/paused off its CronJob"
            return [_finding(Trouble.PAUSED, text, version.since, remedy)]
    return []


def _of_ticks(facts: Facts, late: float) -> list[Finding]:
    """Return what is wrong with the ticks of a region that should tick."""
    findings: list[Finding] = []
    last, success = facts.last, facts.last_success
    if last and (success is None or last.tick_at > success) and last.state in (State.FAILED, State.MISSED):
        kind = Trouble.FAILING if last.state is State.FAILED else Trouble.MISSED
        explanation = explain_reason(last.reason)
        verb = "failed" if last.state is State.FAILED else "was missed"
        cause = f"{last.reason}: {last.error}" if last.error else f"{last.reason}: {explanation.meaning.rstrip('.')}"
        text = f"the tick of {format_time(last.tick_at)} {verb}: {cause}; {_since_success(success)}"
        findings.append(_finding(kind, text, success, explanation.remedy or "look at the tick"))
    if late >= 1:
        text = f"late by {late:.1f} of its intervals: {_since_success(success)}"
        if last and last.state is State.SKIPPED:
            text += f"; the tick of {format_time(last.tick_at)} was skipped: {last.reason}"
        remedy = explain_reason(last.reason).remedy if last and last.reason else None
        findings.append(_finding(Trouble.LATE, text, success, remedy or "look at its latest ticks: they say why"))
    return findings


def _since_success(success: datetime | None) -> str:
    return f"its last success was {format_time(success)}" if success else "no tick has succeeded yet"


def _lateness(facts: Facts, now: datetime) -> float | None:
    """Return by how many of its intervals the last success is overdue; 0 while the next one may still come.

    A region is one interval late when the tick after the next one is due as well, and a tick had its time to run.
    """
    version = facts.version
    if version is None or version.suspended:
        return None
    first, second = two_ticks_after(version.cron, max(facts.last_success or version.since, version.since))
    interval = second - first
    if now <= second + min(version.start_deadline + facts.timeout, interval):
        return 0.0
    return 1 + (now - second) / interval


def next_tick(version: Version | None, now: datetime) -> datetime | None:
    """Return when a region ticks next; None if it does not."""
    if version is None or version.suspended:
        return None
    return next_of(parse(version.cron), now)


def _finding(kind: Trouble, text: str, since: datetime | None, remedy: str) -> Finding:
    return Finding(kind=kind, text=text, since=since, remedy=remedy)


def _roughly(time: timedelta) -> str:
    """Write a long time in whole days, hours or minutes."""
    minutes = time // timedelta(minutes=1)
    if minutes < 120:
        return f"{minutes} minutes"
    return f"{minutes // 1440} days" if minutes >= 2880 else f"{minutes // 60} hours"
