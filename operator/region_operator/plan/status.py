"""Computes a RegionScheduler's status from the result of a reconcile. Pure; `status_writer` writes only differences.

Conditions follow kstatus: `Ready` is always present; all others are present only while true
(docs/decisions/0016-reconciling-means-unfinished.md). The status has no detail per region, because the detail would
grow with the table. The one exception are the region keys that the deletion guard must remember. Ready's message names
the first few quarantined regions; the log and the Events name all quarantined regions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from region_operator.plan.conditions import HELD, NOT_FOLLOWED, STALLED, ConditionType, ReadyReason
from region_operator.plan.guard_memory import STATUS_FIELDS
from region_operator.plan.hold_report import explain_hold
from region_operator.scheduler import format_time

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from region_operator.cronjobs.live import LiveCronJob
    from region_operator.plan.changes import Guarded
    from region_operator.plan.deletion_guard import Decision
    from region_operator.plan.summary import ReconcileSummary
    from region_operator.plan.suspension import Suspension
    from region_operator.regions.region import Quarantined, RegionRow
    from region_operator.scheduler import Scheduler

MESSAGE_LIMIT = 1024
"""How many characters the message of a condition or an Event may have (core/validation/events.go, NoteLengthLimit)."""
HISTORY_FIELD = "databaseHistory"
"""The field of the status that remembers the history of the database, where a restore of the database leaves it."""
Status = dict[str, Any]


def count_held(decision: Decision) -> dict[Guarded, int]:
    """Count the regions that the guards hold, by kind, in the order of HELD."""
    counts = {kind: len({change.key for change in decision.held_of(kind)}) for kind in HELD}
    return {kind: count for kind, count in counts.items() if count}


def count_scheduled(rows: Iterable[RegionRow | Quarantined], cronjobs: Iterable[LiveCronJob]) -> int:
    """Count the active rows that have a CronJob of ours that is not suspended. `cronjobs` are those that stand."""
    ids = {row.id for row in rows}
    ticking = {live.region_id for live in cronjobs if live.ours and not (live.suspended or live.terminating)}
    return len(ids & ticking)


def status_with_guard(scheduler: Scheduler, decision: Decision, *, now: datetime) -> Status:
    """Return the status with the guards' new state and the conditions HELD.

    This status must be written before any CronJob is deleted. A deletion with an unknown outcome is then counted too.
    """
    status = {key: value for key, value in scheduler.status.items() if key not in STATUS_FIELDS}
    conditions = [item for item in status.get("conditions", []) if item["type"] not in HELD.values()]
    for kind, held_condition in HELD.items():
        if hold := decision.state.holds.get(kind):
            message = explain_hold(hold, decision.held_of(kind), scheduler, unknown=decision.is_past_unknown)
            conditions += _present(scheduler, held_condition, "TooMany", message, now)
    if conditions != status.get("conditions", []):
        status["conditions"] = conditions
    return status | decision.state.to_status()


def status_after_success(scheduler: Scheduler, summary: ReconcileSummary, *, now: datetime) -> Status:
    """Return the status after a reconcile that was completed. `now` is in UTC."""
    reason, suspended = ReadyReason.IN_SYNC, ""
    message = f"{summary.scheduled} of {summary.active} active regions are scheduled"
    if summary.quota_conflict:
        reason = ReadyReason.QUOTA_TAKEN
        message += f"; {summary.quota_conflict}"
    if summary.altered:
        reason = ReadyReason.ALTERED
        message += f"; {summary.altered}"
    if summary.quarantined:
        reason = ReadyReason.QUARANTINED
        message += f"; quarantined: {summary.first_reasons}"
    if summary.paused:
        message += f"; {summary.paused} paused by annotation"
    if summary.pause_problem:
        message += f"; {summary.pause_problem}"
    if summary.suspension:
        reason = ReadyReason.SUSPENDED
        message = suspended = f"all {summary.active} active regions are suspended {summary.suspension}"
    for kind, count in summary.held.items():
        reason = ReadyReason(HELD[kind].value)
        message += f"; {count} {kind}s are held"
    if summary.waiting:
        reason = ReadyReason.WAITING
        message += f"; {summary.waiting} rows with new ids wait for their codes"
    if summary.excess:
        reason = ReadyReason.TOO_MANY_REGIONS
        message += f"; {summary.excess}"
    if summary.offer:
        message += f"; {summary.offer}"
    if summary.taken:
        reason = ReadyReason.SOURCE_TAKEN
        message = f"{summary.taken}; {message}"
    if summary.refusal:
        reason = ReadyReason.INVALID_SPEC
        message = f"{summary.refusal}; with the last good spec.tick {message}"
    message = "; ".join(filter(None, (message, summary.schema_conflict, summary.unfinished, _beside(summary))))
    status = scheduler.status | {
        "observedGeneration": scheduler.generation,
        "regions": {
            "active": summary.active,
            "scheduled": summary.scheduled,
            "quarantined": len(summary.quarantined),
            "held": sum(summary.held.values()),
            "paused": summary.paused,
        },
        "conditions": _conditions(scheduler, ready=reason not in NOT_FOLLOWED, reason=reason, message=message, now=now)
        + _present(scheduler, ConditionType.RECONCILING, "Unfinished", summary.unfinished, now)
        + _suspended(scheduler, summary.suspension, suspended)
        + _present(scheduler, ConditionType.OVERCOMMITTED, "TicksLost", summary.overcommitment, now)
        + _present(scheduler, ConditionType.DEAF, "NoNotifications", summary.deafness, now)
        + _present(scheduler, ConditionType.CLOCK_SKEW, "ClocksDiffer", summary.clock_skew, now)
        + _kept(scheduler, *HELD.values()),
    }
    known = {HISTORY_FIELD: summary.history} if summary.history else {}
    return status | known | ({"lastChangeTime": format_time(now)} if summary.changed else {})


def status_while_applying(scheduler: Scheduler, *, done: int, total: int, now: datetime) -> Status:
    """Return the status while a long plan is carried out: the status as it was, with Reconciling. `now` is in UTC."""
    conditions = scheduler.status.get("conditions", [])
    others = [condition for condition in conditions if condition["type"] != ConditionType.RECONCILING]
    message = f"{done} of {total} changes are made"
    return scheduler.status | {
        "conditions": [*others, *_present(scheduler, ConditionType.RECONCILING, "Unfinished", message, now)]
    }


def explain_unfinished(*, stale: int, pending: int) -> str:
    """Say which changes the next reconcile must do at once. Return "" if no change is left.

    `stale` counts changes to objects that somebody else changed first; `pending` is the Plan's `pending`.
    """
    texts = [f"{stale} had changed meanwhile"] * bool(stale)
    texts += [f"{pending} wait until another of the same name is gone"] * bool(pending)
    return "; ".join(texts)


def status_after_failure(scheduler: Scheduler, reason: ReadyReason, message: str, *, now: datetime) -> Status:
    """Return the status after a reconcile that failed. The counts stay as they were, because the cluster does too."""
    return scheduler.status | {
        "observedGeneration": scheduler.generation,
        "conditions": _conditions(scheduler, ready=False, reason=reason, message=message, now=now)
        + _kept(scheduler, ConditionType.SUSPENDED)
        + _kept(scheduler, ConditionType.OVERCOMMITTED)
        + _kept(scheduler, ConditionType.DEAF)
        + _kept(scheduler, ConditionType.CLOCK_SKEW)
        + _kept(scheduler, *HELD.values()),
    }


def _conditions(
    scheduler: Scheduler, *, ready: bool, reason: ReadyReason, message: str, now: datetime
) -> list[dict[str, Any]]:
    """Return Ready, and Stalled if true."""
    states = {ConditionType.READY: ready} | ({ConditionType.STALLED: True} if reason in STALLED else {})
    return [
        _condition(scheduler, kind, state, reason=reason.value, message=message, now=now)
        for kind, state in states.items()
    ]


def _beside(summary: ReconcileSummary) -> str:
    """Name the conditions of which Ready's message says nothing: one line must not say that all is well."""
    texts = {
        ConditionType.OVERCOMMITTED: summary.overcommitment,
        ConditionType.DEAF: summary.deafness,
        ConditionType.CLOCK_SKEW: summary.clock_skew,
    }
    named = [kind.value for kind, text in texts.items() if text]
    return f"see the condition{'s' * (len(named) > 1)} {', '.join(named)}" if named else ""


def _suspended(scheduler: Scheduler, suspension: Suspension | None, message: str) -> list[dict[str, Any]]:
    """Return Suspended, if true: since when all regions are suspended, not since when that was seen."""
    if suspension is None:
        return []
    reason = "SuspendUntil" if suspension.until else "Suspend"
    return _present(scheduler, ConditionType.SUSPENDED, reason, message, suspension.since)


def _kept(scheduler: Scheduler, *kinds: ConditionType) -> list[dict[str, Any]]:
    """Return conditions as the status has them. Only `status_with_guard` changes those of HELD, and puts them last."""
    return [condition for condition in scheduler.status.get("conditions", []) if condition["type"] in kinds]


def _present(
    scheduler: Scheduler, kind: ConditionType, reason: str, message: str, now: datetime
) -> list[dict[str, Any]]:
    """Return a condition that is present only while true. "" for `message` means that the condition is not true."""
    return [_condition(scheduler, kind, True, reason=reason, message=message, now=now)] if message else []


def _condition(
    scheduler: Scheduler, kind: ConditionType, state: bool, *, reason: str, message: str, now: datetime
) -> dict[str, Any]:
    return {
        "type": kind.value,
        "status": str(state),
        "observedGeneration": scheduler.generation,
        "reason": reason,
        "message": message[:MESSAGE_LIMIT],
        "lastTransitionTime": _since(scheduler.status, kind, str(state)) or format_time(now),
    }


def _since(status: Status, kind: ConditionType, state: str) -> str | None:
    """Return since when a condition has been in a state. None: the condition is absent, or in another state."""
    conditions = status.get("conditions", [])
    times = (found["lastTransitionTime"] for found in conditions if (found["type"], found["status"]) == (kind, state))
    return next(times, None)
