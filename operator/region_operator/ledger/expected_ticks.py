"""Computes the expected ticks from schedule versions. Pure: no clock, no I/O.

A tick is expected if a schedule version was valid when the tick was due. A suspended schedule version counts too, but
most of its ticks are left to `suspensions`. A claim can make the tick's row only for a limited time (a rule of the
tick, in `region_tick.contract`). After that time the operator may write the row, unless the tick's Job is active. What
the row says is left to `causes`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from region_operator.regions.cron_field import ScheduleError
from region_operator.regions.schedule import Schedule, parse_schedule
from region_tick.contract import LATENESS_TOLERANCE_SECONDS, job_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from region_operator.ledger.schedule_versions import ScheduleSpec, ScheduleVersion

CLAIM_MARGIN = timedelta(seconds=LATENESS_TOLERANCE_SECONDS + 5)
"""How long after the start deadline a claim may still arrive: the tick's tolerance, and 5 s for a claim under way."""

SLICE = timedelta(minutes=15)
"""How much time one pass computes at once. After a long absence, slices cost time instead of memory."""

INSTANT = timedelta(microseconds=1)
"""The smallest difference of two times, in Postgres as in Python."""

NOTHING_SUSPENDED: Mapping[tuple[str, datetime], datetime] = MappingProxyType({})

_parse = lru_cache(maxsize=20_000)(parse_schedule)


TickKey: TypeAlias = tuple[str, datetime]
"""A tick of one source: the region's id and the tick's time (UTC)."""


@dataclass(frozen=True, slots=True)
class ExpectedTick:
    """A tick that a schedule version made expected.

    `spec` is the schedule version's spec. `ended` is when the schedule version ended, None if still valid. `next_spec`
    is the spec of the version that followed at once, None if no version did.
    """

    region_id: str
    spec: ScheduleSpec
    tick_at: datetime
    ended: datetime | None
    next_spec: ScheduleSpec | None = None

    @property
    def key(self) -> TickKey:
        return self.region_id, self.tick_at

    @property
    def job(self) -> str:
        """The name of the tick's Job, whether or not the Job exists."""
        return job_name(self.spec.cronjob, self.tick_at)

    @property
    def latest_start(self) -> datetime:
        """Up to when the controller may create the tick's Job.

        The controller reads the CronJob at the moment of a sync, so a longer start deadline also counts if set after
        the tick was due.
        """
        return self.tick_at + start_deadline(self.spec, self.next_spec)

    @property
    def ended_in_time(self) -> bool:
        """Whether the schedule version ended before the controller's last moment to create the tick's Job."""
        return self.ended is not None and self.ended <= self.latest_start

    @property
    def ended_by_deletion(self) -> bool:
        """Whether the schedule version ended because the CronJob was deleted, at `ended` or before."""
        return self.ended is not None and self.next_spec is None

    @property
    def ended_by_suspension(self) -> bool:
        """Whether a suspension ended the schedule version."""
        return self.next_spec is not None and self.next_spec.suspended

    @property
    def may_have_job(self) -> bool:
        """Whether the tick's Job can exist.

        A suspended CronJob creates no Job. A CronJob resumed within the start deadline creates the last tick's Job
        (cronjob_controllerv2.go, syncCronJob; nextScheduleTime).
        """
        return not self.spec.suspended or self.ended_in_time

    def is_due(self, judged_until: datetime) -> bool:
        """Whether the tick may be judged."""
        return self.latest_start < judged_until


def judged_until(now: datetime, lag: timedelta) -> datetime:
    """Return the moment before which the latest start of a tick must lie, so that the tick may be judged at `now`.

    Then no claim can make the tick's row any more. The schedule versions are known up to `lag` before `now`, so for the
    whole time in which the tick's Job can have been created.
    """
    return now - max(lag, CLAIM_MARGIN)


def start_deadline(spec: ScheduleSpec, next_spec: ScheduleSpec | None) -> timedelta:
    """Return how long after a tick the controller may create the tick's Job, given the spec that followed, if any."""
    later = next_spec.start_deadline_seconds if next_spec else 0
    return timedelta(seconds=max(spec.start_deadline_seconds, later))


def next_specs(versions: Collection[ScheduleVersion]) -> dict[tuple[str, datetime], ScheduleSpec]:
    """Return the specs of the versions that followed at once, by the region's id and `valid_from` of the earlier."""
    spec_by_start = {(version.region_id, version.valid_from): version.spec for version in versions}
    return {
        (version.region_id, version.valid_from): spec
        for version in versions
        if version.valid_to and (spec := spec_by_start.get((version.region_id, version.valid_to)))
    }


def slices(after: datetime, until: datetime, length: timedelta = SLICE) -> Iterator[tuple[datetime, datetime]]:
    """Yield the time from `after` to `until` in parts of at most `length`, as (start, end)."""
    while after < until:
        end = min(after + length, until)
        yield after, end
        after = end


def expected_ticks(
    versions: Collection[ScheduleVersion],
    *,
    after: datetime,
    until: datetime,
    looked_at_from: Mapping[tuple[str, datetime], datetime] = NOTHING_SUSPENDED,
) -> list[ExpectedTick]:
    """Return the expected ticks of one source's schedule versions, strictly after `after` and up to `until` (UTC).

    Of a version in `looked_at_from`, by the region's id and `valid_from`, only the ticks after that moment.
    """
    ticks: list[ExpectedTick] = []
    specs = next_specs(versions)
    times: dict[str, Sequence[datetime]] = {}
    for version in versions:
        cron, key = version.spec.cron, (version.region_id, version.valid_from)
        if cron not in times:
            times[cron] = tick_times(cron, after, until)
        cron_times = times[cron]
        if not cron_times:
            continue
        first = bisect_right(cron_times, max(after, version.valid_from, looked_at_from.get(key, after)))
        last = bisect_right(cron_times, min(until, version.valid_to or until))
        end, next_spec = version.valid_to, specs.get(key)
        ticks += [ExpectedTick(version.region_id, version.spec, at, end, next_spec) for at in cron_times[first:last]]
    return ticks


def recompute(
    versions: Iterable[ScheduleVersion],
    keys: Iterable[TickKey],
    looked_at_from: Mapping[tuple[str, datetime], datetime] = NOTHING_SUSPENDED,
) -> list[ExpectedTick]:
    """Return the ticks of `keys` by the current schedule versions, without the ticks that are no longer expected.

    `looked_at_from` is as in `expected_ticks`.
    """
    versions_by_region: defaultdict[str, list[ScheduleVersion]] = defaultdict(list)
    for version in versions:
        versions_by_region[version.region_id].append(version)
    regions_by_time: defaultdict[datetime, list[str]] = defaultdict(list)
    for region_id, tick_at in keys:
        regions_by_time[tick_at].append(region_id)
    ticks: list[ExpectedTick] = []
    for tick_at, region_ids in regions_by_time.items():
        concerned = [version for region_id in region_ids for version in versions_by_region[region_id]]
        ticks += expected_ticks(concerned, after=tick_at - INSTANT, until=tick_at, looked_at_from=looked_at_from)
    return ticks


def finalized_until(pending: Iterable[TickKey], until: datetime) -> datetime:
    """Return up to when every tick is final, if all ticks up to `until` are final except the `pending` ticks."""
    return min((tick_at - INSTANT for _, tick_at in pending), default=until)


def tick_times(cron: str, after: datetime, until: datetime) -> list[datetime]:
    """Return the times of a schedule strictly after `after` and up to `until` (UTC), none for a text of other hands."""
    try:
        schedule = _parse(cron)
    except ScheduleError:
        return []  # somebody wrote a text that we do not parse into a CronJob of ours; the next reconcile restores it
    if not _may_tick(schedule, after, until):
        return []
    times: list[datetime] = []
    moment = schedule.next_after(after)
    while moment <= until:
        times.append(moment)
        moment = schedule.next_after(moment)
    return times


def count_tick_times(cron: str, after: datetime, until: datetime) -> int:
    """Return how many times `tick_times` would return, in any order of `after` and `until` (UTC)."""
    if until <= after:
        return 0
    try:
        return _parse(cron).count(after, until)
    except ScheduleError:
        return 0


def _may_tick(schedule: Schedule, after: datetime, until: datetime) -> bool:
    """Rule out most schedules by the minutes of the hour alone. Computing the next time costs a hundred times more."""
    minutes = int((until - after) / timedelta(minutes=1)) + 1
    if minutes >= 60:
        return True
    first = after.minute
    return any((minute - first) % 60 <= minutes for minute in schedule.minutes)
