"""Ends the pauses whose end is past. Pure: the present is passed in.

A CronJob whose pause has ended counts as not paused. So the plan resumes the region, and whoever writes the CronJob
removes the annotations of the pause. An end that cannot be read ends nothing: a region that ticks against a person's
will is worse than one that stands still and says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from region_operator.cronjobs.labels import PAUSED_UNTIL_ANNOTATION
from region_operator.durations import read_moment
from region_operator.regions.region import MAX_NAMED_REGIONS
from region_operator.regions.row_values import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from region_operator.cronjobs.live import LiveCronJob

EXAMPLE = "2026-11-30T01:05:00Z"


@dataclass(frozen=True, slots=True)
class Pauses:
    """CronJobs with the pauses that stand. `next_end_in` is the time until the next pause ends; None if none does.

    `problem` says which ends cannot be read, and what to write; "" if all can.
    """

    cronjobs: Sequence[LiveCronJob]
    next_end_in: timedelta | None = None
    problem: str = ""


def end_pauses(cronjobs: Sequence[LiveCronJob], *, now: datetime) -> Pauses:
    """Take the pauses away that have ended. `now` has a time zone."""
    left: list[LiveCronJob] = []
    waits: list[timedelta] = []
    unreadable: list[LiveCronJob] = []
    for live in cronjobs:
        end = read_moment(live.paused_until) if live.paused else None
        if end and end <= now:
            left.append(replace(live, paused=False, pause_over=True))
            continue
        left.append(live)
        if end:
            waits.append(end - now)
        elif live.paused and live.paused_until:
            unreadable.append(live)
    return Pauses(left, min(waits, default=None), _explain(unreadable))


def _explain(unreadable: Sequence[LiveCronJob]) -> str:
    if not unreadable:
        return ""
    named = ", ".join(
        f'{printable(live.code or live.name)} ("{printable(live.paused_until)}")'
        for live in unreadable[:MAX_NAMED_REGIONS]
    )
    more = len(unreadable) - MAX_NAMED_REGIONS
    return (
        f"paused without an end that can be read: {named}{f' and {more} more' if more > 0 else ''}; write"
        f" {PAUSED_UNTIL_ANNOTATION} as a time with its zone, e.g. {EXAMPLE}"
    )
