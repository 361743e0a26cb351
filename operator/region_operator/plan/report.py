"""Reports what a reconcile would do, as text for people and as JSON for machines: the output of the command `plan`.

Pure. The decision itself comes from `plan` and `deletion_guard`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from region_operator.cronjobs.labels import PAUSED_ANNOTATION
from region_operator.plan.changes import ChangeReason, Delete, Guarded
from region_operator.plan.forecast_report import summarize
from region_operator.plan.guard_memory import GuardState
from region_operator.plan.hold_report import explain_hold, region_code
from region_operator.regions.row_values import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from region_operator.plan.changes import Change, Write
    from region_operator.plan.deletion_guard import Decision
    from region_operator.plan.forecast import Forecast
    from region_operator.regions.region import Quarantined
    from region_operator.scheduler import Scheduler


ACTIONS = {
    ChangeReason.ADDED: "create",
    ChangeReason.RESCHEDULED: "reschedule",
    ChangeReason.UPDATED: "update",
    ChangeReason.RESTORED: "restore",
    ChangeReason.SUSPENDED: "suspend",
    ChangeReason.PAUSED: "pause",
    ChangeReason.RESUMED: "resume",
    ChangeReason.REMOVED: "delete",
    ChangeReason.DUPLICATE: "delete",
    ChangeReason.REPLACED: "replace",
    ChangeReason.HANDED_OVER: "delete",
}
HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Line:
    """One change that a reconcile would make or hold, and why.

    `schedule` is the schedule that the CronJob would get. If the CronJob would be deleted, `schedule` is its present
    schedule.
    """

    action: str
    region_id: str
    code: str
    cronjob: str
    schedule: str
    reason: str

    def as_json(self) -> dict[str, str]:
        """Return the line with the keys of the JSON output."""
        return {
            "action": self.action,
            "regionId": self.region_id,
            "code": self.code,
            "cronjob": self.cronjob,
            "schedule": self.schedule,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """A plan as the command prints it.

    `quota` is the new limit of ticks at once, or None if the limit would stay. `notes` are whole sentences.
    """

    lines: tuple[Line, ...]
    unchanged: int
    quota: int | None
    quarantined: tuple[Quarantined, ...]
    notes: tuple[str, ...]
    forecast: Forecast

    def __bool__(self) -> bool:
        """Whether the cluster differs from the table. A held deletion is a difference too."""
        return bool(self.lines) or self.quota is not None

    def as_json(self) -> dict[str, Any]:
        """Return the JSON output. Every plan has the same keys."""
        return {
            "changes": [line.as_json() for line in self.lines],
            "unchanged": self.unchanged,
            "quota": self.quota,
            "quarantined": [{"regionId": row.id, "code": row.code, "reason": row.reason} for row in self.quarantined],
            "notes": list(self.notes),
            "forecast": {
                "fits": self.forecast.fits,
                "due": self.forecast.due,
                "late": self.forecast.late,
                "lost": self.forecast.lost,
            },
        }

    def as_text(self) -> str:
        """Return the changes in columns, then the notes, the forecast and the counts."""
        rows = [(line.action, line.code or line.region_id, line.schedule, line.reason) for line in self.lines]
        if self.quota is not None:
            rows.append(("quota", "", "", f"at most {self.quota} ticks at once"))
        changed = {line.region_id for line in self.lines}
        rows += [
            ("quarantined", row.code or row.id, "", row.reason) for row in self.quarantined if row.id not in changed
        ]
        counts = [f"{count} to {action}" for action, count in Counter(line.action for line in self.lines).items()]
        summary = ", ".join([*counts, f"{self.unchanged} unchanged", f"{len(self.quarantined)} quarantined"])
        return "\n".join([*_columns(rows), *self.notes, summarize(self.forecast), summary])


def make_report(
    decision: Decision,
    quarantined: Sequence[Quarantined],
    scheduler: Scheduler,
    forecast: Forecast,
    *,
    quota: int | None = None,
    problems: Iterable[str] = (),
) -> Report:
    """Put a decision into words. `quota` is the Report's `quota`; `problems` become the last notes."""
    reasons = {row.id: row.reason for row in quarantined}
    return Report(
        lines=tuple(sorted(_lines(decision, reasons), key=_sort_key)),
        unchanged=decision.plan.unchanged,
        quota=quota,
        quarantined=tuple(quarantined),
        notes=(*_notes(decision, scheduler), *problems),
        forecast=forecast,
    )


def _lines(decision: Decision, quarantined: Mapping[str, str]) -> Iterator[Line]:
    for write in decision.plan.writes:
        yield _write(write, quarantined)
    for delete in decision.plan.deletes:
        yield _delete(ACTIONS[delete.reason], delete, _why_deleted(delete))
    for change in decision.held:
        yield _held(change, quarantined)


def _held(change: Change, quarantined: Mapping[str, str]) -> Line:
    if isinstance(change, Delete):
        return _delete(HOLD, change, f"{_why_deleted(change)}, but too many or all would go")
    line = _write(change, quarantined)
    return replace(line, action=HOLD, reason=f"{line.action}: {line.reason}, but {_why_held(change.guarded)}")


def _why_held(kind: Guarded | None) -> str:
    match kind:
        case Guarded.CREATION:
            return "too many new regions"
        case Guarded.SPEEDUP:
            return "ticks would be lost"
        case _:
            return "too many or all would stop"


def _why_deleted(delete: Delete) -> str:
    if delete.reason is ChangeReason.DUPLICATE:
        return "the region has an older one"
    if delete.reason is ChangeReason.HANDED_OVER:
        return "another installation owns the region"
    if delete.successor is None:
        return "no active row"
    old, new = delete.live.region_id, delete.successor.desired.region.id
    return f"id {printable(old)} has no active row, id {printable(new)} has its code"


def _sort_key(line: Line) -> tuple[int, str]:
    return [*ACTIONS.values(), HOLD].index(line.action), line.code


def _write(write: Write, quarantined: Mapping[str, str]) -> Line:
    region, schedule = write.desired.region, write.desired.schedule.source
    match write.reason:
        case ChangeReason.ADDED:
            why = "an active row without a CronJob"
        case ChangeReason.RESCHEDULED if write.live:
            why = f"was {write.live.schedule}"
        case ChangeReason.SUSPENDED:
            why = quarantined.get(region.id, "")
        case ChangeReason.PAUSED:
            why = f"its CronJob's annotation {PAUSED_ANNOTATION}"
        case ChangeReason.RESUMED if write.live and write.live.pause_over:
            why = f"its pause ended at {printable(write.live.paused_until)}"
        case ChangeReason.RESUMED:
            why = "nothing suspends it any more"
        case ChangeReason.RESTORED:
            why = f"changed by {', '.join(write.changed_by) or 'somebody'}"
        case _:
            why = "the row, the RegionScheduler, the release or the CronJob has changed"
    if (written := write.desired.schedule.written) != schedule:
        why += f"; the row says {written}"
    return Line(ACTIONS[write.reason], region.id, region.code, write.name, schedule, why)


def _delete(action: str, delete: Delete, reason: str) -> Line:
    live = delete.live
    return Line(action, live.region_id, region_code(live), live.name, live.schedule, reason)


def _notes(decision: Decision, scheduler: Scheduler) -> Iterator[str]:
    before = GuardState.from_status(scheduler.status).holds
    for kind, hold in decision.state.holds.items():
        if hold == before.get(kind):
            yield explain_hold(hold, decision.held_of(kind), scheduler, unknown=decision.is_past_unknown)
        elif kind in (Guarded.SPEEDUP, Guarded.CREATION):
            yield f"{kind}s would be held, {_why_held(kind)}: how to approve them is said once the operator holds them"
        elif decision.is_past_unknown:
            yield (
                f"{kind}s would be held: the RegionScheduler is younger than its CronJobs, and nobody knows how many"
                " regions stopped before it; how to approve them is said once the operator holds them"
            )
        else:
            yield (
                f"{kind}s would be held: the guard lets {decision.allowance} regions stop within its window, and not"
                " all of them; how to approve them is said once the operator holds them"
            )


def _columns(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
