"""Computes a RegionScheduler's status from the result of a reconcile. Pure; `status_writer` writes only differences.

Conditions follow kstatus: `Ready` is always present; all others are present only while true
(docs/decisions/0016-reconciling-means-unfinished.md). The status has no detail per region, because the detail would
grow with the table. The one exception are the region keys that the deletion guard must remember. Ready's message names
the first few quarantined regions; the log and the Events name all quarantined regions.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from region_operator.plan.deletion_guard import STATUS_FIELDS, explain_hold
from region_operator.scheduler import format_time

if TYPE_CHECKING:
    from datetime import datetime

    from region_operator.plan.deletion_guard import Decision
    from region_operator.plan.summary import ReconcileSummary
    from region_operator.scheduler import Scheduler

MESSAGE_LIMIT = 1024
"""How many characters the message of a condition or an Event may have (core/validation/events.go, NoteLengthLimit)."""
HISTORY_FIELD = "databaseHistory"
"""The field of the status that remembers the history of the database, where a restore of the database leaves it."""
Status = dict[str, Any]


class ConditionType(StrEnum):
    """The conditions of a RegionScheduler."""

    READY = "Ready"
    """Always present. True: the last reconcile came to its end. The reasons of Ready are below."""
    RECONCILING = "Reconciling"
    """Present while a long plan is carried out, or something is left for the next reconcile. The reason is
    `Unfinished`."""
    STALLED = "Stalled"
    """Present while only an edit of the RegionScheduler helps. The reason is that of Ready."""
    HELD = "DeletionsHeld"
    """Present while the deletion guard holds deletions. The reason is `TooMany`; the message says how to approve."""
    OVERCOMMITTED = "Overcommitted"
    """Present while ticks of the next 24 hours will be lost, by the forecast. The reason is `TicksLost`; the message
    names the worst minutes and says what would be enough."""
    DEAF = "EditsUnheard"
    """Present while edits of the table show at the refresh interval only. The reason is `NoNotifications`; the message
    says why, and what to do."""
    CLOCK_SKEW = "ClockSkew"
    """Present while database and API server are over 10 s apart (`ClocksDiffer`). The message says what follows."""


class ReadyReason(StrEnum):
    """Why a RegionScheduler is ready or not ready."""

    IN_SYNC = "InSync"
    """Ready is True: every active row has its CronJob, and nothing else is to be said."""
    QUARANTINED = "RegionsQuarantined"
    """Ready is True: some rows cannot be scheduled, and all others are in sync."""
    QUOTA_TAKEN = "QuotaTaken"
    """Ready is True: another ResourceQuota has our name, so the number of ticks at once is not limited."""
    HELD = "DeletionsHeld"
    """Ready is True: the deletion guard holds deletions, and all else is in sync."""
    SUSPENDED = "Suspended"
    """Ready is True: spec.suspend suspends all regions."""
    INVALID_SPEC = "InvalidSpec"
    """The spec cannot be followed. Only an edit of the RegionScheduler helps."""
    DATABASE_NOT_CONFIGURED = "DatabaseNotConfigured"
    """There is no database URL, or the URL cannot be used."""
    DATABASE_UNAVAILABLE = "DatabaseUnavailable"
    """The database does not answer, or refuses connections."""
    SCHEMA_MISMATCH = "SchemaMismatch"
    """The operator's own schema is missing, of another release, or damaged."""
    SOURCE_UNREADABLE = "SourceUnreadable"
    """The region table cannot be read: it is missing, lacks a column, or refuses the right."""
    SOURCE_SLOW = "SourceSlow"
    """Reading the region table takes too long."""
    APPLY_FAILED = "ApplyFailed"
    """The API server refused a change or did not answer."""
    FORBIDDEN = "Forbidden"
    """The operator lacks a right in Kubernetes. The message says which."""
    THROTTLED = "Throttled"
    """The API server has no time for the operator's requests."""
    OUTDATED_CRD = "OutdatedCustomResourceDefinition"
    """The CustomResourceDefinition is of an older release."""
    TIMED_OUT = "TimedOut"
    """The reconcile took longer than it may, and starts again."""
    INTERNAL = "InternalError"
    """An error of the operator itself. The log has the traceback."""


STALLED = frozenset({ReadyReason.INVALID_SPEC})
"""The problems that only an edit of the RegionScheduler can solve."""


def status_with_guard(scheduler: Scheduler, decision: Decision, *, now: datetime) -> Status:
    """Return the status with the guard's new state and the condition DeletionsHeld.

    This status must be written before any CronJob is deleted. A deletion with an unknown outcome is then counted too.
    """
    status = {key: value for key, value in scheduler.status.items() if key not in STATUS_FIELDS}
    conditions = [condition for condition in status.get("conditions", []) if condition["type"] != ConditionType.HELD]
    if decision.state.hold:
        message = explain_hold(decision.state.hold, decision.held, scheduler)
        conditions.append(_condition(scheduler, ConditionType.HELD, True, reason="TooMany", message=message, now=now))
    if conditions != status.get("conditions", []):
        status["conditions"] = conditions
    return status | decision.state.to_status()


def status_after_success(scheduler: Scheduler, summary: ReconcileSummary, *, now: datetime) -> Status:
    """Return the status after a reconcile that was completed. `now` is in UTC."""
    reason = ReadyReason.IN_SYNC
    message = f"{summary.scheduled} of {summary.active} active regions are scheduled"
    if summary.quota_conflict:
        reason = ReadyReason.QUOTA_TAKEN
        message += f"; {summary.quota_conflict}"
    if summary.quarantined:
        reason = ReadyReason.QUARANTINED
        message += f"; quarantined: {summary.first_reasons}"
    if summary.paused:
        message += f"; {summary.paused} paused by annotation"
    if summary.held:
        reason = ReadyReason.HELD
        message += f"; {summary.held} deletions are held"
    if scheduler.spec.suspend:
        reason = ReadyReason.SUSPENDED
        message = f"all {summary.active} active regions are suspended by spec.suspend"
    if summary.schema_conflict:
        message += f"; {summary.schema_conflict}"
    if summary.unfinished:
        message += f"; {summary.unfinished}"
    status = scheduler.status | {
        "observedGeneration": scheduler.generation,
        "regions": {
            "active": summary.active,
            "scheduled": summary.scheduled,
            "quarantined": len(summary.quarantined),
            "held": summary.held,
            "paused": summary.paused,
        },
        "conditions": _conditions(scheduler, ready=True, reason=reason, message=message, now=now)
        + _present(scheduler, ConditionType.RECONCILING, "Unfinished", summary.unfinished, now)
        + _present(scheduler, ConditionType.OVERCOMMITTED, "TicksLost", summary.overcommitment, now)
        + _present(scheduler, ConditionType.DEAF, "NoNotifications", summary.deafness, now)
        + _present(scheduler, ConditionType.CLOCK_SKEW, "ClocksDiffer", summary.clock_skew, now)
        + _kept(scheduler, ConditionType.HELD),
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
        + _kept(scheduler, ConditionType.OVERCOMMITTED)
        + _kept(scheduler, ConditionType.DEAF)
        + _kept(scheduler, ConditionType.CLOCK_SKEW)
        + _kept(scheduler, ConditionType.HELD),
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


def _kept(scheduler: Scheduler, kind: ConditionType) -> list[dict[str, Any]]:
    """Return the condition as the status has it. Only `status_with_guard` changes DeletionsHeld, and puts it last."""
    return [condition for condition in scheduler.status.get("conditions", []) if condition["type"] == kind]


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
    for condition in status.get("conditions", []):
        if condition["type"] == kind and condition["status"] == state:
            since: str = condition["lastTransitionTime"]
            return since
    return None
