"""Tells the CronJobs that this installation goes by from those whose regions another installation owns. Pure.

| the CronJob's slot                            | the CronJob                                                      |
|-----------------------------------------------|------------------------------------------------------------------|
| is one that this installation goes by         | is planned as ever                                               |
| belongs to another, and the CronJob is ours   | goes as soon as its last own tick cannot start any more          |
| belongs to another, and the CronJob is older  | is left alone, and reported                                      |
| any other                                     | is left alone                                                    |

"Ours" means that the CronJob names this installation, which the operator writes only while it owns the slot or takes it
over. A CronJob of a table that was read before is planned as ever, so the guard sees it go. What goes to another owner
does not pass the guard, because no region stops ticking.

"Older" is a CronJob of release 0.1, which names no installation. Its pods run the claim of release 0.1, which knows no
owner, so no rule of this release can refuse their ticks. The operator does not delete it either: of several old
installations the first that is upgraded owns the table, and that may be the wrong one. A person decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from region_operator.plan.changes import ChangeReason, Delete
from region_operator.regions.slots import ALL_SLOTS, slot_of_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from region_operator.cronjobs.live import LiveCronJob
    from region_operator.regions.handover import SlotHandover


@dataclass(frozen=True, slots=True)
class Division:
    """The CronJobs to plan, and the deletions of those that another installation has taken over.

    `wait` is the time until the next of them may go; None if none waits. `unrefused` counts the CronJobs of release 0.1
    that tick for regions which another installation owns.
    """

    current: Sequence[LiveCronJob]
    handed_over: tuple[Delete, ...] = ()
    wait: timedelta | None = None
    unrefused: int = 0


def divide(cronjobs: Sequence[LiveCronJob], handover: SlotHandover) -> Division:
    """Divide the operator's CronJobs by the owners of their slots. All others are left to the plan."""
    if handover.slots == ALL_SLOTS:
        return Division(cronjobs)
    current: list[LiveCronJob] = []
    handed_over: list[Delete] = []
    waits: list[timedelta] = []
    unrefused = 0
    for live in cronjobs:
        slot = slot_of_key(live.key) if live.ours else None
        if slot is None or slot in handover.slots or live.told_source not in ("", handover.standing.source):
            current.append(live)
        elif slot in handover.let_go and live.told_installation == handover.me and not live.terminating:
            wait = handover.let_go_in(slot, start_deadline=timedelta(seconds=live.start_deadline_seconds))
            if wait > timedelta():
                waits.append(wait)
            else:
                handed_over.append(Delete(live, ChangeReason.HANDED_OVER))
        elif slot in handover.standing.owners and not (live.told_installation or live.suspended or live.terminating):
            unrefused += 1
    return Division(current, tuple(handed_over), min(waits, default=None), unrefused)


def explain_unrefused(cronjobs: int) -> str:
    """Say that CronJobs of release 0.1 tick for another owner, and what to do; "" if there are none."""
    if not cronjobs:
        return ""
    return (
        f"{cronjobs} CronJobs of release 0.1 tick here for regions that are owned elsewhere, and no claim refuses their"
        " ticks: take over, or delete them"
    )
