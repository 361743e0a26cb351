"""Tells whether all regions are suspended, since when, until when, by whom and why. Pure: the present is passed in.

All regions are suspended while `spec.suspend` is true, and until the moment of `spec.suspendUntil`. Each of the two
suspends alone. So a moment that is left over from an earlier suspension ends no later one: who sets `spec.suspend` in
an emergency need not look at the other field. See docs/decisions/0052-a-suspension-with-an-end.md.

Who suspended is the manager that wrote the field, as the API server has it. A person's name, reason and time are
annotations, which anybody may write. They are believed only if the manager of the field owns them too: texts that are
left over from an earlier suspension belong to another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from region_operator.cronjobs.labels import PAUSED_BY_ANNOTATION, PAUSED_REASON_ANNOTATION, PAUSED_SINCE_ANNOTATION
from region_operator.cronjobs.ownership import has_field, last_entry
from region_operator.durations import read_moment
from region_operator.plan.conditions import ConditionType
from region_operator.regions.row_values import printable
from region_operator.scheduler import format_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from region_operator.scheduler import Scheduler

REASON_LIMIT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspension:
    """What suspends all regions. `until` is None if only an edit of spec.suspend ends it.

    `by` is a person's name or a manager's. `since` and `until` have a time zone. `moot` says that spec.suspendUntil is
    set, and ends nothing.
    """

    by: str
    since: datetime
    until: datetime | None
    reason: str
    moot: bool

    def __str__(self) -> str:
        """Say by whom, since when, until when and why: the words of condition, Event, console and plugin."""
        end = f"until {format_time(self.until)}, as spec.suspendUntil says" if self.until else _OPEN
        if self.moot:
            end += ", whatever spec.suspendUntil says"
        return f"by {self.by} since {format_time(self.since)}, {end}" + (f": {self.reason}" if self.reason else "")


_OPEN = "until spec.suspend is set to false"


def suspension_of(scheduler: Scheduler, *, now: datetime) -> Suspension | None:
    """Return what suspends all regions. None: nothing does. `now` has a time zone."""
    spec = scheduler.spec
    until = None if spec.suspend else spec.suspend_until
    if not spec.suspend and (until is None or until <= now):
        return None
    entry = last_entry(scheduler.metadata.get("managedFields", []), "f:spec", f"f:{_field(until)}") or {}
    told = _told(scheduler.metadata.get("annotations", {}), entry)
    dates = (told.get(PAUSED_SINCE_ANNOTATION, ""), entry.get("time", ""))
    since = _kept(scheduler.status) or next(filter(None, (_believed(date, scheduler, now) for date in dates)), None)
    return Suspension(
        by=printable(told.get(PAUSED_BY_ANNOTATION) or entry.get("manager") or "somebody"),
        since=since or now.replace(microsecond=0),
        until=until,
        reason=printable(told.get(PAUSED_REASON_ANNOTATION, ""), limit=REASON_LIMIT),
        moot=spec.suspend and spec.suspend_until is not None,
    )


def suspension_told(status: Mapping[str, Any]) -> str:
    """Return what a status says of the suspension of all regions, in the operator's words; "" if it says none."""
    return _condition(status).get("message", "")


def _field(until: datetime | None) -> str:
    return "suspendUntil" if until else "suspend"


def _told(annotations: Mapping[str, str], entry: Mapping[str, Any]) -> dict[str, str]:
    """Return the annotations that the manager of an entry owns."""
    return {
        name: text for name, text in annotations.items() if has_field(entry, "f:metadata", "f:annotations", f"f:{name}")
    }


def _kept(status: Mapping[str, Any]) -> datetime | None:
    """Return since when the status says that all are suspended. Any later edit moves the time of the field's entry."""
    return read_moment(_condition(status).get("lastTransitionTime", ""))


def _condition(status: Mapping[str, Any]) -> Mapping[str, str]:
    conditions = status.get("conditions", [])
    return next((each for each in conditions if each["type"] == ConditionType.SUSPENDED), {})


def _believed(text: str, scheduler: Scheduler, now: datetime) -> datetime | None:
    """Read since when all are suspended. None: it is no time with a zone, is to come, or is before the
    RegionScheduler.
    """
    found, created = read_moment(text), read_moment(scheduler.metadata.get("creationTimestamp", ""))
    return found if found and created and created <= found <= now else None
