"""Puts into words what the guards hold, and how a person approves a hold. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from region_operator.durations import format_duration
from region_operator.plan.changes import Change, Delete, Guarded
from region_operator.plan.growth_guard import LEAST_GROWTH
from region_operator.plan.plan import FACTOR
from region_operator.regions.region import MAX_NAMED_REGIONS
from region_operator.regions.row_values import printable
from region_operator.scheduler import APPROVAL_ANNOTATION, KIND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from region_operator.cronjobs.live import LiveCronJob
    from region_operator.plan.guard_memory import Hold
    from region_operator.scheduler import Scheduler

_WHY = {
    Guarded.DELETION: "{stops}; to stop all and keep them, set spec.suspend",
    Guarded.QUARANTINE: "{stops}, because their rows are bad: they run on as they last were until the rows are mended",
    Guarded.SLOWDOWN: (
        f"{{stops}}, because they would tick more than {FACTOR} times less often: they keep their schedules"
    ),
    Guarded.SPEEDUP: (
        f"they would tick more than {FACTOR} times more often, and ticks would be lost (spec.concurrency, or the"
        " controller's rate): they keep their schedules"
    ),
    Guarded.CREATION: f"more than {LEAST_GROWTH} new regions, and more than there were: is it the right table?",
}
_MEANT = {
    Guarded.DELETION: "if they are to go",
    Guarded.QUARANTINE: "if they are to stop",
    Guarded.SLOWDOWN: "if that is meant",
    Guarded.SPEEDUP: "if that is meant",
    Guarded.CREATION: "if they are to tick",
}


def explain_hold(hold: Hold, held: Sequence[Change], scheduler: Scheduler, *, unknown: bool = False) -> str:
    """Say which changes of a kind are held, why, and how to approve them. The same hold always gives the same text.

    `unknown` says that the guard does not know what stopped within the last day (`GuardState.unknown_before`). After a
    day the guard knows, and the text is another one.
    Without changes the text counts the hold's regions: not all rows were read, so nobody knows which are still missing.
    """
    codes = [code_of(change) for change in held]
    named = ", ".join(codes[:MAX_NAMED_REGIONS]) or f"{len(hold.held)} regions"
    if codes[MAX_NAMED_REGIONS:]:
        named += f" and {len(codes) - MAX_NAMED_REGIONS} more"
    window = format_duration(scheduler.spec.deletion_guard.window)
    stops = f"within {window}, or within a day, more regions would stop than spec.deletionGuard lets, or all of them"
    if unknown:
        stops = "this RegionScheduler is younger than its CronJobs, and nobody knows how many regions stopped before it"
    text = f"{hold.kind}s held: {named}; {_WHY[hold.kind].format(stops=stops)}"
    if replaced := sum(bool(change.successor) for change in held if isinstance(change, Delete)):
        text += f"; {replaced} of them have rows with new ids, which wait for their codes"
    if scheduler.approval:
        text += f"; the approval {scheduler.approval} is of other regions, or of another time"
    return f"{text}; {_MEANT[hold.kind]}: {approve_command(scheduler, hold)}"


def approve_command(scheduler: Scheduler, hold: Hold) -> str:
    """Return the kubectl command that approves a hold."""
    return (
        f"kubectl annotate {KIND.lower()} {scheduler.name} -n {scheduler.namespace} --overwrite"
        f" {APPROVAL_ANNOTATION}={hold.approval}"
    )


def code_of(change: Change) -> str:
    """Return the code of the region that a change is about, fit for a message."""
    return region_code(change.live) if isinstance(change, Delete) else printable(change.desired.region.code)


def region_code(live: LiveCronJob) -> str:
    """Return the code of a CronJob's region, fit for a message. Without the code's annotation: the CronJob's name."""
    return printable(live.code or live.name)
