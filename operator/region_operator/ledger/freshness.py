"""Computes how many ticks were due to a region since its last success, and sums that up over all regions. Pure.

A region is late by its own ticks, not by seconds: an hour is much for a region that ticks each minute, and nothing for
a daily one. The ticks of every schedule since the last success count, so that no edit makes a late region look fresh.
After a suspension, or a time without a CronJob, the count begins anew: somebody wanted the region to stand still.

Which regions tick, and when each one last succeeded, is left to `last_success_queries`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import nlargest
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from region_operator.ledger.expected_ticks import count_tick_times

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LATE_BOUNDS = (1, 2, 5, 10, 50)
"""By more than how many ticks a region can be late, in metrics and pages."""

LATEST_REGIONS = 20
"""How many regions are named, at most. Each name is a time series of its own for whoever stores them."""

_NEVER = datetime.min.replace(tzinfo=UTC)


class InForce(NamedTuple):
    """A schedule that a region had strictly after `valid_from` and up to `valid_to` (UTC; None: it still has)."""

    cron: str
    valid_from: datetime
    valid_to: datetime | None = None
    suspended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownRegion:
    """A region that ticks.

    `last_success` is the minute (UTC) of the latest tick that succeeded, None if none ever did. `schedules` are those
    since then, the present one last.
    """

    code: str
    schedules: tuple[InForce, ...]
    last_success: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How late some regions are.

    `late` has the number of regions that are late by more than each of LATE_BOUNDS ticks. `behind` is the number of
    those that are late by more ticks than the objective allows. `latest` has the code and the ticks of the latest
    regions, worst first, of those that are behind and late by more than one tick. Of equals always the same are named,
    so that no name comes and goes.
    """

    regions: int
    late: Mapping[int, int]
    behind: int
    latest: tuple[tuple[str, int], ...]


def intervals_late(region: KnownRegion, *, now: datetime) -> int:
    """Return how many of the region's ticks were due after its last success and up to `now` (UTC).

    1 is usual for a moment: the tick that is due just now has not succeeded yet.
    """
    since = region.last_success or _NEVER
    late, follows = 0, None
    for schedule in reversed(region.schedules):
        if schedule.suspended or (follows and schedule.valid_to != follows):
            break
        follows = schedule.valid_from
        late += count_tick_times(schedule.cron, max(schedule.valid_from, since), schedule.valid_to or now)
    return late


def sum_up(regions: Iterable[KnownRegion], *, now: datetime, within: int) -> Freshness:
    """Return how late the regions are at `now` (UTC). `within` is the objective's number of ticks."""
    ticks = [(region.code, intervals_late(region, now=now)) for region in regions]
    worth_a_name = ((code, late) for code, late in ticks if late > max(within, 1))
    return Freshness(
        regions=len(ticks),
        late={bound: sum(late > bound for _, late in ticks) for bound in LATE_BOUNDS},
        behind=sum(late > within for _, late in ticks),
        latest=tuple(nlargest(LATEST_REGIONS, worth_a_name, key=itemgetter(1, 0))),
    )
