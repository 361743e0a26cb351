"""Which ticks were to be expected, and when their fate is known. Pure: no clock, no I/O.

A tick is expected where a schedule was in force when it was due, of a suspended region too. Its own claim can make its
row only for so long (the tick's rule, in contract); from then on, unless a Job of its own is active, it may be given
one, and not before.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from region_operator.regions.cron_field import ScheduleError
from region_operator.regions.schedule import Schedule, parse_schedule
from region_tick.contract import LATENESS_TOLERANCE_SECONDS, job_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from region_operator.ledger.schedule_versions import ScheduleSpec, ScheduleVersion

CLAIM_MARGIN = timedelta(seconds=LATENESS_TOLERANCE_SECONDS + 5)
"""How long after its start deadline a tick may still be claimed, and a claim that was made then be under way."""

SLICE = timedelta(minutes=15)
"""How much time is accounted for at once, so that a long absence costs time and not memory."""

_INSTANT = timedelta(microseconds=1)

_parse = lru_cache(maxsize=20_000)(parse_schedule)


TickKey: TypeAlias = tuple[str, datetime]
"""A tick of a source: region's id and time."""


@dataclass(frozen=True, slots=True)
class ExpectedTick:
    """A tick that was to be expected; `ended` is when its schedule ended, None where it is still in force, and `then`
    what took its place at once, if anything did.
    """

    region_id: str
    spec: ScheduleSpec
    tick_at: datetime
    ended: datetime | None
    then: ScheduleSpec | None = None

    @property
    def key(self) -> TickKey:
        return self.region_id, self.tick_at

    @property
    def job(self) -> str:
        """The name of its Job, whether that exists or not."""
        return job_name(self.spec.cronjob, self.tick_at)

    @property
    def latest_start(self) -> datetime:
        """Up to when the controller may make its Job: it goes by what is in force when it looks, so that a longer start
        deadline counts which came after the tick was due.
        """
        later = self.then.start_deadline_seconds if self.then else 0
        return self.tick_at + timedelta(seconds=max(self.spec.start_deadline_seconds, later))

    @property
    def ended_in_time(self) -> bool:
        """Whether its schedule ended before the controller had to have made its Job."""
        return self.ended is not None and self.ended <= self.latest_start

    @property
    def stopped(self) -> bool:
        """Whether its schedule ended by a suspension."""
        return self.then is not None and self.then.suspended

    @property
    def may_have_job(self) -> bool:
        """Whether there can be a Job: a CronJob that is resumed makes that of the last tick within its start deadline
        (cronjob_controllerv2.go, syncCronJob; nextScheduleTime).
        """
        return not self.spec.suspended or self.ended_in_time

    def may_be_claimed(self, now: datetime) -> bool:
        """Whether a claim can still make its row."""
        return now <= self.latest_start + CLAIM_MARGIN


def slices(after: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Cut a time into parts that are accounted for one after the other."""
    while after < until:
        end = min(after + SLICE, until)
        yield after, end
        after = end


def expected_ticks(intervals: Collection[ScheduleVersion], *, after: datetime, until: datetime) -> list[ExpectedTick]:
    """Return the ticks strictly after one moment and up to another, in UTC, that schedules in force make expected."""
    ticks: list[ExpectedTick] = []
    began = {(row.region_id, row.valid_from): row.spec for row in intervals}
    times: dict[str, Sequence[datetime]] = {}
    for interval in intervals:
        cron = interval.spec.cron
        if cron not in times:
            times[cron] = _times(cron, after, until)
        of_cron = times[cron]
        if not of_cron:
            continue
        first = bisect_right(of_cron, max(after, interval.valid_from))
        last = bisect_right(of_cron, min(until, interval.valid_to or until))
        end = interval.valid_to
        then = began.get((interval.region_id, end)) if end else None
        ticks += [ExpectedTick(interval.region_id, interval.spec, at, end, then) for at in of_cron[first:last]]
    return ticks


def recompute(intervals: Iterable[ScheduleVersion], keys: Iterable[TickKey]) -> list[ExpectedTick]:
    """Return some ticks as schedules in force make them expected by now, without those that they no longer do."""
    of_region: defaultdict[str, list[ScheduleVersion]] = defaultdict(list)
    for interval in intervals:
        of_region[interval.region_id].append(interval)
    regions: defaultdict[datetime, list[str]] = defaultdict(list)
    for region_id, tick_at in keys:
        regions[tick_at].append(region_id)
    ticks: list[ExpectedTick] = []
    for tick_at, ids in regions.items():
        of_those = [interval for region_id in ids for interval in of_region[region_id]]
        ticks += expected_ticks(of_those, after=tick_at - _INSTANT, until=tick_at)
    return ticks


def accounted_until(pending: Iterable[TickKey], until: datetime) -> datetime:
    """Return up to when everything is settled, where some ticks up to `until` are not."""
    return min((tick_at - _INSTANT for _, tick_at in pending), default=until)


def _times(cron: str, after: datetime, until: datetime) -> list[datetime]:
    try:
        schedule = _parse(cron)
    except ScheduleError:
        return []  # somebody else's text in a CronJob of ours, about to be put back: who knows what it would do
    if not _may_tick(schedule, after, until):
        return []
    times: list[datetime] = []
    moment = schedule.next_after(after)
    while moment <= until:
        times.append(moment)
        moment = schedule.next_after(moment)
    return times


def _may_tick(schedule: Schedule, after: datetime, until: datetime) -> bool:
    """Rule out most schedules by the minutes of the hour alone: asking for the next time costs a hundred times that."""
    minutes = int((until - after) / timedelta(minutes=1)) + 1
    if minutes >= 60:
        return True
    first = after.minute
    return any((minute - first) % 60 <= minutes for minute in schedule.minutes)
