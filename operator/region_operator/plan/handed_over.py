"""Tells the CronJobs that this installation goes by from those whose regions another installation owns. Pure.

| the CronJob's slot                            | the CronJob                                                      |
|-----------------------------------------------|------------------------------------------------------------------|
| is one that this installation goes by         | is planned as ever                                               |
| belongs to another, and the CronJob is ours   | goes as soon as its last own tick cannot start any more          |
| belongs to another, and the CronJob is older  | is left alone: it was never ours to tick                         |
| any other                                     | is left alone                                                    |

"Ours" means that the CronJob names this installation, which the operator writes only while it owns the slot or takes it
over. A CronJob of a table that was read before is planned as ever, so the guard sees it go. What goes to another owner
does not pass the guard, because no region stops ticking.
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

    `wait` is the time until the next of them may go; None if none waits.
    """

    current: Sequence[LiveCronJob]
    handed_over: tuple[Delete, ...] = ()
    wait: timedelta | None = None


def divide(cronjobs: Sequence[LiveCronJob], handover: SlotHandover) -> Division:
    """Divide the operator's CronJobs by the owners of their slots. All others are left to the plan."""
    if handover.slots == ALL_SLOTS:
        return Division(cronjobs)
    current: list[LiveCronJob] = []
    handed_over: list[Delete] = []
    waits: list[timedelta] = []
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
    return Division(current, tuple(handed_over), min(waits, default=None))
