"""A RegionScheduler's status, computed from what a reconcile found. Pure: written only where it differs from what
stands there.

Conditions follow kstatus: `Ready` always stands, `Reconciling`, `Stalled` and `DeletionsHeld` only while true (see
docs/decisions/0016-reconciling-means-unfinished.md). Per-region detail is not here (it grows with the table), but for
the keys that the guard must remember; Ready's message names the first few quarantined regions, the log and the Events
name all.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from region_operator.plan.deletion_guard import STATUS_FIELDS, explain_hold
from region_operator.regions.region import NAMED_REGIONS
from region_operator.scheduler import format_time

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from region_operator.plan.deletion_guard import Decision
    from region_operator.regions.region import Quarantined
    from region_operator.scheduler import Scheduler

MESSAGE_LIMIT = 1024
"""Of a condition's message, and of an Event's, which may not be longer (core/validation/events.go, NoteLengthLimit)."""
HELD = "DeletionsHeld"

Status = dict[str, Any]


class ReadyReason(StrEnum):
    """Why a RegionScheduler is ready or not."""

    IN_SYNC = "InSync"
    QUARANTINED = "RegionsQuarantined"
    QUOTA_TAKEN = "QuotaTaken"
    HELD = "DeletionsHeld"
    SUSPENDED = "Suspended"
    INVALID_SPEC = "InvalidSpec"
    DATABASE_NOT_CONFIGURED = "DatabaseNotConfigured"
    DATABASE_UNAVAILABLE = "DatabaseUnavailable"
    SCHEMA_MISMATCH = "SchemaMismatch"
    SOURCE_UNREADABLE = "SourceUnreadable"
    SOURCE_SLOW = "SourceSlow"
    APPLY_FAILED = "ApplyFailed"
    FORBIDDEN = "Forbidden"
    THROTTLED = "Throttled"
    OUTDATED_CRD = "OutdatedCustomResourceDefinition"
    TIMED_OUT = "TimedOut"
    INTERNAL = "InternalError"


STALLED = frozenset({ReadyReason.INVALID_SPEC})
"""Reasons that only an edit of the RegionScheduler can mend."""


@dataclass(frozen=True, slots=True)
class ReconcileSummary:
    """What a reconcile that came to its end found."""

    active: int
    scheduled: int
    quarantined: Sequence[Quarantined]
    held: int
    changed: bool
    paused: int = 0
    quota_conflict: str = ""
    """What keeps the ticks from being capped, in words; empty where nothing does."""
    unfinished: str = ""
    """What has to be looked at again at once, in words; empty where nothing has."""


def guarded(scheduler: Scheduler, decision: Decision, *, now: datetime) -> Status:
    """Return the status with what the guard must remember and what it holds: to be written before anything is deleted,
    so that what is not known to have gone is counted all the same.
    """
    status = {key: value for key, value in scheduler.status.items() if key not in STATUS_FIELDS}
    conditions = [condition for condition in status.get("conditions", []) if condition["type"] != HELD]
    if decision.history.hold:
        message = explain_hold(decision.history.hold, decision.held, scheduler)
        conditions.append(_condition(scheduler, HELD, True, reason="TooMany", message=message, now=now))
    if conditions != status.get("conditions", []):
        status["conditions"] = conditions
    return status | decision.history.to_status()


def succeeded(scheduler: Scheduler, summary: ReconcileSummary, *, now: datetime) -> Status:
    """Return the status after a reconcile that came to its end. `now` is in UTC."""
    reason = ReadyReason.IN_SYNC
    message = f"{summary.scheduled} of {summary.active} active regions are scheduled"
    if summary.quota_conflict:
        reason = ReadyReason.QUOTA_TAKEN
        message += f"; {summary.quota_conflict}"
    if summary.quarantined:
        reason = ReadyReason.QUARANTINED
        message += f"; quarantined: {_name(summary.quarantined)}"
    if summary.paused:
        message += f"; {summary.paused} paused by annotation"
    if summary.held:
        reason = ReadyReason.HELD
        message += f"; {summary.held} deletions are held"
    if scheduler.spec.suspend:
        reason = ReadyReason.SUSPENDED
        message = f"all {summary.active} active regions are suspended by spec.suspend"
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
        + _reconciling(scheduler, summary.unfinished, now),
    }
    return status | ({"lastChangeTime": format_time(now)} if summary.changed else {})


def unfinished(*, stale: int, pending: int) -> str:
    """Say what a reconcile could not do yet; empty where that is nothing."""
    texts = [f"{stale} had changed meanwhile"] * bool(stale)
    texts += [f"{pending} wait until another of the same name is gone"] * bool(pending)
    return "; ".join(texts)


def failed(scheduler: Scheduler, reason: ReadyReason, message: str, *, now: datetime) -> Status:
    """Return the status after a reconcile that could not come to its end: the counts stay what they were, as the
    cluster does.
    """
    return scheduler.status | {
        "observedGeneration": scheduler.generation,
        "conditions": _conditions(scheduler, ready=False, reason=reason, message=message, now=now),
    }


def _conditions(
    scheduler: Scheduler, *, ready: bool, reason: ReadyReason, message: str, now: datetime
) -> list[dict[str, Any]]:
    states = {"Ready": ready} | ({"Stalled": True} if reason in STALLED else {})
    kept = [condition for condition in scheduler.status.get("conditions", []) if condition["type"] == HELD]
    return [
        _condition(scheduler, kind, state, reason=reason.value, message=message, now=now)
        for kind, state in states.items()
    ] + kept


def _reconciling(scheduler: Scheduler, unfinished: str, now: datetime) -> list[dict[str, Any]]:
    if not unfinished:
        return []
    return [_condition(scheduler, "Reconciling", True, reason="Unfinished", message=unfinished, now=now)]


def _condition(
    scheduler: Scheduler, kind: str, state: bool, *, reason: str, message: str, now: datetime
) -> dict[str, Any]:
    return {
        "type": kind,
        "status": str(state),
        "observedGeneration": scheduler.generation,
        "reason": reason,
        "message": message[:MESSAGE_LIMIT],
        "lastTransitionTime": _since(scheduler.status, kind, str(state)) or format_time(now),
    }


def _since(status: Status, kind: str, state: str) -> str | None:
    for condition in status.get("conditions", []):
        if condition["type"] == kind and condition["status"] == state:
            since: str = condition["lastTransitionTime"]
            return since
    return None


def _name(quarantined: Sequence[Quarantined]) -> str:
    named = "; ".join(f"{row.code or row.id}: {row.reason}" for row in quarantined[:NAMED_REGIONS])
    rest = len(quarantined) - NAMED_REGIONS
    return f"{named}; and {rest} more" if rest > 0 else named
